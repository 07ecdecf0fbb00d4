//! `cargo xtask fuzz`: looks for packets that the data plane treats as its model forbids.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// Counters for libFuzzer, which lead it to new paths. Flags of a stable compiler, as cargo-fuzz gives them.
const COVERAGE: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Builds the target and lets it run for so long. What it learns is kept below the target directory for the next time.
pub(crate) fn fuzz(seconds: u32) -> Result<ExitCode> {
    let host = host()?;
    let target = workspace::target().join("fuzz");
    let built = workspace::cargo(["build", "--release", "--target", &host])
        .args(["--manifest-path", "fuzz/Cargo.toml", "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f"))
        .status()
        .context("starting cargo")?;
    if !built.success() {
        return Ok(ExitCode::FAILURE);
    }
    let corpus = target.join("corpus");
    std::fs::create_dir_all(&corpus).with_context(|| format!("creating {}", corpus.display()))?;
    let program = target.join(&host).join("release/doors");
    let found = Command::new(&program)
        .current_dir(&target)
        .arg(&corpus)
        .args([format!("-max_total_time={seconds}"), "-max_len=4096".into()])
        .status()
        .with_context(|| format!("starting {}", program.display()))?;
    Ok(if found.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The compiler's own target: named, so that build scripts and macros are built without counters.
fn host() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("starting rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    match host {
        Some(host) => Ok(host.to_owned()),
        None => bail!("rustc -vV names no host"),
    }
}
