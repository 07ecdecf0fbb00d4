//! Where things are in this workspace, and the cargo that works on it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Programs that set-up could not get from the distribution.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// The program called `name`: one of ours, or one on the search path.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    env::split_paths(&search_path())
        .map(|directory| directory.join(name))
        .find(|path| path.is_file())
}

/// A cargo for this workspace, whose children find the tools of set-up.
pub(crate) fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| SPEAKS_OF_XTASK.iter().any(|prefix| name.starts_with(prefix)))
        {
            cargo.env_remove(name);
        }
    }
    cargo
        .current_dir(root())
        .env("PATH", search_path())
        .args(arguments);
    cargo
}

/// What `cargo run` tells xtask about the package xtask; it would tell other packages wrong.
const SPEAKS_OF_XTASK: [&str; 4] = ["CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_MANIFEST_", "CARGO_PKG_"];

/// The target directory: the one this program was built into.
pub(crate) fn target() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    let marked = program
        .ancestors()
        .skip(1)
        .find(|directory| directory.join("CACHEDIR.TAG").is_file());
    marked.map_or_else(|| root().join("target"), Path::to_owned)
}

/// The user's search path, behind our own tools and before the places where cargo and administrators put programs,
/// which `su` leaves out.
fn search_path() -> OsString {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cargo")));
    let directories = [tools()]
        .into_iter()
        .chain(env::split_paths(&inherited))
        .chain(cargo_home.map(|home| home.join("bin")))
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    env::join_paths(directories).unwrap_or(inherited)
}
