//! `cargo xtask test`: every check there is, each with its time, and a look at what they left behind.
//!
//! A step that fails does not end the run: the more is known the better, and leftovers have to be found in any case.
//! The last line is always `N passed, N failed`.

mod leftovers;
mod step;
mod summary;
mod totals;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::machine;
use crate::setup::{self, Purpose};
use leftovers::Watch;
use step::{Outcome, Step};
pub(crate) use totals::{Totals, parse as parse_totals};

/// Runs everything, or only the tests whose name contains `filter`.
pub(crate) fn run(filter: Option<&str>) -> ExitCode {
    let outcomes = match prepare(filter) {
        Ok(watch) => all(filter, watch),
        Err(error) => vec![Outcome::failed("preparation", format!("{error:#}"))],
    };
    println!("\n{}", summary::table(&outcomes));
    let totals: Totals = outcomes.iter().map(Outcome::totals).sum();
    println!("{totals}");
    if totals.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn prepare(filter: Option<&str>) -> Result<Watch> {
    ensure!(
        machine::is_root(),
        "the tests load BPF programs and make network namespaces; nothing was run: start it again as root"
    );
    // Kernels are emulated only where everything runs.
    setup::ensure(if filter.is_some() {
        Purpose::MeasureStreams
    } else {
        Purpose::Test
    })?;
    Watch::start()
}

fn all(filter: Option<&str>, watch: Watch) -> Vec<Outcome> {
    let steps = steps(filter);
    // The look at what is left is a step as well.
    let count = steps.len() + 1;
    let mut outcomes: Vec<_> = steps
        .into_iter()
        .enumerate()
        .map(|(index, step)| step.run(index + 1, count))
        .collect();

    println!("\n==> {count}/{count} clean-up: nothing may be left of the tests");
    let start = Instant::now();
    outcomes.push(Outcome::of_check("clean-up", start, watch.finish()));
    outcomes
}

fn steps(filter: Option<&str>) -> Vec<Step> {
    let mut steps = if filter.is_some() { Vec::new() } else { checks() };
    steps.push(Step::new(
        "build",
        "the agent and the programs that tests start",
        ["build", "--workspace"],
    ));
    steps.extend(tests(filter));
    if filter.is_none() {
        steps.push(Step::new(
            "other kernels",
            "the programs load and serve on Debian's 6.1 and 6.12",
            ["run", "--package", "xtask", "--", "test", "kernels", "--quick"],
        ));
    }
    steps
}

/// What needs no test to be wrong.
fn checks() -> Vec<Step> {
    let kernel_lints = |name, purpose, features| {
        let command = [
            "clippy",
            "--package",
            "kproxy-ebpf",
            "--bin",
            "dataplane",
            "--features",
            features,
        ];
        // Without the standard library there is nothing to unwind with.
        Step::new(name, purpose, command.into_iter().chain(["--", "-D", "warnings"]))
            .with("CARGO_PROFILE_DEV_PANIC", "abort")
    };
    vec![
        Step::new(
            "format",
            "rustfmt would change nothing",
            ["fmt", "--all", "--check"],
        ),
        Step::new(
            "lints",
            "clippy has nothing to say",
            ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"],
        ),
        kernel_lints(
            "lints of the kernel programs",
            "the same, compiled for this machine instead of the kernel's",
            "kernel",
        ),
        kernel_lints("lints of their log", "the same, with the debug log", "debug-log"),
        Step::new(
            "documentation",
            "it is complete and its links lead somewhere",
            ["doc", "--workspace", "--no-deps"],
        )
        .with("RUSTDOCFLAGS", "-D warnings"),
    ]
}

fn tests(filter: Option<&str>) -> Vec<Step> {
    let test = |name, purpose, targets: &[&'static str], options: &[&'static str]| {
        let cargo = ["test", "--workspace", "--no-fail-fast"]
            .iter()
            .chain(targets)
            .chain(&["--"]);
        let arguments = cargo
            .chain(options)
            .map(ToString::to_string)
            .chain(filter.map(str::to_owned));
        // What failed is told by its message, which a trace of the runtime's frames would bury.
        Step::new(name, purpose, arguments).with("RUST_BACKTRACE", "0")
    };
    vec![
        test("unit tests", "of every crate", &["--lib", "--bins"], &[]),
        test("examples", "in the documentation", &["--doc"], &[]),
        // Each starts a cluster with agents; more at one time than processors only makes them wait for each other.
        test(
            "integration tests",
            "with network namespaces and the running kernel",
            &["--test", "*"],
            &["--test-threads=2"],
        ),
    ]
}
