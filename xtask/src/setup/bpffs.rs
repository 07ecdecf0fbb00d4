//! The file system that pinned maps and links live in.

use std::fs;

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};

use super::Requirement;

/// A bpffs on `/sys/fs/bpf`. systemd mounts it; containers and small systems often do not.
pub(super) struct BpfFileSystem;

/// Where everybody expects it.
const MOUNT_POINT: &str = "/sys/fs/bpf";

impl Requirement for BpfFileSystem {
    fn name(&self) -> &'static str {
        "BPF file system"
    }

    fn purpose(&self) -> &'static str {
        "keep maps and links while the agent is away"
    }

    fn look(&self) -> Result<String, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        if is_mounted(&mounts) {
            Ok(MOUNT_POINT.to_owned())
        } else {
            Err(format!("nothing on {MOUNT_POINT}"))
        }
    }

    fn install(&self) -> Result<()> {
        mount(
            Some("bpf"),
            MOUNT_POINT,
            Some("bpf"),
            MsFlags::empty(),
            Some("mode=0700"),
        )
        .with_context(|| format!("mounting a bpffs on {MOUNT_POINT}"))
    }

    fn by_hand(&self) -> String {
        format!("sudo mount -t bpf bpf {MOUNT_POINT}")
    }
}

fn is_mounted(mounts: &str) -> bool {
    let fields = |line: &str| {
        line.split(' ')
            .skip(1)
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    mounts.lines().any(|line| fields(line) == [MOUNT_POINT, "bpf"])
}

#[cfg(test)]
mod tests {
    use super::is_mounted;

    #[test]
    fn only_a_bpffs_at_the_right_place_counts() {
        assert!(is_mounted(
            "proc /proc proc rw 0 0\nbpf /sys/fs/bpf bpf rw,mode=700 0 0\n"
        ));
        assert!(!is_mounted(
            "bpf /run/bpf bpf rw 0 0\ntmpfs /sys/fs/bpf tmpfs rw 0 0\n"
        ));
    }
}
