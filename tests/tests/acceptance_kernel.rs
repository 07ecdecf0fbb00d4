//! The acceptance table against the loaded programs, packet by packet. Needs root.

use anyhow::ensure;
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
