//! rustfmt and clippy, beside the cargo in use.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::Requirement;
use crate::output::run_indented;
use crate::workspace;

/// rustfmt and clippy of the toolchain that builds the workspace.
pub(super) struct Components;

const COMPONENTS: [(&str, &str); 2] = [("rustfmt", "cargo-fmt"), ("clippy", "cargo-clippy")];

impl Requirement for Components {
    fn name(&self) -> &'static str {
        "rustfmt and clippy"
    }

    fn purpose(&self) -> &'static str {
        "check format and lints"
    }

    fn look(&self) -> Result<String, String> {
        let missing = missing();
        if missing.is_empty() {
            Ok(format!("in {}", toolchain().display()))
        } else {
            Err(format!("no {} in {}", missing.join(", "), toolchain().display()))
        }
    }

    fn install(&self) -> Result<()> {
        let rustup = workspace::program("rustup").context("cargo does not come from rustup")?;
        run_indented(Command::new(rustup).args(["component", "add"]).args(missing()))
    }

    fn by_hand(&self) -> String {
        format!("rustup component add {}", missing().join(" "))
    }
}

fn missing() -> Vec<&'static str> {
    let toolchain = toolchain();
    let lacks = |(_, program): &(&str, &str)| !toolchain.join(program).is_file();
    COMPONENTS
        .into_iter()
        .filter(lacks)
        .map(|(component, _)| component)
        .collect()
}

/// The folder of cargo itself (not of rustup's stand-in), which cargo tells its children.
fn toolchain() -> PathBuf {
    let cargo = env::var_os("CARGO")
        .map(PathBuf::from)
        .or_else(|| workspace::program("cargo"));
    cargo
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(Path::new("/usr/bin"))
        .to_owned()
}
