//! `cargo xtask test kernels`: the same tests on the kernels of Debian's releases, in virtual machines.
//!
//! * [`package`]: a kernel out of Debian's packages, unpacked and not installed
//! * [`programs`]: the tests and the tools they call
//! * [`image`]: the machine's files
//! * [`suite`]: what it runs
//! * [`machine`]: it boots, and what it prints is passed on and counted
//!
//! The machine is emulated where nothing better is at hand, which makes it twenty to fifty times slower than this one. So
//! `cargo xtask test` leaves it out, and `--quick` runs a part of it.

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
use package::KERNELS;
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
    let mut totals = Vec::new();
    for kernel in &KERNELS {
        println!("\n==> Linux {}", kernel.name);
        let start = Instant::now();
        let unpacked = package::unpacked(kernel)?;
        let steps = suite::steps(scope, kernel);
        let image = image::make(&unpacked, &programs, &steps)
            .with_context(|| format!("making a machine for Linux {}", kernel.name))?;
        let counted = machine::run(&unpacked.image, &image, scope.bound(), steps.len())?;
        println!(
            "==> Linux {}: {counted} ({})",
            kernel.name,
            seconds(start.elapsed())
        );
        totals.push(counted);
    }
    Ok(totals.into_iter().sum())
}
