//! The programs of a machine: our tests and what they start, and the tools of this machine, with their libraries.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::suite::Scope;
use crate::output::written;
use crate::workspace;

/// Tools that tests call.
const TOOLS: [&str; 7] = ["ip", "tc", "unshare", "setpriv", "nft", "wg", "ethtool"];

/// Where our programs are in the machine: tests look for the agent beside their own directory.
const OURS: &str = "target/debug";

/// Every program, built.
#[derive(Debug)]
pub(super) struct Programs {
    /// With the paths that they have in the machine.
    ours: Vec<(PathBuf, PathBuf)>,
}

impl Programs {
    /// Builds what a scope needs.
    pub(super) fn build(scope: Scope) -> Result<Self> {
        let mut bins = workspace::cargo([
            "build",
            "--package",
            "kproxy",
            "--package",
            "kproxy-tests",
            "--bins",
        ]);
        let status = bins.status().context("starting cargo")?;
        ensure!(status.success(), "{} ended with {status}", written(&bins));
        let beside = workspace::target().join("debug");
        let mut ours: Vec<_> = ["kproxy", "echo"]
            .map(|name| (beside.join(name), Path::new(OURS).join(name)))
            .into();
        for (name, path) in tests(scope.tests())? {
            ours.push((path, Path::new(OURS).join("deps").join(name)));
        }
        Ok(Self { ours })
    }

    /// Puts them into the root directory of a machine, with the libraries that they need.
    pub(super) fn install(&self, root: &Path) -> Result<()> {
        let mut libraries = BTreeSet::new();
        for (path, inside) in &self.ours {
            libraries.extend(libraries_of(path)?);
            let to = root.join(inside);
            make_parent(&to)?;
            // Without what a debugger wants, which is nine tenths.
            let mut strip = Command::new("strip");
            strip.arg("-o").arg(&to).arg(path);
            let status = strip.status().context("starting strip")?;
            ensure!(status.success(), "{} ended with {status}", written(&strip));
        }
        for name in TOOLS.into_iter().chain(["busybox"]) {
            let path = workspace::program(name).with_context(|| format!("no {name} on this machine"))?;
            libraries.extend(libraries_of(&path)?);
            // Before busybox's own, which are in other directories.
            copy(&path, &root.join("usr/sbin").join(name))?;
        }
        // busybox's shell calls its own tools before those of the machine.
        let shell = Path::new("/bin/sh");
        libraries.extend(libraries_of(shell)?);
        copy(shell, &root.join("bin/sh"))?;
        for library in libraries {
            copy(
                &library,
                &root.join(library.strip_prefix("/").unwrap_or(&library)),
            )?;
        }
        Ok(())
    }
}

/// The test programs of `kproxy-tests` with these names, built.
fn tests(names: &[&'static str]) -> Result<Vec<(&'static str, PathBuf)>> {
    let selected = names.iter().flat_map(|name| ["--test", *name]);
    let arguments = ["test", "--package", "kproxy-tests", "--no-run"];
    let mut cargo = workspace::cargo(arguments.into_iter().chain(selected));
    let output = cargo.output().context("starting cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{} ended with {}:\n{said}", written(&cargo), output.status);
    }
    let found = names.iter().map(|name| {
        let path = executable(&said, name).with_context(|| format!("cargo built no test {name}:\n{said}"))?;
        Ok((*name, workspace::root().join(path)))
    });
    found.collect()
}

/// Cargo's line `Executable tests/name.rs (target/debug/deps/name-0123456789abcdef)`.
fn executable<'a>(said: &'a str, name: &str) -> Option<&'a str> {
    said.lines().find_map(|line| {
        let (_, path) = line.trim().strip_prefix("Executable ")?.split_once(" (")?;
        let path = path.strip_suffix(')')?;
        let (stem, _) = path.rsplit_once('/')?.1.rsplit_once('-')?;
        (stem == name).then_some(path)
    })
}

/// What the dynamic linker would load for a program; nothing for a static one.
fn libraries_of(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("starting ldd")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let paths = printed.lines().filter_map(|line| {
        let path = line.split_whitespace().find(|word| word.starts_with('/'))?;
        Some(PathBuf::from(path))
    });
    Ok(paths.collect())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    make_parent(to)?;
    // Follows links, as libraries have.
    fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))
}

#[cfg(test)]
mod tests {
    use super::executable;

    #[test]
    fn tests_are_found_by_what_cargo_says() {
        let said = "   Compiling kproxy-tests v0.1.0\n    Finished `test` profile\n  Executable tests/dataplane/main.rs \
                    (target/debug/deps/dataplane-0a1b)\n  Executable tests/clsact.rs (target/debug/deps/clsact-2c3d)\n";
        assert_eq!(executable(said, "clsact"), Some("target/debug/deps/clsact-2c3d"));
        assert_eq!(
            executable(said, "dataplane"),
            Some("target/debug/deps/dataplane-0a1b")
        );
        assert_eq!(executable(said, "data"), None);
    }
}
