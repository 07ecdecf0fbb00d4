//! The program of our image, for tests.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, ensure};

/// The static kproxy: `$KPROXY_STATIC` when set, else built as `cargo xtask image` builds it, but without
/// optimisations.
///
/// # Errors
/// When it can not be built; what the compiler had to say was printed.
pub fn program() -> anyhow::Result<PathBuf> {
    /// Tests of one process wait for one build.
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = PROGRAM.get_or_init(|| match std::env::var_os("KPROXY_STATIC") {
        Some(path) => Ok(path.into()),
        None => build().map_err(|error| format!("{error:#}")),
    });
    built.clone().map_err(anyhow::Error::msg)
}

fn build() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args(["run", "--quiet", "--package", "xtask", "--"])
        .args(["image", "--binary-only", "--dev"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "the static kproxy could not be built");
    let text = String::from_utf8(output.stdout).context("cargo xtask image prints a path")?;
    let path = text.lines().last().context("cargo xtask image prints a path")?;
    Ok(PathBuf::from(path))
}
