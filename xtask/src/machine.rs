//! What kind of machine this is, and may we change it?

use std::fs;
use std::path::{Path, PathBuf};

/// Whether we may install packages, load BPF programs and make network namespaces.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether packages come from apt: Debian, Ubuntu and what derives from them.
pub(crate) fn has_apt() -> bool {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    is_debian(&release) && Path::new("/usr/bin/apt-get").is_file()
}

/// Where file systems of a kind are mounted, in the order in which they were.
pub(crate) fn mounts_of(kind: &str) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts_in(&table, kind)
}

/// proc(5): what is mounted, where, and the kind, at the start of every line.
fn mounts_in(table: &str, kind: &str) -> Vec<PathBuf> {
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let place = fields.next()?;
        (fields.next() == Some(kind)).then(|| PathBuf::from(place))
    };
    table.lines().filter_map(mount).collect()
}

fn is_debian(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split(' '))
        .any(|id| id == "debian" || id == "ubuntu")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{is_debian, mounts_in};

    #[test]
    fn derivatives_count_as_debian() {
        assert!(is_debian("NAME=\"Debian GNU/Linux\"\nID=debian\n"));
        assert!(is_debian("ID=pop\nID_LIKE=\"ubuntu debian\"\n"));
        assert!(!is_debian("ID=fedora\n"));
        assert!(!is_debian(""));
    }

    #[test]
    fn mounts_are_found_by_kind() {
        let table =
            "bpf /run/bpf bpf rw 0 0\ntmpfs /sys/fs/bpf tmpfs rw 0 0\nbpf /sys/fs/bpf bpf rw,mode=700 0 0\n";
        assert_eq!(
            mounts_in(table, "bpf"),
            [Path::new("/run/bpf"), Path::new("/sys/fs/bpf")]
        );
        assert!(mounts_in(table, "cgroup2").is_empty());
    }
}
