//! Long streams through every walk arrive intact, whatever devices do for checksums and segments. Needs root and
//! `ethtool`.

mod passing;
mod stage;
mod tcp;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use kproxy_common::Family;
use kproxy_tests::acceptance::world::FAMILIES;
use kproxy_tests::cluster::Cni;
use kproxy_tests::offloads::{self, Offloads};
use kproxy_tests::patience::patience;

use passing::Passing;
use stage::{CABLE, Stage, Walk};

/// How long a change may take to show. A bound against hanging, not a measurement.
const BOUND: Duration = Duration::from_secs(10);
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
    let sent = stage.counted_by_xdp("eth0", "tx")?;
    // There and back by two walks and both families, in packets of at most 1,500 bytes.
    let packets = SHORT / 1_500 * 2 * 2 * 2;
    ensure!(sent > packets, "XDP has sent {sent} of {packets} packets");
    Ok(())
}

/// XDP behind the driver leaves packets to TC as it found them: backends here are reached there.
#[test]
fn streams_arrive_by_generic_xdp_and_tc() -> anyhow::Result<()> {
    let stage = Stage::with_arguments("streamgeneric", Cni::RoutedVeth, &["--xdp", "generic"])?;
    let walks = [Walk::Here, Walk::Node, Walk::Elsewhere, Walk::Hairpin];
    streams_arrive(&stage, &walks, Offloads::Off, |_, _| SHORT)
}

/// Walk d where requests and answers leave by another device than they came by: by XDP where the driver of that device takes
/// them, which that of a veth does as long as its other end has a program, and else by TC.
#[test]
fn streams_arrive_by_xdp_and_another_device() -> anyhow::Result<()> {
    let stage = Stage::with_arguments("streamcross", Cni::RoutedVeth, &["--xdp", "native"])?;
    stage.lay_cable()?;
    let redirected = || -> anyhow::Result<[u64; 2]> {
        let [requests, answers] = ["eth0", CABLE].map(|device| stage.counted_by_xdp(device, "redirect"));
        Ok([requests?, answers?])
    };
    let travel = |what: &str, length| {
        let travelled = FAMILIES.map(|family| stage.travel(Walk::Elsewhere, family, length));
        let all: anyhow::Result<Vec<_>> = travelled.into_iter().collect();
        all.with_context(|| format!("{what}; {}", stage.counters()))
    };
    // Whether a short stream is redirected, in the one direction and the other.
    let until = |are: [bool; 2]| -> anyhow::Result<()> {
        let bound = Instant::now() + patience(BOUND);
        loop {
            let before = redirected()?;
            // What the driver took a moment ago may be lost.
            let travelled = travel("a change", 1 << 16);
            let after = redirected()?;
            if travelled.is_ok() && are == [0, 1].map(|way| after[way] > before[way]) {
                return Ok(());
            }
            ensure!(
                Instant::now() < bound,
                "not {are:?}: {before:?}, {after:?}, {travelled:?}"
            );
        }
    };
    let packets = SHORT / 1_500 * 2;
    offloads::set(&stage.cluster, Offloads::Off)?;

    // The other node's agent has a program on its end of the cable; the switch has none.
    until([true, false])?;
    let [before, _] = redirected()?;
    travel("requests", SHORT)?;
    let [requests, answers] = redirected()?;
    ensure!(
        requests - before > packets,
        "{requests} requests since {before} were redirected"
    );
    ensure!(
        answers == 0,
        "{answers} answers were redirected to a device that does not send them"
    );

    // Now it has.
    let early = Passing::new(stage.cluster.switch())?;
    until([true, true])?;
    let [_, before] = redirected()?;
    travel("answers", SHORT)?;
    let [_, answers] = redirected()?;
    ensure!(
        answers - before > packets,
        "{answers} answers since {before} were redirected"
    );

    // And has it no more.
    drop(early);
    until([true, false])?;
    travel("without", SHORT)?;
    Ok(())
}
