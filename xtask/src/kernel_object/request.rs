//! What to build, for which machine, and where to put it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{BINARY, PROFILE, TARGET};

/// What to build, for which machine, and where to put it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The root of the workspace.
    pub workspace: PathBuf,
    /// The folder that takes the build's intermediate files, below `bpf/`; must outlive a single build to be of use.
    pub target: PathBuf,
    /// The folder that takes the object.
    pub output: PathBuf,
    /// The machine that will run the object, in rustc's word for it (`x86_64`, `aarch64` …).
    pub architecture: String,
    /// Whether the object logs every decision it takes.
    pub debug_log: bool,
}

impl Request {
    /// The request that a build script of a package right below the workspace root makes.
    ///
    /// # Errors
    ///
    /// When it is not called from a build script.
    pub fn from_build_script() -> Result<Self> {
        let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
        let output = PathBuf::from(variable("OUT_DIR")?);
        let architecture = variable("CARGO_CFG_TARGET_ARCH")?;
        Ok(Self {
            workspace: package.parent().unwrap_or(&package).to_owned(),
            target: target_of(&output).to_owned(),
            output,
            architecture: architecture.to_string_lossy().into_owned(),
            debug_log: env::var_os("CARGO_FEATURE_DEBUG_LOG").is_some(),
        })
    }

    /// One directory for each variant: cargo calls all of them by the same name, and they may be built at one time.
    pub(super) fn target_directory(&self) -> PathBuf {
        let variant = if self.debug_log { "-debug-log" } else { "" };
        self.target
            .join("bpf")
            .join(format!("{}{variant}", self.architecture))
    }

    /// Where cargo leaves the object.
    pub(super) fn built(&self) -> PathBuf {
        self.target_directory().join(TARGET).join(PROFILE).join(BINARY)
    }
}

fn variable(name: &str) -> Result<OsString> {
    env::var_os(name).with_context(|| format!("{name} is not set: cargo sets it for build scripts"))
}

/// The target directory that `output` is in. Cargo does not tell build scripts, but marks it as a cache.
fn target_of(output: &Path) -> &Path {
    let marked = output
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file());
    marked.unwrap_or(output)
}
