//! The environment of the inner cargo: the user's, without what the outer cargo put in for its own compiler.

use std::env;
use std::process::Command;

/// Variables that speak of the user's machine, not of the build at hand.
const KEPT: [&str; 7] = [
    "CARGO_HOME",
    // The job server: inner and outer cargo share the number of jobs.
    "CARGO_MAKEFLAGS",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
];

/// Variables that choose a compiler, wrap it or change its output.
const CLEARED: [&str; 5] = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"];

/// Removes from the environment of `command` whatever would steer it to the outer cargo's compiler and flags.
pub(super) fn clear(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_cleared) {
            command.env_remove(name);
        }
    }
}

fn is_cleared(name: &str) -> bool {
    let starts_with_any = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    starts_with_any(&CLEARED) && !starts_with_any(&KEPT)
}

#[cfg(test)]
mod tests {
    use super::is_cleared;

    #[test]
    fn compilers_and_flags_go_the_machine_stays() {
        for name in [
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_TARGET_DIR",
            "RUSTC",
            "CARGO",
        ] {
            assert!(is_cleared(name), "{name}");
        }
        for name in [
            "CARGO_HOME",
            "CARGO_REGISTRIES_OURS_INDEX",
            "CARGO_MAKEFLAGS",
            "PATH",
            "RUSTUP_HOME",
        ] {
            assert!(!is_cleared(name), "{name}");
        }
    }
}
