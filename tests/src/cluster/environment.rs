//! What a machine must have before a cluster can be built; each thing that is missing is named with what to do.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};

/// Where the machine keeps what clusters need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Mount of the cgroup v2 file system.
    pub cgroups: PathBuf,
    /// Mount of the BPF file system.
    pub pins: PathBuf,
}

impl Environment {
    /// Looks whether clusters can be built here.
    ///
    /// # Errors
    /// The first thing that is missing.
    pub fn check() -> anyhow::Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            bail!(
                "clusters of network namespaces need root: run the tests as root, for example with sudo -E"
            );
        }
        let mounts =
            fs::read_to_string("/proc/self/mountinfo").context("cannot read /proc/self/mountinfo")?;
        let cgroups = mounts_of(&mounts, "cgroup2").next().context(
            "no cgroup v2 file system is mounted, which the socket door hooks into; \
             mount one: mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified",
        )?;
        let usual = Path::new("/sys/fs/bpf");
        let pins = mounts_of(&mounts, "bpf")
            .max_by_key(|mount| mount == usual)
            .context(
                "no BPF file system is mounted, which keeps pinned maps and links; \
             mount one: mount -t bpf bpf /sys/fs/bpf",
            )?;
        Ok(Self { cgroups, pins })
    }
}

/// Mount points of a file system type, in mount order (proc(5): the type is the first field after the lone dash, the
/// mount point the fifth of all).
fn mounts_of(mounts: &str, kind: &str) -> impl Iterator<Item = PathBuf> {
    mounts.lines().filter_map(move |line| {
        let (before, after) = line.split_once(" - ")?;
        let mount = before.split(' ').nth(4)?;
        (after.split(' ').next() == Some(kind)).then(|| PathBuf::from(mount))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_by_type() {
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n\
                      32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let found = |kind| mounts_of(mounts, kind).collect::<Vec<_>>();
        assert_eq!(found("cgroup2"), [Path::new("/sys/fs/cgroup/unified")]);
        assert!(found("bpf").is_empty());
    }
}
