//! Answers that leave: to a pod by its door, to a client outside by an uplink.

use kproxy_common::{Door, Flow, Nanoseconds};

use crate::fragment;
use crate::icmp;
use crate::packet::Packet;
use crate::parse::{self, NoTuple, Segment};
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
    if !wire::read(packet, &mut scratch.network) {
        return Verdict::Bystander;
    }
    match parse::segment(packet, &scratch.network) {
        Ok(segment) => scratch.segment = segment,
        Err(NoTuple::Fragment) => {
            if let Err(verdict) = fragment::follow_out(tables, scratch) {
                return verdict.counted(tables, door);
            }
        }
        Err(NoTuple::OtherProtocol) if scratch.network.is_icmp() => {
            let verdict = icmp::leave(packet, tables, scratch, door).unwrap_or(Verdict::Bystander);
            return verdict.counted(tables, door);
        }
        Err(NoTuple::OtherProtocol | NoTuple::Truncated) => return Verdict::Bystander,
    }
    let Scratch { segment, work, .. } = scratch;
    let flow = &mut work.flow;
    // Both maps: the answer to a connection that was forgotten and begun again in its middle is no SYN, and yet its
    // entry is in `FLOWS_NEW`.
    let Some(age) = track::find(tables, &segment.tuple, flow) else {
        return fragment::forgotten(segment).counted(tables, door);
    };
    if !track::applies(flow, door) {
        return Verdict::Bystander;
    }
    let now = tables.now();
    if track::is_left_over(tables, segment, flow, now) {
        track::remove(tables, age, &segment.tuple, flow);
        return fragment::forgotten(segment).counted(tables, door);
    }
    let verdict = answer(packet, tables, segment, (age, flow), (door, now));
    if segment.is_first_fragment() {
        fragment::note(tables, segment, &mut work.datagram, verdict);
    }
    verdict.counted(tables, door)
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
    if fragment::is_beyond_correction(segment, flow) {
        return Verdict::DropSctpFragment;
    }
    match translate::rewrite(packet, segment, flow) {
        Some(()) => Verdict::Reply,
        None => Verdict::DropRewrite,
    }
}
