//! A Rust compiler that has, or can build, `core` for the BPF target.

use std::process::Command;

use anyhow::{Context as _, Result};
use xtask::kernel_object::{Compiler, LLVM_VERSION};

use super::{Requirement, apt};
use crate::output::run_indented;
use crate::{machine, workspace};

/// Compiles the kernel programs.
pub(super) struct BpfCompiler;

/// Debian's web browsers are written in Rust, so every release gets a recent compiler, with more targets than usual.
const PACKAGES: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];

/// A nightly with the LLVM that bpf-linker is built for; newer ones move on.
const NIGHTLY: &str = "nightly-2026-05-20";

impl Requirement for BpfCompiler {
    fn name(&self) -> &'static str {
        "Rust compiler for BPF"
    }

    fn purpose(&self) -> &'static str {
        "compile the kernel programs"
    }

    fn look(&self) -> Result<String, String> {
        match Compiler::find() {
            Some(Compiler::Nightly { home }) => Ok(format!("rustup's {}", home.display())),
            Some(Compiler::Debian) => Ok("/usr/bin/rustc of Debian".to_owned()),
            None => Err(format!(
                "neither Debian's {} nor a nightly of rustup's with rust-src and LLVM {LLVM_VERSION} or older",
                PACKAGES.join(" and ")
            )),
        }
    }

    fn install(&self) -> Result<()> {
        apt::install(&PACKAGES).or_else(|_apt_has_none| {
            let rustup = workspace::program("rustup")
                .with_context(|| format!("neither {} in apt nor rustup", PACKAGES.join(" and ")))?;
            run_indented(Command::new(rustup).args(nightly()))
        })
    }

    fn by_hand(&self) -> String {
        if machine::has_apt() && PACKAGES.iter().all(|package| apt::has_candidate(package)) {
            format!(
                "sudo apt-get install --no-install-recommends {}",
                PACKAGES.join(" ")
            )
        } else {
            format!("rustup {}", nightly().join(" "))
        }
    }
}

fn nightly() -> [&'static str; 7] {
    [
        "toolchain",
        "install",
        NIGHTLY,
        "--profile",
        "minimal",
        "--component",
        "rust-src",
    ]
}
