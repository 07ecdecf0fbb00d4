//! Builds the kernel object: the `dataplane` binary of `kproxy-ebpf`, for the BPF target.
//!
//! Cargo can not build one package of a workspace for two targets in one go, so kproxy's build script runs a second
//! cargo through this module. That cargo works in a target directory of its own, because the outer one keeps
//! its own locked, and with an environment of its own, because the outer one exports its compiler, its wrappers
//! (clippy is one) and its flags to build scripts.

mod environment;
mod request;
mod toolchain;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

pub use request::Request;
pub use toolchain::{BPF_LINKER_VERSION, Compiler, LLVM_VERSION, Toolchain, linker};

/// The target that the kernel object is built for.
pub const TARGET: &str = "bpfel-unknown-none";

const PACKAGE: &str = "kproxy-ebpf";
const BINARY: &str = "dataplane";
const PROFILE: &str = "kernel";

/// Builds the object and returns the path of a copy in `request.output`.
///
/// # Errors
///
/// When the toolchain is not complete (the error names what is missing and the command that installs it), when the
/// code does not compile (the error holds cargo's output), or when the result can not be copied.
pub fn build(request: &Request) -> Result<PathBuf> {
    let toolchain = Toolchain::find()?;
    let output = cargo(request, &toolchain)
        .output()
        .with_context(|| format!("starting {}", toolchain.compiler.cargo().display()))?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        bail!(
            "building the kernel object for {TARGET} failed ({}):\n{messages}",
            output.status
        );
    }
    copy(&request.built(), &request.output.join(BINARY))
}

/// Everything in the workspace that the object is made of; a change to any of it asks for a new one.
#[must_use]
pub fn inputs(workspace: &Path) -> Vec<PathBuf> {
    [
        "kproxy-ebpf/src",
        "kproxy-ebpf/Cargo.toml",
        "kproxy-common/src",
        "kproxy-common/Cargo.toml",
        "Cargo.toml",
        "Cargo.lock",
    ]
    .into_iter()
    .map(|input| workspace.join(input))
    .collect()
}

fn cargo(request: &Request, toolchain: &Toolchain) -> Command {
    let mut cargo = Command::new(toolchain.compiler.cargo());
    environment::clear(&mut cargo);
    cargo
        .current_dir(&request.workspace)
        .env("RUSTC", toolchain.compiler.rustc())
        .env("CARGO_ENCODED_RUSTFLAGS", encoded_flags(&request.architecture))
        .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &toolchain.linker)
        .args([
            "build",
            "--locked",
            "--profile",
            PROFILE,
            "--package",
            PACKAGE,
            "--bin",
            BINARY,
            "--target",
            TARGET,
        ])
        .args([
            "--features",
            if request.debug_log {
                "kernel,debug-log"
            } else {
                "kernel"
            },
        ])
        .arg("--target-dir")
        .arg(request.target_directory());
    match &toolchain.compiler {
        Compiler::Nightly { .. } => cargo.args(["-Z", "build-std=core"]),
        // Debian's compiler is a stable one that has `core` for the target; the kernel crates need unstable features.
        Compiler::Debian => cargo.env("RUSTC_BOOTSTRAP", "1"),
    };
    cargo
}

/// The flags for rustc, in cargo's encoding. They reach only code for the BPF target, not procedural macros.
fn encoded_flags(architecture: &str) -> OsString {
    [
        // The kernel's structures that helpers see (`pt_regs` …) differ between machines.
        &format!("--cfg=bpf_target_arch=\"{architecture}\""),
        // BTF is made from debug information.
        "-Cdebuginfo=2",
        "-Clink-arg=--btf",
        // 32-bit arithmetic and comparisons, atomics with a result: Linux 5.12, older than any we run on.
        "-Ctarget-cpu=v3",
        // Packets are loaded by `read_unaligned`; without this every load is assembled byte by byte.
        "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
    ]
    .join("\x1f")
    .into()
}

fn copy(from: &Path, to: &Path) -> Result<PathBuf> {
    std::fs::copy(from, to)
        .with_context(|| format!("copying the kernel object {} to {}", from.display(), to.display()))?;
    Ok(to.to_owned())
}
