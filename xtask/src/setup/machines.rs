//! Programs that make and run virtual machines, for tests on other kernels.

use anyhow::Result;

use super::{Requirement, apt};
use crate::workspace;

/// Programs that make and run virtual machines.
pub(super) struct Machines;

/// Each with the package that has it, which Debian and Ubuntu call the same.
const TOOLS: [(&str, &str); 8] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("cpio", "cpio"),
    ("depmod", "kmod"),
    ("xz", "xz-utils"),
    ("strip", "binutils"),
    ("setpriv", "util-linux"),
    ("wg", "wireguard-tools"),
];

impl Requirement for Machines {
    fn name(&self) -> &'static str {
        "virtual machines"
    }

    fn purpose(&self) -> &'static str {
        "test on the kernels of Debian's releases"
    }

    fn look(&self) -> Result<String, String> {
        let missing: Vec<_> = missing().map(|(program, _)| program).collect();
        if missing.is_empty() {
            Ok(TOOLS.map(|(program, _)| program).join(", "))
        } else {
            Err(format!("no {}", missing.join(", ")))
        }
    }

    fn install(&self) -> Result<()> {
        apt::install(&packages())
    }

    fn by_hand(&self) -> String {
        format!(
            "sudo apt-get install {}   # or the packages of your distribution that have them",
            packages().join(" ")
        )
    }
}

fn missing() -> impl Iterator<Item = (&'static str, &'static str)> {
    TOOLS
        .into_iter()
        .filter(|(program, _)| workspace::program(program).is_none())
}

fn packages() -> Vec<&'static str> {
    missing().map(|(_, package)| package).collect()
}
