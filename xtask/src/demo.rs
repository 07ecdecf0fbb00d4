//! `cargo xtask demo` and `cargo xtask bench`: programs of `kproxy-tests`, built and started.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};

use crate::cli::Benchmark;
use crate::{machine, workspace};

/// Builds everything that the demo starts, and becomes the demo.
pub(crate) fn demo(arguments: &[String]) -> Result<ExitCode> {
    start("demo", &[], arguments)
}

/// Builds one benchmark with optimisations, and becomes it.
pub(crate) fn bench(what: Benchmark, arguments: &[String]) -> Result<ExitCode> {
    let binary = match what {
        Benchmark::Everything => "bench",
        Benchmark::Datapath => "bench-datapath",
        Benchmark::Control => "bench-control",
        Benchmark::Scale => "bench-scale",
        Benchmark::Uplink => "bench-uplink",
        Benchmark::Changes => "bench-changes",
    };
    start(binary, &["--release"], arguments)
}

fn start(binary: &str, profile: &[&str], arguments: &[String]) -> Result<ExitCode> {
    ensure!(
        machine::is_root(),
        "this makes network namespaces and loads BPF programs: run it as root"
    );
    // The agents and the echo servers of a cluster are programs of their own, which `cargo run` would not build.
    let status = workspace::cargo([
        "build",
        "--package",
        "kproxy",
        "--package",
        "kproxy-tests",
        "--bins",
    ])
    .args(profile)
    .status()
    .context("starting cargo")?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    let error = workspace::cargo(["run", "--quiet", "--package", "kproxy-tests", "--bin", binary])
        .args(profile)
        .arg("--")
        .args(arguments)
        .exec();
    Err(error).context("starting cargo")
}
