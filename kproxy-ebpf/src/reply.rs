//! Answers: a packet that leaves by a pod's door.

use bytemuck::Zeroable as _;
use kproxy_common::{Applies, Door, Flow, Nanoseconds};

use crate::packet::Packet;
use crate::parse::{self, Segment};
use crate::tables::{Age, Tables};
use crate::track;
use crate::translate;
use crate::verdict::Verdict;
use crate::wire;

/// Decides on a packet that goes to a pod, and translates it back if it answers a translated request.
#[inline(always)]
pub fn pod_egress<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Verdict {
    let Some(network) = wire::parse(packet) else {
        return Verdict::Bystander;
    };
    let Ok(segment) = parse::segment(packet, &network) else {
        return Verdict::Bystander;
    };
    // Both maps: the answer to a connection that was forgotten and begun again in its middle is no SYN, and yet its
    // entry is in `FLOWS_NEW`.
    let mut flow = Flow::zeroed();
    let Some(age) = track::find(tables, &segment.tuple, &mut flow) else {
        return Verdict::Bystander;
    };
    if !flow.applies.contains(Applies::EGRESS) {
        return Verdict::Bystander;
    }
    let now = tables.now();
    if track::is_left_over(tables, &segment, &flow, now) {
        track::remove(tables, age, &segment.tuple, &flow);
        return Verdict::Bystander;
    }
    answer(packet, tables, &segment, (age, &flow), now).counted(tables, Door::PodEgress)
}

#[inline(always)]
fn answer<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    segment: &Segment,
    (age, flow): (Age, &Flow),
    now: Nanoseconds,
) -> Verdict {
    if track::note(tables, Door::PodEgress, segment, (age, flow), now).is_err() {
        // The client's next packets would not find a flow that was not recorded: let the peer answer again.
        return Verdict::DropMap;
    }
    match translate::rewrite(packet, segment, flow) {
        Some(()) => Verdict::Reply,
        None => Verdict::DropRewrite,
    }
}
