//! `cargo xtask test kernels`: the same tests on the kernels of Debian's releases, in virtual machines.
//!
//! * [`package`]: a kernel out of Debian's packages, unpacked and not installed
//! * [`programs`]: the tests and the tools they call
//! * [`image`]: the machine's files
//! * [`suite`]: what it runs
//! * [`machine`]: it boots, and what it prints is passed on and counted
//!
//! The machines are emulated, which makes them twenty to fifty times slower than this one. So `cargo xtask test` runs a part
//! of it (`--quick`), and they all work at once.

mod image;
mod machine;
mod package;
mod programs;
mod suite;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::output::seconds;
use crate::setup::{self, Purpose};
use crate::test::Totals;
use machine::Running;
use package::{KERNELS, Kernel};
use programs::Programs;
pub(crate) use suite::Scope;

/// Runs the suite on every kernel. The last line is `N passed, N failed`.
pub(crate) fn run(scope: Scope) -> ExitCode {
    let totals = all(scope).unwrap_or_else(|error| {
        println!("error: {error:#}");
        Totals { passed: 0, failed: 1 }
    });
    println!("{totals}");
    if totals.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn all(scope: Scope) -> Result<Totals> {
    setup::ensure(Purpose::Test)?;
    let programs = Programs::build(scope)?;
    let start = Instant::now();
    let mut machines = Vec::new();
    for kernel in &KERNELS {
        let steps = suite::steps(scope, kernel);
        let machine = boot(kernel, &programs, &steps, scope)
            .with_context(|| format!("making a machine for Linux {}", kernel.name))?;
        machines.push((kernel.name, machine, steps.len()));
    }
    let totals = machines.into_iter().map(|(name, machine, steps)| {
        println!("\n==> Linux {name}");
        let counted = machine.finish(steps);
        println!("==> Linux {name}: {counted} ({})", seconds(start.elapsed()));
        counted
    });
    Ok(totals.sum())
}

fn boot(kernel: &Kernel, programs: &Programs, steps: &[String], scope: Scope) -> Result<Running> {
    let unpacked = package::unpacked(kernel)?;
    let image = image::make(&unpacked, programs, steps)?;
    Running::start(&unpacked.image, &image, scope.bound())
}
