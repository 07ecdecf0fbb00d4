//! kubectl, which the tests hold against our API server.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::version::Version;
use super::{Requirement, apt};
use crate::workspace;

/// kubectl 1.32 or newer, the oldest whose requests our API server for tests has to answer.
pub(super) struct Kubectl;

const LEAST: [u32; 2] = [1, 32];

impl Requirement for Kubectl {
    fn name(&self) -> &'static str {
        "kubectl"
    }

    fn purpose(&self) -> &'static str {
        "talk to the API server of tests and the demo (Debian 13's package, unpacked into target/tools)"
    }

    fn look(&self) -> Result<String, String> {
        let path = workspace::program("kubectl").ok_or("not found")?;
        let output = Command::new(&path).args(["version", "--client"]).output();
        let printed = output.map(|output| output.stdout).unwrap_or_default();
        match Version::find(&String::from_utf8_lossy(&printed)) {
            Some(version) if version.is_at_least(&LEAST) => Ok(format!("{version} at {}", path.display())),
            Some(version) => Err(format!(
                "{} is {version}, wanted is 1.32 or newer",
                path.display()
            )),
            None => Err(format!("{} does not tell its version", path.display())),
        }
    }

    fn install(&self) -> Result<()> {
        let tools = workspace::tools();
        fs::create_dir_all(&tools).with_context(|| format!("making {}", tools.display()))?;
        apt::extract_from_newer_release("kubectl", "usr/bin/kubectl", &tools.join("kubectl"))
    }

    fn by_hand(&self) -> String {
        format!(
            "# kubectl 1.32 or newer as {}, or anywhere on the search path: https://kubernetes.io/docs/tasks/tools",
            workspace::tools().join("kubectl").display()
        )
    }
}
