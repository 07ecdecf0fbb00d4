//! Long streams through every walk arrive intact, whatever devices do for checksums and segments. Needs root and
//! `ethtool`.

mod passing;
mod stage;
mod tcp;

use anyhow::{Context as _, ensure};
use kproxy_common::Family;
use kproxy_tests::acceptance::world::FAMILIES;
use kproxy_tests::cluster::Cni;
use kproxy_tests::offloads::{self, Offloads};

use passing::Passing;
use stage::{Stage, Walk};

/// A file of one GiB.
const LONG: u64 = 1 << 30;
/// As much as passes in a second where every packet is as long as its cable allows, and several of each queue.
const SHORT: u64 = LONG / 16;

/// Sends a stream of this length through each of these walks.
fn streams_arrive(
    stage: &Stage,
    walks: &[Walk],
    offloads: Offloads,
    length: impl Fn(Walk, Family) -> u64,
) -> anyhow::Result<()> {
    offloads::set(&stage.cluster, offloads)?;
    for &walk in walks {
        for family in FAMILIES {
            let length = length(walk, family);
            let report = stage
                .travel(walk, family, length)
                .with_context(|| format!("{walk:?} {family}, {offloads:?}; {}", stage.counters()))?;
            let millis = report.micros / 1000;
            println!("{walk:?} {family}, {offloads:?}: {length} bytes there and back in {millis} ms");
        }
    }
    let dropped = stage.dropped()?;
    ensure!(dropped.is_empty(), "kproxy dropped packets: {dropped:?}");
    Ok(())
}

#[test]
fn streams_arrive_with_offloads() -> anyhow::Result<()> {
    let stage = Stage::new("streamon", Cni::RoutedVeth)?;
    streams_arrive(&stage, &Walk::ALL, Offloads::On, |_, _| LONG)
}

#[test]
fn streams_arrive_without_offloads() -> anyhow::Result<()> {
    let stage = Stage::new("streamoff", Cni::RoutedVeth)?;
    streams_arrive(&stage, &Walk::ALL, Offloads::NotOnNodes, |_, _| SHORT)?;
    streams_arrive(&stage, &Walk::ALL, Offloads::Off, |walk, family| {
        match (walk, family) {
            (Walk::Elsewhere, Family::V4) => LONG,
            _ => SHORT,
        }
    })
}

#[test]
fn streams_arrive_through_an_overlay() -> anyhow::Result<()> {
    let stage = Stage::new("streamover", Cni::Vxlan)?;
    for offloads in [Offloads::On, Offloads::NotOnNodes, Offloads::Off] {
        streams_arrive(&stage, &[Walk::Pod, Walk::Elsewhere], offloads, |_, _| SHORT)?;
    }
    Ok(())
}

/// Walk d and the way back, past TC: every packet of the stream comes in by XDP and goes out by it.
#[test]
fn streams_arrive_by_xdp() -> anyhow::Result<()> {
    let stage = Stage::with_arguments("streamxdp", Cni::RoutedVeth, &["--xdp", "native"])?;
    let _early = Passing::new(stage.cluster.switch())?;
    let walks = [Walk::Here, Walk::Node, Walk::Elsewhere, Walk::Hairpin];
    streams_arrive(&stage, &walks, Offloads::Off, |_, _| SHORT)?;
    let sent = stage.sent_by_xdp()?;
    // There and back by two walks and both families, in packets of at most 1,500 bytes.
    let packets = SHORT / 1_500 * 2 * 2 * 2;
    ensure!(sent > packets, "XDP has sent {sent} of {packets} packets");
    Ok(())
}
