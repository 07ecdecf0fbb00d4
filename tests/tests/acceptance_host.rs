//! The acceptance table against the datapath library in memory.

use kproxy_tests::acceptance::{Runner, host, rows, run_apart};

#[test]
fn every_row_holds_in_the_library() -> anyhow::Result<()> {
    run_apart(&rows::all(), Runner::Host, host::play)
}
