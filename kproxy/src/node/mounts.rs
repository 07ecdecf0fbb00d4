//! The two kernel file systems that kproxy works with: cgroup v2 and the BPF file system.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, CGROUP2_SUPER_MAGIC, FsType, statfs};

use crate::paths::DEFAULT_PIN_DIR;

/// Where every distribution mounts the BPF file system.
const BPF_MOUNT: &str = "/sys/fs/bpf";

/// Why a file system can not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    /// The machine has no cgroup v2.
    #[error(
        "no cgroup v2 file system is mounted, and without it no process of this node can reach a service: \
         boot with systemd.unified_cgroup_hierarchy=1, or run `mount -t cgroup2 none DIR` and pass --cgroup DIR"
    )]
    NoCgroup,
    /// What is mounted shows a part of the machine's cgroups only.
    #[error(
        "the cgroup v2 file system at {} shows this container's own cgroups only, so no other process of the node could \
         reach a service: mount the node's cgroup v2 file system into the container (a hostPath volume of \
         /sys/fs/cgroup) and pass --cgroup with the place it is mounted at",
        found.display()
    )]
    NotTheRoot {
        /// Where it is mounted.
        found: PathBuf,
    },
    /// `--cgroup` points elsewhere.
    #[error("--cgroup {}: {problem}; name a directory of a cgroup v2 file system{}", path.display(), hint(found.as_deref()))]
    NotACgroup {
        /// As it was given.
        path: PathBuf,
        /// What it is instead.
        problem: String,
        /// Where cgroup v2 is mounted.
        found: Option<PathBuf>,
    },
    /// The BPF file system keeps names with dots for itself (kernel/bpf/inode.c, `bpf_lookup`).
    #[error(
        "--pin-dir {}: the BPF file system refuses names with a dot; choose a name without one",
        pin_dir.display()
    )]
    DotInName {
        /// As it was given.
        pin_dir: PathBuf,
    },
    /// Pins need a BPF file system.
    #[error(
        "--pin-dir {} is not in a BPF file system{reason}: run `mkdir -p {at} && mount -t bpf bpffs {at}` on the node, and let \
         containers see it",
        pin_dir.display(), at = mount_at.display()
    )]
    NoBpfFileSystem {
        /// As it was given, or the default.
        pin_dir: PathBuf,
        /// Where to mount one.
        mount_at: PathBuf,
        /// Why kproxy did not mount it itself; empty when it would never do so.
        reason: String,
    },
}

/// The cgroup that the socket door is attached to: the one asked for, else the root of cgroup v2. On machines that
/// also have cgroup v1 ("hybrid") that is a folder such as `/sys/fs/cgroup/unified`.
///
/// # Errors
///
/// [`MountError`] when it is no cgroup v2 directory, or when only a part of the machine's cgroups is mounted and none
/// was asked for; another error when /proc can not be read.
pub fn cgroup(asked: Option<&Path>) -> Result<PathBuf> {
    let mountinfo = mountinfo()?;
    let Some(path) = asked else {
        return Ok(cgroup_root(&mountinfo, is_root)?);
    };
    let found = cgroup_mounts(&mountinfo).next();
    let problem = match statfs(path) {
        Ok(stat) if stat.filesystem_type() == CGROUP2_SUPER_MAGIC => return Ok(path.to_path_buf()),
        Ok(_) => "it is not in a cgroup v2 file system".to_owned(),
        Err(error) => error.desc().to_lowercase(),
    };
    Err(MountError::NotACgroup {
        path: path.to_path_buf(),
        problem,
        found,
    }
    .into())
}

/// Whether cgroup v2 is mounted somewhere, whole or in part: a container is given the part that it is to work on.
#[must_use]
pub fn has_cgroups() -> bool {
    mountinfo().is_ok_and(|mountinfo| cgroup_mounts(&mountinfo).next().is_some())
}

/// Makes sure that the pin directory will be in a BPF file system. Mounts one only at its usual place, for the default
/// pin directory, when nothing is mounted there and the mount will outlive this process.
///
/// # Errors
///
/// [`MountError::NoBpfFileSystem`]; another error when /proc can not be read.
pub fn bpf_file_system(pin_dir: &Path) -> Result<()> {
    if nearest_type(pin_dir) == Some(BPF_FS_MAGIC) {
        if has_new_name_with_dot(pin_dir) {
            let pin_dir = pin_dir.to_path_buf();
            return Err(MountError::DotInName { pin_dir }.into());
        }
        return Ok(());
    }
    let usual = pin_dir.starts_with(BPF_MOUNT);
    let mount_at = if usual {
        PathBuf::from(BPF_MOUNT)
    } else {
        pin_dir.to_path_buf()
    };
    let error = |reason: String| MountError::NoBpfFileSystem {
        pin_dir: pin_dir.to_path_buf(),
        mount_at,
        reason,
    };
    if pin_dir != Path::new(DEFAULT_PIN_DIR) {
        return Err(error(String::new()).into());
    }
    mount_usual(&mountinfo()?).map_err(|reason| error(format!(" ({reason})")))?;
    tracing::info!("mounted a BPF file system at {BPF_MOUNT}");
    Ok(())
}

/// Where the root of all cgroups is mounted.
fn cgroup_root(mountinfo: &str, is_root: impl Fn(&Path) -> bool) -> Result<PathBuf, MountError> {
    if let Some(root) = cgroup_mounts(mountinfo).find(|point| is_root(point)) {
        return Ok(root);
    }
    Err(match cgroup_mounts(mountinfo).next() {
        Some(found) => MountError::NotTheRoot { found },
        None => MountError::NoCgroup,
    })
}

fn cgroup_mounts(mountinfo: &str) -> impl Iterator<Item = PathBuf> {
    mounts(mountinfo)
        .filter(|mount| mount.kind == "cgroup2")
        .map(|mount| mount.point)
}

/// The root of a kernfs, which cgroup v2 is, has inode 1 (fs/kernfs/dir.c, `kernfs_create_root`). What a cgroup
/// namespace calls `/` is a cgroup like any other, with another inode; mountinfo alone does not tell them apart.
fn is_root(point: &Path) -> bool {
    fs::metadata(point).is_ok_and(|metadata| metadata.ino() == 1)
}

fn mount_usual(mountinfo: &str) -> Result<(), String> {
    if mounts(mountinfo).any(|mount| mount.point == Path::new(BPF_MOUNT)) {
        return Err("something else is mounted there".into());
    }
    // In a mount namespace of our own the pins would vanish together with it.
    if fs::read_link("/proc/self/ns/mnt").ok() != fs::read_link("/proc/1/ns/mnt").ok() {
        return Err("kproxy does not mount it itself outside the node's mount namespace".into());
    }
    mount(
        Some("bpffs"),
        BPF_MOUNT,
        Some("bpf"),
        MsFlags::empty(),
        None::<&str>,
    )
    .map_err(|error| format!("mounting it failed: {}", error.desc()))
}

/// The file system of a path, or of its nearest parent that exists.
fn nearest_type(path: &Path) -> Option<FsType> {
    path.ancestors()
        .find_map(|path| statfs(path).ok())
        .map(|stat| stat.filesystem_type())
}

/// Whether a directory that is not there yet would have a dot in its name.
fn has_new_name_with_dot(path: &Path) -> bool {
    path.ancestors()
        .take_while(|path| statfs(*path).is_err())
        .filter_map(Path::file_name)
        .any(|name| name.as_encoded_bytes().contains(&b'.'))
}

fn mountinfo() -> Result<String> {
    fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")
}

fn hint(found: Option<&Path>) -> String {
    found
        .map(|path| format!(" (mounted at {})", path.display()))
        .unwrap_or_default()
}

/// One line of /proc/self/mountinfo (`proc_pid_mountinfo(5)`).
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    kind: String,
}

fn mounts(mountinfo: &str) -> impl Iterator<Item = Mount> {
    mountinfo.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let point = PathBuf::from(unescape(mount.split(' ').nth(4)?));
        Some(Mount {
            point,
            kind: source.split(' ').next()?.to_owned(),
        })
    })
}

/// Blanks and backslashes are written as a backslash and three octal digits.
fn unescape(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some((byte, rest)) = part.split_at_checked(3).and_then(octal) {
            plain.push(byte);
            plain.push_str(rest);
        } else {
            plain.push('\\');
            plain.push_str(part);
        }
    }
    plain
}

fn octal<'a>((digits, rest): (&'a str, &'a str)) -> Option<(char, &'a str)> {
    Some((u8::from_str_radix(digits, 8).ok()?.into(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw
";

    #[test]
    fn cgroup_v2_is_found_wherever_it_is() {
        let unified = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        let odd = "30 23 0:26 / /mnt/c\\040group rw - cgroup2 none rw\n";
        let old = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n";
        let rows = [
            (HYBRID, Some("/sys/fs/cgroup/unified")),
            (unified, Some("/sys/fs/cgroup")),
            (odd, Some("/mnt/c group")),
            (old, None),
            ("", None),
        ];
        for (mountinfo, expected) in rows {
            let expected = expected.map(PathBuf::from).ok_or(MountError::NoCgroup);
            assert_eq!(cgroup_root(mountinfo, |_| true), expected, "{mountinfo}");
        }
    }

    #[test]
    fn a_cgroup_of_a_container_is_not_taken_for_the_root() {
        let own = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n";
        let found = || PathBuf::from("/sys/fs/cgroup");
        assert_eq!(
            cgroup_root(own, |_| false),
            Err(MountError::NotTheRoot { found: found() })
        );
        let both = format!("{own}31 23 0:26 /../.. /host/cgroup rw - cgroup2 cgroup rw\n");
        assert_eq!(
            cgroup_root(&both, |point| point != found()),
            Ok("/host/cgroup".into()),
            "the node's, mounted beside"
        );
        assert!(!is_root(Path::new("/proc/self")));
    }

    #[test]
    fn a_cgroup_that_is_none_is_refused() {
        let error = cgroup(Some(Path::new("/proc"))).expect_err("procfs is no cgroup");
        assert!(
            error
                .to_string()
                .starts_with("--cgroup /proc: it is not in a cgroup v2 file system; "),
            "{error}"
        );
        let error = cgroup(Some(Path::new("/does/not/exist"))).expect_err("missing");
        assert!(error.to_string().contains("no such file or directory"), "{error}");
    }

    #[test]
    fn only_new_names_must_do_without_dots() {
        for (path, expected) in [
            ("/proc/kproxy", false),
            ("/proc/node.1", true),
            ("/proc/node.1/kproxy", true),
            ("/proc/../proc/kproxy", false),
        ] {
            assert_eq!(has_new_name_with_dot(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn a_pin_directory_elsewhere_is_refused_with_the_command_that_helps() {
        let error = bpf_file_system(Path::new("/tmp/kproxy-pins")).expect_err("no bpffs");
        assert!(
            error.to_string().contains("mount -t bpf bpffs /tmp/kproxy-pins"),
            "{error}"
        );
        assert!(!Path::new("/tmp/kproxy-pins").exists());
    }
}
