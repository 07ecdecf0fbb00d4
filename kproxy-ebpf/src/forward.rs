//! Requests: a packet that enters by a pod's door.

use bytemuck::Zeroable as _;
use kproxy_common::{AddressRole, Applies, Door, Flow};

use crate::begin;
use crate::lookup::{self, Vacancy};
use crate::packet::Packet;
use crate::parse::{self, NoTuple, Segment};
use crate::tables::{InsertError, Tables};
use crate::track;
use crate::translate;
use crate::verdict::Verdict;
use crate::wire::{self, Network};

/// Decides on a packet that comes from a pod, and translates it.
#[inline(always)]
pub fn pod_ingress<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Verdict {
    let Some(network) = wire::parse(packet) else {
        return Verdict::Bystander;
    };
    let role = tables.address(&network.destination);
    let verdict = if role.is_empty() {
        stranger(packet, tables, &network)
    } else {
        match parse::segment(packet, &network) {
            Ok(segment) => request(packet, tables, &segment, role),
            Err(reason) => without_tuple(tables, &network, role, reason),
        }
    };
    verdict.counted(tables, Door::PodIngress)
}

/// A packet to an address that is neither a service's nor the node's.
#[inline(always)]
fn stranger<P: Packet, T: Tables>(packet: &P, tables: &T, network: &Network) -> Verdict {
    if !lookup::is_in_service_cidr(tables, &network.destination) {
        return Verdict::Bystander;
    }
    match parse::segment(packet, network) {
        // A connection that is older than the range it is in goes on.
        Ok(segment) if !segment.begins() => Verdict::Bystander,
        Ok(_) | Err(NoTuple::OtherProtocol | NoTuple::Fragment) => Verdict::DropUnallocated,
        Err(NoTuple::Truncated) => Verdict::Bystander,
    }
}

/// A packet that no flow or frontend can be looked up for.
#[inline(always)]
fn without_tuple<T: Tables>(tables: &T, network: &Network, role: AddressRole, reason: NoTuple) -> Verdict {
    match (lookup::vacancy(tables, role, &network.destination), reason) {
        (Vacancy::Node, _) => Verdict::Bystander,
        (Vacancy::ClusterIp, NoTuple::OtherProtocol) if network.is_answerable() => Verdict::RejectPort,
        (Vacancy::Unallocated, NoTuple::OtherProtocol) => Verdict::DropUnallocated,
        (Vacancy::ClusterIp | Vacancy::Unallocated | Vacancy::Other, reason) => Verdict::NoTuple(reason),
    }
}

#[inline(always)]
fn request<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    segment: &Segment,
    role: AddressRole,
) -> Verdict {
    let now = tables.now();
    let mut flow = Flow::zeroed();
    if let Some(age) = track::find(tables, &segment.tuple, &mut flow)
        && flow.applies.contains(Applies::INGRESS)
    {
        if !track::is_over(tables, Door::PodIngress, segment, &flow, now) {
            return match track::note(tables, Door::PodIngress, segment, (age, &flow), now) {
                Ok(()) => finish(packet, segment, &flow, Verdict::Established),
                Err(InsertError::Exists | InsertError::Failed) => Verdict::DropMap,
            };
        }
        track::remove(tables, age, &segment.tuple, &flow);
    }
    // Two calls, one after the other: the kernel's stack has no room for one within the other.
    let begun = begin::choose(tables, segment, role, now, &mut flow)
        .and_then(|()| begin::record(tables, &segment.tuple, now, &mut flow));
    match begun {
        Ok(()) => finish(packet, segment, &flow, Verdict::New),
        Err(verdict) => verdict,
    }
}

#[inline(always)]
fn finish<P: Packet>(packet: &mut P, segment: &Segment, flow: &Flow, verdict: Verdict) -> Verdict {
    if translate::rewrite(packet, segment, flow).is_none() {
        return Verdict::DropRewrite;
    }
    if flow.applies.contains(Applies::REDIRECT) {
        Verdict::Hairpin
    } else {
        verdict
    }
}
