//! Answers: a packet that leaves by a pod's door.

use kproxy_common::{Applies, Door, Flow, FlowState, Nanoseconds};

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
    let Some((age, flow)) = find(tables, &segment) else {
        return Verdict::Bystander;
    };
    if !flow.applies.contains(Applies::EGRESS) {
        return Verdict::Bystander;
    }
    let now = tables.now();
    if is_foreign(tables, &segment, &flow, now) {
        track::remove(tables, age, &segment.tuple, &flow);
        return Verdict::Bystander;
    }
    answer(packet, tables, &segment, (age, &flow), now).counted(tables, Door::PodEgress)
}

/// Whether a packet only looks like an answer: the flow is over, and its client has used the same port again to talk to
/// the backend itself. Such a conversation begins with an answer to a SYN; over UDP only time can tell.
#[inline(always)]
fn is_foreign<T: Tables>(tables: &T, segment: &Segment, flow: &Flow, now: Nanoseconds) -> bool {
    if segment.is_tcp() {
        flow.state.contains(FlowState::CLOSED) && segment.flags.answers_open()
    } else {
        now.since(flow.seen) > tables.settings().udp_idle
    }
}

/// Finds the reply entry. A TCP connection that is open has its entry in `FLOWS`, so most packets that answer no
/// translated request end after one lookup.
#[inline(always)]
fn find<T: Tables>(tables: &T, segment: &Segment) -> Option<(Age, Flow)> {
    if segment.is_tcp() && !segment.flags.answers_open() {
        return Some((Age::Answered, tables.flow(Age::Answered, &segment.tuple)?));
    }
    track::find(tables, &segment.tuple)
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
