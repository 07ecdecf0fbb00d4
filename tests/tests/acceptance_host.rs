//! The acceptance table against the datapath library in memory.

use kproxy_tests::acceptance::{Runner, host, rows, run_all};

#[test]
fn every_row_holds_in_the_library() -> anyhow::Result<()> {
    run_all(&rows::all(), Runner::Host, host::play)
}
