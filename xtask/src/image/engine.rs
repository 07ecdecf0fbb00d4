//! The program that builds images: whichever is there.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::workspace;

/// In the order in which they are looked for: those that need no daemon first.
const NAMES: [&str; 3] = ["buildah", "podman", "docker"];

/// A program that builds images.
#[derive(Debug)]
pub(super) struct Engine {
    name: &'static str,
    program: PathBuf,
}

impl Engine {
    /// The first that is on the search path.
    pub(super) fn find() -> Result<Self> {
        Self::first(workspace::program)
    }

    fn first(find: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        for name in NAMES {
            if let Some(program) = find(name) {
                return Ok(Self { name, program });
            }
        }
        bail!(
            "building an image takes buildah, podman or docker, and none of them is here: install one (on Debian and \
             Ubuntu: apt-get install buildah), or build only the program with `cargo xtask image --binary-only`"
        )
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// All three understand the same words.
    pub(super) fn build(&self, tag: &str, file: &Path, context: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["build", "--tag", tag, "--file"])
            .arg(file)
            .arg(context);
        command
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::Engine;
    use crate::output::written;

    #[test]
    fn the_first_engine_that_is_there_builds() {
        let rows = [
            (&["buildah", "podman", "docker"][..], "buildah"),
            (&["docker", "podman"], "podman"),
            (&["docker"], "docker"),
        ];
        for (there, expected) in rows {
            let find = |name: &str| {
                there
                    .contains(&name)
                    .then(|| PathBuf::from("/usr/bin").join(name))
            };
            let engine = Engine::first(find).expect("an engine");
            assert_eq!(engine.name(), expected);
            let command = engine.build("kproxy:1", Path::new("/w/deploy/Containerfile"), Path::new("/t"));
            assert_eq!(
                written(&command),
                format!("{expected} build --tag kproxy:1 --file /w/deploy/Containerfile /t")
            );
        }
    }

    #[test]
    fn without_an_engine_all_three_are_named() {
        let error = Engine::first(|_| None).expect_err("no engine").to_string();
        for name in super::NAMES {
            assert!(error.contains(name), "{error}");
        }
    }
}
