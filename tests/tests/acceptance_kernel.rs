//! The acceptance table against the loaded programs, packet by packet. Needs root.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kproxy_common::Nanoseconds;
use kproxy_tests::acceptance::kernel::{Forwarded, Kernel};
use kproxy_tests::acceptance::row::{Arrival, Step, Then};
use kproxy_tests::acceptance::simulation::Fate;
use kproxy_tests::acceptance::state::web;
use kproxy_tests::acceptance::world::{FAMILIES, OUTSIDE, Pod, Vip};
use kproxy_tests::acceptance::{Row, Runner, rows, run_all};
use kproxy_tests::cluster::ip;
use kproxy_tests::host::frame::{Frame, Tcp, Transport};
use kproxy_tests::patience::patience;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// A bound against hanging, not a measurement.
const BOUND: Duration = Duration::from_secs(30);

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

/// Has this thread run on one processor from here on: ways are remembered for each.
fn stay_on_a_processor() -> anyhow::Result<()> {
    let thread = Pid::from_raw(0);
    let all = sched_getaffinity(thread)?;
    let first = (0..CpuSet::count()).find(|cpu| all.is_set(*cpu).unwrap_or_default());
    let mut one = CpuSet::new();
    one.set(first.context("no processor")?)?;
    Ok(sched_setaffinity(thread, &one)?)
}

/// Routes are not asked for each packet, but soon.
#[test]
fn flows_follow_routes_that_change() -> anyhow::Result<()> {
    const NODE_PORT: u16 = 30_190;
    stay_on_a_processor()?;
    let mut kernel = Kernel::load()?;
    for family in FAMILIES {
        let client = (OUTSIDE.address(family), 40_100).into();
        let packet = |kind| {
            let to = Vip::Node.port(NODE_PORT, family);
            Frame::new(client, to, Transport::Tcp(kind)).bytes()
        };
        let opens = Step::Arrival(Arrival {
            bytes: packet(Tcp::Syn)?,
            segment_size: 0,
            then: Then::Reaches(vec!["web-2"]),
        });
        let row = Row::new("a flow to a backend elsewhere").state(web(&["web-2"]).node_port(NODE_PORT));
        kernel.play(&row.step(opens))?;
        let goes_on = packet(Tcp::Ack)?;
        let backend = Pod::named("web-2").address(family);
        let until = |leaves: bool| {
            let bound = Instant::now() + patience(BOUND);
            while matches!(kernel.arrive(&goes_on)?, Fate::Forwarded(_)) != leaves {
                ensure!(Instant::now() < bound, "{family}: that it leaves is not {leaves}");
                sleep(Duration::from_millis(1));
            }
            Ok(())
        };
        until(true)?;
        ip::batch(None, &[format!("route add unreachable {backend}")])?;
        until(false)?;
        ip::batch(None, &[format!("route delete unreachable {backend}")])?;
        until(true)?;
    }
    Ok(())
}
