//! The acceptance table with real sockets and real agents. Needs root.

use kproxy_tests::acceptance::netns::Netns;
use kproxy_tests::acceptance::{Row, Runner, rows, run_groups};
use kproxy_tests::cluster::Cni;

#[test]
fn every_row_holds_with_routed_pods() -> anyhow::Result<()> {
    play("rowsrouted", Cni::RoutedVeth)
}

#[test]
fn every_row_holds_with_pods_on_a_bridge() -> anyhow::Result<()> {
    play("rowsbridge", Cni::Bridge)
}

#[test]
fn every_row_holds_with_pods_in_an_overlay() -> anyhow::Result<()> {
    play("rowsvxlan", Cni::Vxlan)
}

fn play(name: &str, cni: Cni) -> anyhow::Result<()> {
    let mut netns = Netns::start(name, cni)?;
    run_groups(&rows::all(), Runner::Netns, Row::is_beside, |rows| {
        netns.play_group(rows)
    })
}
