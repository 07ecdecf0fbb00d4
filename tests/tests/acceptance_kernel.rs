//! The acceptance table against the loaded programs, packet by packet. Needs root.

use kproxy_tests::acceptance::kernel::Kernel;
use kproxy_tests::acceptance::{Runner, rows, run_all};

#[test]
fn every_row_holds_in_the_kernel() -> anyhow::Result<()> {
    let mut kernel = Kernel::load()?;
    run_all(&rows::all(), Runner::Kernel, |row| kernel.play(row))
}
