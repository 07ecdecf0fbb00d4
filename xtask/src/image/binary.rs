//! The agent as one static program.
//!
//! It is linked with glibc, which Debian and Ubuntu bring as a static library (in `libc6-dev`), and not with musl,
//! whose target would have to be installed. Names of hosts are resolved all the same: since 2.34, glibc has the
//! sources `files` and `dns` inside, and needs no library for them.

use std::env::consts::ARCH;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::workspace;

/// What the linker is told, beside what cargo tells it. Function names stay, for backtraces.
const FLAGS: &str = "-C target-feature=+crt-static -C strip=debuginfo";

/// Builds it, with optimisations unless it is for tests. Nothing when it does not compile, which cargo has told.
pub(super) fn build(dev: bool) -> Result<Option<PathBuf>> {
    let status = command(dev).status().context("starting cargo")?;
    Ok(status.success().then(|| path(dev)))
}

fn command(dev: bool) -> Command {
    // Named, although it is this machine's: flags are then not for build scripts and procedural macros, which can not
    // be static. A folder of its own keeps both builds fresh.
    let mut cargo = workspace::cargo(["build", "--package", "kproxy", "--bin", "kproxy"]);
    cargo
        .args(["--target", &target()])
        .arg("--target-dir")
        .arg(workspace::target().join("image"));
    if dev {
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "false");
    } else {
        cargo.arg("--release");
    }
    cargo.env("RUSTFLAGS", FLAGS);
    cargo
}

fn path(dev: bool) -> PathBuf {
    let profile = if dev { "debug" } else { "release" };
    let folder = workspace::target().join("image").join(target());
    folder.join(profile).join("kproxy")
}

fn target() -> String {
    format!("{ARCH}-unknown-linux-gnu")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::{command, path};
    use crate::output::written;

    #[test]
    fn the_binary_is_static_and_optimised_unless_it_is_for_tests() {
        for (dev, profile) in [(false, "release"), (true, "debug")] {
            let command = command(dev);
            let text = written(&command);
            assert_eq!(text.contains(" --release"), !dev, "{text}");
            assert!(text.contains("-unknown-linux-gnu"), "{text}");
            let flags = command.get_envs().find(|(name, _)| *name == "RUSTFLAGS");
            let flags = flags.and_then(|(_, value)| value).and_then(OsStr::to_str);
            assert!(
                flags.is_some_and(|flags| flags.contains("+crt-static")),
                "{flags:?}"
            );
            assert!(path(dev).ends_with(format!("{profile}/kproxy")));
        }
    }
}
