//! The acceptance table against the loaded programs, packet by packet. Needs root.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use kproxy_common::{DeviceFlags, Family, Nanoseconds};
use kproxy_tests::acceptance::kernel::network::TAG;
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

/// One load of the programs for all of it, which takes long on an emulated processor.
#[test]
fn the_kernel_decides_as_it_should() -> anyhow::Result<()> {
    let mut kernel = Kernel::load()?;
    every_row_holds(&mut kernel)?;
    stay_on_a_processor()?;
    flows_follow_routes_that_change(&mut kernel)?;
    other_tags_are_left_to_the_kernel(&mut kernel)?;
    xdp_sends_by_another_device_what_that_can_send(&mut kernel)
}

fn every_row_holds(kernel: &mut Kernel) -> anyhow::Result<()> {
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
fn flows_follow_routes_that_change(kernel: &mut Kernel) -> anyhow::Result<()> {
    for family in FAMILIES {
        let goes_on = flow_to_elsewhere(kernel, family, 40_100)?.bytes()?;
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

/// XDP decides on what is of a VLAN that it knows, and on nothing else that has a tag.
fn other_tags_are_left_to_the_kernel(kernel: &mut Kernel) -> anyhow::Result<()> {
    let [kind, zero, priority, id] = TAG;
    for family in FAMILIES {
        let goes_on = flow_to_elsewhere(kernel, family, 40_102)?.bytes()?;
        let known = kernel.arrive_tagged(&goes_on, TAG)?;
        ensure!(
            matches!(known, Some(Fate::Forwarded(_))),
            "{family}: of a VLAN that is known, and {known:?}"
        );
        for (what, tag) in [
            ("of no VLAN", [kind, zero, priority, 0]),
            ("of another VLAN", [kind, zero, priority, id + 1]),
            ("of another kind (IEEE 802.1ad)", [0x88, 0xa8, priority, id]),
        ] {
            let left = kernel.arrive_tagged(&goes_on, tag)?;
            ensure!(left.is_none(), "{family}, {what}: {left:?}");
        }
    }
    Ok(())
}

/// By another device only what its driver takes, what came to this node, and what is in one buffer.
fn xdp_sends_by_another_device_what_that_can_send(kernel: &mut Kernel) -> anyhow::Result<()> {
    let second = kernel.lead_by_another_device(&[Pod::named("web-2")])?;
    let mut wrong = Vec::new();
    for family in FAMILIES {
        kernel.say_of_device(second, DeviceFlags::empty())?;
        let goes_on = flow_to_elsewhere(kernel, family, 40_101)?;
        let short = goes_on.bytes()?;
        let in_buffers = goes_on.payload(&[0x2a; 6000]).bytes()?;
        let mut others = short.clone();
        others[5] ^= 1;

        let mut leave = |what: &str, fate: Option<Fate>| {
            wrong.extend(fate.map(|fate| format!("{family}, {what}: {fate:?}")));
        };
        leave("nobody says that it can", kernel.arrive_early(&short)?);
        let Fate::Forwarded(by_tc) = kernel.arrive(&short)? else {
            bail!("{family}: TC does not send it on")
        };
        kernel.say_of_device(second, DeviceFlags::SENDS_XDP)?;
        let Some(Fate::Forwarded(by_xdp)) = kernel.arrive_early(&short)? else {
            bail!("{family}: XDP does not send it on")
        };
        ensure!(by_xdp == by_tc, "{family}: {by_xdp:02x?} and {by_tc:02x?}");
        leave("in several buffers", kernel.arrive_early(&in_buffers)?);
        leave("somebody else's", kernel.arrive_early(&others)?);
    }
    ensure!(wrong.is_empty(), "not left to TC: {}", wrong.join("\n"));
    Ok(())
}

/// A client outside opens a connection to a backend elsewhere. Answers what comes next.
fn flow_to_elsewhere(kernel: &mut Kernel, family: Family, port: u16) -> anyhow::Result<Frame> {
    const NODE_PORT: u16 = 30_190;
    let client = (OUTSIDE.address(family), port).into();
    let frame = |kind| Frame::new(client, Vip::Node.port(NODE_PORT, family), Transport::Tcp(kind));
    let opens = Step::Arrival(Arrival {
        bytes: frame(Tcp::Syn).bytes()?,
        segment_size: 0,
        then: Then::Reaches(vec!["web-2"]),
    });
    let row = Row::new("a flow to a backend elsewhere").state(web(&["web-2"]).node_port(NODE_PORT));
    kernel.play(&row.step(opens))?;
    Ok(frame(Tcp::Ack))
}
