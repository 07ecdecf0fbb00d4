//! Programs that tests call.

use anyhow::Result;

use super::{Requirement, apt};
use crate::workspace;

/// Programs that tests call.
pub(super) struct Tools;

/// Each with the package that has it, which Debian and Ubuntu call the same.
const TOOLS: [(&str, &str); 4] = [
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("iptables-save", "iptables"),
    ("nft", "nftables"),
];

impl Requirement for Tools {
    fn name(&self) -> &'static str {
        "network tools"
    }

    fn purpose(&self) -> &'static str {
        "make and look at network devices and packet filters in tests"
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
