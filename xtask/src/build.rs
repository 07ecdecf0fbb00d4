//! `cargo xtask build`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::workspace;

/// Builds the agent; its build script builds the kernel object.
pub(crate) fn build(release: bool) -> Result<ExitCode> {
    let mut cargo = workspace::cargo(["build", "--package", "kproxy"]);
    if release {
        cargo.arg("--release");
    }
    let status = cargo.status().context("starting cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
