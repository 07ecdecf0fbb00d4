//! bpf-linker, built against Debian's LLVM.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use xtask::kernel_object::{self, BPF_LINKER_VERSION, LLVM_VERSION};

use super::version::Version;
use super::{Requirement, apt};
use crate::output::{run_indented, written};
use crate::{machine, workspace};

/// Links the kernel programs.
pub(super) struct BpfLinker;

impl Requirement for BpfLinker {
    fn name(&self) -> &'static str {
        "bpf-linker"
    }

    fn purpose(&self) -> &'static str {
        "link the kernel programs (built from source, takes a minute or two)"
    }

    fn look(&self) -> Result<String, String> {
        let path =
            kernel_object::linker().ok_or("not on the search path, nor where cargo installs programs")?;
        let printed = version_of(&path);
        let version = Version::find(&printed);
        match version.filter(|version| version.is_at_least(&[0, 13])) {
            Some(_) => Ok(format!("{} at {}", printed.trim(), path.display())),
            None => Err(format!(
                "{} says {:?}, wanted is {BPF_LINKER_VERSION} or newer",
                path.display(),
                printed.trim()
            )),
        }
    }

    fn install(&self) -> Result<()> {
        let packages = packages();
        apt::install(&packages.each_ref().map(String::as_str))?;
        run_indented(&mut cargo_install())
    }

    fn by_hand(&self) -> String {
        let packages = packages();
        let command = format!("LLVM_PREFIX={} {}", llvm_prefix(), written(&cargo_install()));
        if machine::has_apt() && packages.iter().all(|package| apt::has_candidate(package)) {
            format!(
                "sudo apt-get install --no-install-recommends {}\n{command}",
                packages.join(" ")
            )
        } else {
            format!(
                "# LLVM {LLVM_VERSION} with headers, from your distribution or https://apt.llvm.org, then\n{command}"
            )
        }
    }
}

fn packages() -> [String; 2] {
    [
        format!("llvm-{LLVM_VERSION}-dev"),
        format!("libpolly-{LLVM_VERSION}-dev"),
    ]
}

fn cargo_install() -> Command {
    let mut cargo = workspace::cargo([
        "install",
        "bpf-linker",
        "--version",
        BPF_LINKER_VERSION,
        "--locked",
        "--force",
    ]);
    cargo
        .args(["--no-default-features", "--features"])
        .arg(format!("llvm-{LLVM_VERSION}"));
    cargo.env("LLVM_PREFIX", llvm_prefix());
    // The work is done in LLVM; more than this only makes everybody wait.
    cargo
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_DEBUG", "none");
    cargo
}

fn llvm_prefix() -> String {
    format!("/usr/lib/llvm-{LLVM_VERSION}")
}

/// What it prints; nothing when it does not start, for example because its LLVM is gone.
fn version_of(path: &Path) -> String {
    let output = Command::new(path).arg("--version").output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}
