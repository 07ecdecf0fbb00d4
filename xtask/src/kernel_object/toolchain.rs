//! Finds what compiles and links for the BPF target: a compiler that has `core` for it, and bpf-linker.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::TARGET;

/// The version of bpf-linker that set-up installs.
pub const BPF_LINKER_VERSION: &str = "0.13.0";

/// The LLVM that set-up builds bpf-linker with; it can not read what a compiler with a newer one writes.
pub const LLVM_VERSION: u32 = 22;

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// A compiler and a linker for the BPF target.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// Compiles for the target.
    pub compiler: Compiler,
    /// The path of bpf-linker.
    pub linker: PathBuf,
}

/// A compiler that can make `core` for the BPF target, or has it.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// A nightly of rustup's with the component rust-src: cargo builds `core` itself.
    Nightly {
        /// The folder of the toolchain.
        home: PathBuf,
    },
    /// Debian's `rustc-web` with `libstd-rust-web-dev-bpf`, which brings `core` for the target.
    Debian,
}

impl Toolchain {
    /// Looks for both parts.
    ///
    /// # Errors
    ///
    /// Names every missing part and the command that installs it.
    pub fn find() -> Result<Self> {
        match (Compiler::find(), linker()) {
            (Some(compiler), Some(linker)) => Ok(Self { compiler, linker }),
            (compiler, linker) => {
                let compiler = compiler
                    .is_none()
                    .then_some("a Rust compiler with `core` for the BPF target");
                let linker = linker.is_none().then_some("bpf-linker");
                let missing: Vec<_> = compiler.into_iter().chain(linker).collect();
                bail!(
                    "the kernel object can not be built, because this machine lacks {}\nrun: cargo xtask setup",
                    missing.join(" and ")
                );
            }
        }
    }
}

impl Compiler {
    /// Looks for a compiler; rustup's comes first, because it is the one that the user chose.
    #[must_use]
    pub fn find() -> Option<Self> {
        nightly()
            .map(|home| Self::Nightly { home })
            .or_else(|| debian_has_core().then_some(Self::Debian))
    }

    /// The cargo that drives this compiler.
    #[must_use]
    pub fn cargo(&self) -> PathBuf {
        match self {
            Self::Nightly { home } => home.join("bin/cargo"),
            Self::Debian => env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from),
        }
    }

    /// The compiler itself.
    #[must_use]
    pub fn rustc(&self) -> PathBuf {
        match self {
            Self::Nightly { home } => home.join("bin/rustc"),
            Self::Debian => DEBIAN_RUSTC.into(),
        }
    }
}

/// The folder of the newest nightly that has the sources of `core` and an LLVM that bpf-linker can follow.
fn nightly() -> Option<PathBuf> {
    let home = env::var_os("RUSTUP_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".rustup")))?;
    let mut nightlies: Vec<_> = std::fs::read_dir(home.join("toolchains"))
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("nightly-"))
        })
        .filter(|path| {
            path.join("lib/rustlib/src/rust/library/core/Cargo.toml")
                .is_file()
        })
        .collect();
    // Plain `nightly-<host>` sorts behind every dated `nightly-2026-…`, and those sort by date.
    nightlies.sort();
    nightlies
        .into_iter()
        .rev()
        .find(|path| llvm_fits(&path.join("bin/rustc")))
}

fn llvm_fits(rustc: &Path) -> bool {
    llvm_of(rustc).is_ok_and(|version| version <= LLVM_VERSION)
}

fn llvm_of(rustc: &Path) -> Result<u32> {
    let output = Command::new(rustc).arg("-vV").output()?;
    let text = String::from_utf8(output.stdout)?;
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))
        .context("no LLVM version")?;
    Ok(version.split('.').next().unwrap_or(version).parse()?)
}

fn debian_has_core() -> bool {
    let library = Path::new("/usr/lib/rustlib").join(TARGET).join("lib");
    let Ok(entries) = std::fs::read_dir(library) else {
        return false;
    };
    let mut names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    names.any(|name| name.to_string_lossy().starts_with("libcore-")) && Path::new(DEBIAN_RUSTC).is_file()
}

/// The path of bpf-linker: on the search path, or where `cargo install` puts it.
#[must_use]
pub fn linker() -> Option<PathBuf> {
    let search_path = env::var_os("PATH").unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")));
    env::split_paths(&search_path)
        .chain(cargo_home.map(|home| home.join("bin")))
        .map(|directory| directory.join("bpf-linker"))
        .find(|path| path.is_file())
}
