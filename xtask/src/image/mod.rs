//! `cargo xtask image`: one static binary, and an image that holds nothing else.

mod binary;
mod engine;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::workspace;
use engine::Engine;

/// Builds the binary, and the image unless only the binary is asked for.
pub(crate) fn image(tag: &str, binary_only: bool, dev: bool) -> Result<ExitCode> {
    let engine = if binary_only {
        None
    } else {
        // Before minutes of building, not after.
        Some(Engine::find()?)
    };
    let Some(binary) = binary::build(dev)? else {
        return Ok(ExitCode::FAILURE);
    };
    let Some(engine) = engine else {
        println!("{}", binary.display());
        return Ok(ExitCode::SUCCESS);
    };
    let folder = context(&binary)?;
    let mut build = engine.build(tag, &workspace::root().join("deploy/Containerfile"), &folder);
    let status = build
        .status()
        .with_context(|| format!("starting {}", engine.name()))?;
    ensure!(status.success(), "{} did not build the image", engine.name());
    println!("{} has the image {tag}", engine.name());
    Ok(ExitCode::SUCCESS)
}

/// A folder with what goes into the image, so that no engine reads the whole target directory.
fn context(binary: &Path) -> Result<PathBuf> {
    let folder = workspace::target().join("image/context");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let copy = folder.join("kproxy");
    fs::copy(binary, &copy).with_context(|| format!("copying the binary to {}", copy.display()))?;
    Ok(folder)
}
