//! Answers that leave: to a pod by its door, to a client outside by an uplink.

use kproxy_common::{Door, Flow, Nanoseconds};

use crate::packet::Packet;
use crate::parse::{self, Segment};
use crate::scratch::Scratch;
use crate::tables::{Age, Tables};
use crate::track;
use crate::translate;
use crate::verdict::Verdict;
use crate::wire;

/// Decides on a packet that goes to a pod, and translates it back if it answers a translated request.
#[inline(always)]
pub fn pod_egress<P: Packet, T: Tables>(packet: &mut P, tables: &T, scratch: &mut Scratch) -> Verdict {
    leave(packet, tables, scratch, Door::PodEgress)
}

/// Decides on a packet that leaves by an uplink, and translates it back if it answers a translated request.
#[inline(always)]
pub fn uplink_egress<P: Packet, T: Tables>(packet: &mut P, tables: &T, scratch: &mut Scratch) -> Verdict {
    leave(packet, tables, scratch, Door::UplinkEgress)
}

#[inline(always)]
fn leave<P: Packet, T: Tables>(packet: &mut P, tables: &T, scratch: &mut Scratch, door: Door) -> Verdict {
    let Some(network) = wire::parse(packet) else {
        return Verdict::Bystander;
    };
    let Ok(segment) = parse::segment(packet, &network) else {
        return Verdict::Bystander;
    };
    scratch.segment = segment;
    let (segment, flow) = (&scratch.segment, &mut scratch.work.flow);
    // Both maps: the answer to a connection that was forgotten and begun again in its middle is no SYN, and yet its
    // entry is in `FLOWS_NEW`.
    let Some(age) = track::find(tables, &segment.tuple, flow) else {
        return Verdict::Bystander;
    };
    if !track::applies(flow, door) {
        return Verdict::Bystander;
    }
    let now = tables.now();
    if track::is_left_over(tables, segment, flow, now) {
        track::remove(tables, age, &segment.tuple, flow);
        return Verdict::Bystander;
    }
    answer(packet, tables, segment, (age, flow), (door, now)).counted(tables, door)
}

#[inline(always)]
fn answer<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    segment: &Segment,
    (age, flow): (Age, &Flow),
    (door, now): (Door, Nanoseconds),
) -> Verdict {
    if track::note(tables, door, segment, (age, flow), now).is_err() {
        // The client's next packets would not find a flow that was not recorded: let the peer answer again.
        return Verdict::DropMap;
    }
    match translate::rewrite(packet, segment, flow) {
        Some(()) => Verdict::Reply,
        None => Verdict::DropRewrite,
    }
}
