//! Packets that enter: requests of a pod, requests from outside, and answers for clients outside.

use kproxy_common::{
    Address, AddressRole, Applies, Counter, DeviceFlags, Door, Flow, FlowState, Nanoseconds, Tuple, answering,
};

use crate::begin;
use crate::fragment;
use crate::glance::{self, Glance};
use crate::icmp;
use crate::lookup::{self, Side, Vacancy};
use crate::packet::{BY_FRAGS, Packet};
use crate::parse::{self, NoTuple, Segment};
use crate::ports;
use crate::scratch::{Scratch, Work};
use crate::tables::{InsertError, Tables};
use crate::track;
use crate::translate;
use crate::verdict::{Action, Verdict};
use crate::wire::{self, Network};

/// Decides on a packet that comes from a pod, and translates it.
#[inline(always)]
pub fn pod_ingress<P: Packet, T: Tables>(packet: &mut P, tables: &T, scratch: &mut Scratch) -> Verdict {
    enter(packet, tables, scratch, Door::PodIngress)
}

/// Decides on a packet that comes in by an uplink, and translates it.
#[inline(always)]
pub fn uplink_ingress<P: Packet, T: Tables>(packet: &mut P, tables: &T, scratch: &mut Scratch) -> Verdict {
    enter(packet, tables, scratch, Door::UplinkIngress)
}

#[inline(always)]
fn enter<P: Packet, T: Tables>(packet: &mut P, tables: &T, scratch: &mut Scratch, door: Door) -> Verdict {
    let read = match glance::enter(packet, tables, &mut scratch.segment) {
        Glance::Passes => return Verdict::Bystander,
        Glance::Plain { may_have_flow } => Ok(may_have_flow),
        Glance::Other => read(packet, tables, scratch, door),
    };
    let verdict = match read {
        Ok(may_have_flow) => request(packet, tables, scratch, (door, may_have_flow)),
        Err(verdict) => verdict,
    };
    stays_here(packet, verdict).counted(tables, door)
}

/// Reads what is not plain, as far as it may be for a service: then the answer is whether it may have a flow.
#[inline(always)]
fn read<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    scratch: &mut Scratch,
    door: Door,
) -> Result<bool, Verdict> {
    if !wire::read(packet, &mut scratch.network) {
        return Err(Verdict::Bystander);
    }
    let network = &scratch.network;
    let role = tables.address(&network.destination);
    if role.is_empty() {
        return Err(stranger(packet, tables, network));
    }
    match parse::segment(packet, network) {
        Ok(segment) if P::EARLY && segment.is_first_fragment() => return Err(Verdict::Bystander),
        Ok(segment) => scratch.segment = segment,
        Err(NoTuple::Fragment) if P::EARLY => return Err(Verdict::Bystander),
        Err(NoTuple::OtherProtocol) if network.is_icmp() => {
            let decided = icmp::enter(packet, tables, scratch, (door, role));
            return Err(decided
                .unwrap_or_else(|| without_tuple(tables, &scratch.network, role, NoTuple::OtherProtocol)));
        }
        Err(NoTuple::Fragment) => fragment::follow(tables, scratch, role)?,
        Err(reason) => return Err(without_tuple(tables, network, role, reason)),
    }
    Ok(is_of_service(role) || glance::enters_with_flow(tables, &scratch.segment.tuple))
}

/// The verdict, if this hook is the one that carries it out.
#[inline(always)]
fn stays_here<P: Packet>(packet: &P, verdict: Verdict) -> Verdict {
    let is_others = P::EARLY
        && match verdict.action() {
            Action::Continue | Action::Requeue => true,
            Action::Drop | Action::Refuse(_) => !packet.is_for_us(),
            // Looked at before they were rewritten.
            Action::TurnAround | Action::Forward => false,
        };
    if is_others { Verdict::Bystander } else { verdict }
}

/// A packet that is not plain, to an address that is neither a service's nor the node's.
#[inline(always)]
fn stranger<P: Packet, T: Tables>(packet: &P, tables: &T, network: &Network) -> Verdict {
    if !lookup::is_in_service_cidr(tables, &network.destination) {
        return Verdict::Bystander;
    }
    match parse::segment(packet, network) {
        Ok(segment) => stranger_begins(&segment),
        Err(NoTuple::OtherProtocol | NoTuple::Fragment) => Verdict::DropUnallocated,
        Err(NoTuple::Truncated) => Verdict::Bystander,
    }
}

/// A packet to such an address that may begin something, or not.
#[inline(always)]
fn unallocated<T: Tables>(tables: &T, segment: &Segment) -> Verdict {
    if lookup::is_in_service_cidr(tables, &segment.tuple.destination) {
        stranger_begins(segment)
    } else {
        Verdict::Bystander
    }
}

/// A connection that is older than the range it is in goes on.
#[inline(always)]
fn stranger_begins(segment: &Segment) -> Verdict {
    if segment.begins() {
        Verdict::DropUnallocated
    } else {
        Verdict::Bystander
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
    Scratch { segment, work, .. }: &mut Scratch,
    (door, may_have_flow): (Door, bool),
) -> Verdict {
    let known = if may_have_flow {
        work.now = tables.now();
        known::<P, T>(tables, segment, door, work)
    } else {
        None
    };
    let decided = match known {
        Some(verdict) => verdict,
        None if segment.is_later_fragment() => Verdict::DropFragment,
        None => begin(packet, tables, work, segment, door),
    };
    let verdict = if matches!(decided, Verdict::New | Verdict::Established | Verdict::Reply) {
        finish(packet, segment, (door, &work.flow, work.now), decided)
    } else {
        decided
    };
    if segment.is_first_fragment() {
        fragment::note(tables, segment, &mut work.datagram, verdict);
    }
    verdict
}

/// Whether an address is a service's, and not only the node's.
#[inline(always)]
const fn is_of_service(role: AddressRole) -> bool {
    role.intersects(AddressRole::SERVICE.union(AddressRole::CLUSTER_IP))
}

/// What the packet is in a flow that is known and goes on.
#[inline(always)]
fn known<P: Packet, T: Tables>(
    tables: &T,
    segment: &Segment,
    door: Door,
    Work { flow, now, .. }: &mut Work,
) -> Option<Verdict> {
    let now = *now;
    let age = track::find(tables, &segment.tuple, flow)?;
    let is_reply = flow.state.contains(FlowState::REPLY);
    if !track::applies(flow, door) {
        if is_reply {
            // An answer that another door translates, to a client whose address is a service's too. A request by this
            // key would take the entry from it, and must not find it again once it is over.
            if !track::is_left_over(tables, segment, flow, now) {
                return Some(Verdict::Bystander);
            }
            track::remove(tables, age, &segment.tuple, flow);
        }
        return None;
    }
    if is_left_to_others::<P>(flow) {
        return Some(Verdict::Bystander);
    }
    // At a pod's door, what enters is a request, or else the client is its own backend, and no other can be asked.
    let over = if is_reply {
        door == Door::UplinkIngress && track::is_left_over(tables, segment, flow, now)
    } else {
        track::is_over(tables, door, segment, flow, now)
    };
    if over {
        track::remove(tables, age, &segment.tuple, flow);
        return None;
    }
    Some(match track::note(tables, door, segment, (age, flow), now) {
        Ok(()) if is_reply => Verdict::Reply,
        Ok(()) => Verdict::Established,
        Err(InsertError::Exists | InsertError::Failed) => Verdict::DropMap,
    })
}

/// Whether a hook behind this one has to do what the flow says: it goes up the stack.
#[inline(always)]
fn is_left_to_others<P: Packet>(flow: &Flow) -> bool {
    P::EARLY && !flow.applies.contains(Applies::REDIRECT)
}

/// Begins a flow.
#[inline(always)]
fn begin<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    work: &mut Work,
    segment: &Segment,
    door: Door,
) -> Verdict {
    let role = tables.address(&segment.tuple.destination);
    if role.is_empty() {
        return unallocated(tables, segment);
    }
    // The middle of a connection to the node itself: most of what comes in from outside.
    if !segment.begins() && !is_of_service(role) {
        return Verdict::Bystander;
    }
    work.now = tables.now();
    work.flow.seen = work.now;
    // One call after the other: the kernel's stack has no room for one within the other.
    let begun = if door == Door::UplinkIngress {
        from_outside(packet, tables, work, segment, role)
    } else {
        from_pod(tables, work, segment, role)
    };
    match begun {
        Ok(()) => Verdict::New,
        Err(verdict) => verdict,
    }
}

/// Begins a flow for a packet of a pod.
#[inline(always)]
fn from_pod<T: Tables>(
    tables: &T,
    work: &mut Work,
    segment: &Segment,
    role: AddressRole,
) -> Result<(), Verdict> {
    let door = Door::PodIngress;
    begin::choose(tables, work, segment, role, (door, Side::Inside))?;
    note_asked(tables, role, &segment.tuple);
    if is_nobodys(tables, &segment.tuple.source) {
        return Err(Verdict::DropMartian);
    }
    tables.note_asking(answering::place_of_client(&segment.tuple.source));
    ports::record(tables, door, work, &segment.tuple, true)
}

/// Begins a flow for a packet from outside.
#[inline(always)]
fn from_outside<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    work: &mut Work,
    segment: &Segment,
    role: AddressRole,
) -> Result<(), Verdict> {
    let door = Door::UplinkIngress;
    let side = side(packet, tables, segment);
    begin::choose(tables, work, segment, role, (door, side))?;
    note_asked(tables, role, &segment.tuple);
    if segment.tuple.source == segment.tuple.destination || is_nobodys(tables, &segment.tuple.source) {
        return Err(Verdict::DropMartian);
    }
    let is_left = is_left_to_others::<P>(&work.flow);
    if is_left && !packet.is_for_us() {
        return Err(Verdict::Bystander);
    }
    let mut keeps = true;
    if work.flow.applies.contains(Applies::REDIRECT) {
        begin::take_source(packet, tables, segment, &mut work.flow)?;
        keeps = keeps_port(packet, tables, segment, &work.flow);
    }
    ports::record(tables, door, work, &segment.tuple, keeps)?;
    if is_left {
        // Known from here on: if it were chosen once more behind, backends here would come up too seldom.
        tables.count(door, Counter::New);
        return Err(Verdict::Bystander);
    }
    Ok(())
}

/// Notes that flows may lead to a port of an address that is the node's, or may become so.
#[inline(always)]
fn note_asked<T: Tables>(tables: &T, role: AddressRole, tuple: &Tuple) {
    if !role.contains(AddressRole::CLUSTER_IP) {
        let port = tuple.destination_port;
        tables.note_answering(answering::place(&tuple.destination, port, tuple.protocol));
    }
}

/// Whether the node may use the client's own port in its place: clients ask for no NodePort there, and no socket of the
/// node has the same peer.
#[inline(never)]
fn keeps_port<P: Packet, T: Tables>(packet: &P, tables: &T, segment: &Segment, flow: &Flow) -> bool {
    !ports::is_node_port(tables, flow, &segment.tuple)
        && !packet.has_socket(&flow.twin(segment.tuple.protocol))
}

/// Which side a client is on, as the local-traffic detector sees it.
#[inline(never)]
fn side<P: Packet, T: Tables>(packet: &P, tables: &T, segment: &Segment) -> Side {
    let is_inside = || {
        let device = tables.device(packet.device());
        device.is_some_and(|device| device.flags.contains(DeviceFlags::INSIDE))
    };
    if tables.pod_range(segment.family).contains(&segment.tuple.source) || is_inside() {
        Side::Inside
    } else {
        Side::Outside
    }
}

/// Whether no packet from elsewhere can have this source address: the node's own, a ClusterIP, loopback or multicast
/// (RFC 1812 section 5.3.7).
#[inline(never)]
fn is_nobodys<T: Tables>(tables: &T, source: &Address) -> bool {
    let own = AddressRole::OWN
        .union(AddressRole::NODE)
        .union(AddressRole::CLUSTER_IP);
    !source.is_unicast() || tables.address(source).intersects(own)
}

/// Translates a packet, and says where it goes.
#[inline(always)]
fn finish<P: Packet>(
    packet: &mut P,
    segment: &Segment,
    (door, flow, now): (Door, &Flow, Nanoseconds),
    verdict: Verdict,
) -> Verdict {
    if fragment::is_beyond_correction(segment, flow) {
        return Verdict::DropSctpFragment;
    }
    let leaves = flow.applies.contains(Applies::REDIRECT);
    if leaves
        && door == Door::UplinkIngress
        && let Err(verdict) = depart(packet, segment, flow, now)
    {
        return fragment::unanswered(segment, verdict);
    }
    if translate::rewrite(packet, segment, flow).is_none() {
        return Verdict::DropRewrite;
    }
    match (door, verdict) {
        _ if !leaves => verdict,
        (Door::UplinkIngress, Verdict::New) => Verdict::ForwardNew,
        (Door::UplinkIngress, Verdict::Reply) => Verdict::ForwardReply,
        (Door::UplinkIngress, _) => Verdict::ForwardEstablished,
        _ => Verdict::Hairpin,
    }
}

/// Finds the way of a packet that goes around the stack, and counts the node as a router on it.
#[inline(never)]
fn depart<P: Packet>(
    packet: &mut P,
    segment: &Segment,
    flow: &Flow,
    now: Nanoseconds,
) -> Result<(), Verdict> {
    let hops = wire::hops(packet, segment.family).ok_or(Verdict::DropRewrite)?;
    if hops <= 1 {
        return Err(Verdict::TimeExceeded);
    }
    let length = match packet.segment_size() {
        BY_FRAGS => 0,
        // Whoever cuts fragments up as well says nothing of their headers.
        payload if payload == 0 || segment.is_later_fragment() => {
            wire::length(packet, segment.family).ok_or(Verdict::DropRewrite)?
        }
        payload => {
            let header = segment.header_length(packet).ok_or(Verdict::DropRewrite)?;
            (segment.offset() - P::NETWORK) as u32 + header + payload
        }
    };
    packet.find_way(&flow.rewritten(segment.tuple.protocol), length, Some(now))?;
    wire::count_hop(packet, segment.family).ok_or(Verdict::DropRewrite)
}
