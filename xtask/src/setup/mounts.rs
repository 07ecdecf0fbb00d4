//! The kernel's file systems that kproxy works with. systemd mounts them; containers and small systems often do not.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};

use super::Requirement;
use crate::machine::mounts_of;

/// A bpffs on `/sys/fs/bpf`, where everybody expects it.
pub(super) struct BpfFileSystem;

/// A cgroup v2 hierarchy, wherever it is.
pub(super) struct Cgroups;

impl Requirement for BpfFileSystem {
    fn name(&self) -> &'static str {
        "BPF file system"
    }

    fn purpose(&self) -> &'static str {
        "keep maps and links while the agent is away"
    }

    fn look(&self) -> Result<String, String> {
        let wanted = Path::new(BPFFS);
        let is_mounted = mounts_of("bpf").iter().any(|mount| mount == wanted);
        if is_mounted {
            Ok(BPFFS.to_owned())
        } else {
            Err(format!("nothing on {BPFFS}"))
        }
    }

    fn install(&self) -> Result<()> {
        mount(
            Some("bpf"),
            BPFFS,
            Some("bpf"),
            MsFlags::empty(),
            Some("mode=0700"),
        )
        .with_context(|| format!("mounting a bpffs on {BPFFS}"))
    }

    fn by_hand(&self) -> String {
        format!("sudo mount -t bpf bpf {BPFFS}")
    }
}

impl Requirement for Cgroups {
    fn name(&self) -> &'static str {
        "cgroup v2"
    }

    fn purpose(&self) -> &'static str {
        "hook into the sockets of a node's processes"
    }

    fn look(&self) -> Result<String, String> {
        match mounts_of("cgroup2").first() {
            Some(mount) => Ok(mount.display().to_string()),
            None => Err("not mounted anywhere".to_owned()),
        }
    }

    fn install(&self) -> Result<()> {
        let place = place_for_cgroups();
        fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
        mount(
            Some("cgroup2"),
            &place,
            Some("cgroup2"),
            MsFlags::empty(),
            None::<&str>,
        )
        .with_context(|| format!("mounting cgroup v2 on {}", place.display()))
    }

    fn by_hand(&self) -> String {
        let place = place_for_cgroups();
        format!(
            "sudo mkdir -p {0} && sudo mount -t cgroup2 cgroup2 {0}",
            place.display()
        )
    }
}

const BPFFS: &str = "/sys/fs/bpf";

/// Beside the controllers of version 1, as systemd does it, where those are in use.
fn place_for_cgroups() -> PathBuf {
    let usual = Path::new("/sys/fs/cgroup");
    let is_taken = fs::read_dir(usual).is_ok_and(|mut entries| entries.next().is_some());
    if is_taken {
        usual.join("unified")
    } else {
        usual.to_owned()
    }
}
