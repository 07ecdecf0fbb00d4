//! Programs that tests and benchmarks call.

use anyhow::Result;

use super::{Requirement, apt};
use crate::workspace;

/// Programs for one purpose.
pub(super) struct Tools {
    name: &'static str,
    purpose: &'static str,
    /// Each with the package that has it, which Debian and Ubuntu call the same.
    programs: &'static [(&'static str, &'static str)],
}

/// What tests call.
pub(super) const NETWORK: Tools = Tools {
    name: "network tools",
    purpose: "make and look at network devices and packet filters in tests",
    programs: &[
        ("ip", "iproute2"),
        ("unshare", "util-linux"),
        ("iptables-save", "iptables"),
        ("nft", "nftables"),
        ("ethtool", "ethtool"),
    ],
};

/// What makes and runs virtual machines, for tests on other kernels.
pub(super) const MACHINES: Tools = Tools {
    name: "virtual machines",
    purpose: "test on the kernels of Debian's releases",
    programs: &[
        ("qemu-system-x86_64", "qemu-system-x86"),
        ("busybox", "busybox-static"),
        ("cpio", "cpio"),
        ("depmod", "kmod"),
        ("xz", "xz-utils"),
        ("strip", "binutils"),
        ("setpriv", "util-linux"),
        ("wg", "wireguard-tools"),
    ],
};

/// What measures streams.
pub(super) const STREAMS: Tools = Tools {
    name: "measuring tools",
    purpose: "measure what passes through a node",
    programs: &[("iperf3", "iperf3"), ("chrt", "util-linux")],
};

impl Tools {
    fn missing(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let is_missing = |(program, _): &(&str, _)| workspace::program(program).is_none();
        self.programs.iter().copied().filter(is_missing)
    }

    fn packages(&self) -> Vec<&'static str> {
        self.missing().map(|(_, package)| package).collect()
    }
}

impl Requirement for Tools {
    fn name(&self) -> &'static str {
        self.name
    }

    fn purpose(&self) -> &'static str {
        self.purpose
    }

    fn look(&self) -> Result<String, String> {
        let join = |programs: Vec<&str>| programs.join(", ");
        let missing: Vec<_> = self.missing().map(|(program, _)| program).collect();
        if missing.is_empty() {
            Ok(join(self.programs.iter().map(|(program, _)| *program).collect()))
        } else {
            Err(format!("no {}", join(missing)))
        }
    }

    fn install(&self) -> Result<()> {
        apt::install(&self.packages())
    }

    fn by_hand(&self) -> String {
        format!(
            "sudo apt-get install {}   # or the packages of your distribution that have them",
            self.packages().join(" ")
        )
    }
}
