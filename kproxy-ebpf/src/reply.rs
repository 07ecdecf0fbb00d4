//! Answers: a packet that leaves by a pod's door.

use kproxy_common::{Applies, Door, Tuple};

use crate::packet::Packet;
use crate::parse::{self, Transport};
use crate::tables::{Age, Tables};
use crate::track::{self, Tracked};
use crate::translate;
use crate::verdict::Verdict;
use crate::wire::{self, Network};

/// Decides on a packet that goes to a pod, and translates it back if it answers a translated request.
#[inline(always)]
pub fn pod_egress<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Verdict {
    let Some(network) = wire::parse(packet) else {
        return Verdict::Bystander;
    };
    let Ok(transport) = parse::transport(packet, &network) else {
        return Verdict::Bystander;
    };
    let tuple = transport.tuple(&network);
    let Some(tracked) = find(tables, &transport, &tuple) else {
        return Verdict::Bystander;
    };
    if !tracked.flow.applies.contains(Applies::EGRESS) {
        return Verdict::Bystander;
    }
    answer(packet, tables, &network, &transport, &tracked).counted(tables, Door::PodEgress)
}

/// Finds the reply entry. A TCP connection that is open has its entry in `FLOWS`, so most packets that answer no
/// translated request end after one lookup.
#[inline(always)]
fn find<T: Tables>(tables: &T, transport: &Transport, tuple: &Tuple) -> Option<Tracked> {
    if transport.is_tcp() && !transport.flags.answers_open() {
        return track::find_in(tables, Age::Answered, tuple);
    }
    track::find(tables, tuple)
}

#[inline(always)]
fn answer<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    network: &Network,
    transport: &Transport,
    tracked: &Tracked,
) -> Verdict {
    if track::note(tables, Door::PodEgress, transport.flags, tracked, tables.now()).is_err() {
        // The client's next packets would not find a flow that was not recorded: let the peer answer again.
        return Verdict::DropMap;
    }
    match translate::rewrite(packet, network, transport, &tracked.flow) {
        Some(()) => Verdict::Reply,
        None => Verdict::DropRewrite,
    }
}
