//! The acceptance table against the loaded programs, packet by packet. Needs root.

use std::time::Duration;

use anyhow::ensure;
use kproxy_common::Nanoseconds;
use kproxy_tests::acceptance::kernel::{Forwarded, Kernel};
use kproxy_tests::acceptance::{Runner, rows, run_all};

#[test]
fn every_row_holds_in_the_kernel() -> anyhow::Result<()> {
    let mut kernel = Kernel::load()?;
    run_all(&rows::all(), Runner::Kernel, |row| kernel.play(row))?;
    // TC does what begins anew in the place of a flow that went up the stack.
    let Forwarded { early, late } = kernel.forwarded();
    ensure!(
        late * 20 < early,
        "XDP sent {early} packets on and left {late} to TC"
    );
    Ok(())
}

/// The kernel's clock can not be turned, and flows not be made older than the machine: a shorter memory does.
#[test]
fn silent_connections_are_kept_and_forgotten_in_the_kernel() -> anyhow::Result<()> {
    let mut kernel = Kernel::load_with(|settings| settings.tcp_idle = Nanoseconds::from_seconds(12))?;
    let rows = rows::silent(Duration::from_secs(6), Duration::from_secs(13));
    rows.iter().try_for_each(|row| kernel.play(row))
}
