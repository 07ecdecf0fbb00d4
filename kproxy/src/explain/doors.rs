//! The doors: each runs the datapath library on the question.

use bytemuck::Zeroable as _;
use kproxy_common::{AddressRole, BackendFlags, Counter, Door, FrontendKey, Protocol, Tuple};
use kproxy_ebpf::balance::{self, Choice, Chosen, Request};
use kproxy_ebpf::lookup::{self, Side, Vacancy};
use kproxy_ebpf::socket::{self, Peer, SocketVerdict};
use kproxy_ebpf::{Scratch, Tables, forward};

use super::answer::{ClientKind, SourceAddress, Verdict};
use super::frame;
use super::outcome::{Outcome, counted};
use super::replay::{Event, Replay};
use crate::memory::{Buffer, MemorySocket};
use crate::plan::Endpoint;

/// Namespace of the node in every replay: what matters is who shares it.
pub(super) const NODE_NAMESPACE: u64 = 1;
const POD_NAMESPACE: u64 = 2;

/// A new socket calls `connect`.
pub(super) fn socket<T: Tables>(
    replay: Replay<'_, T>,
    tuple: &Tuple,
    client: ClientKind,
) -> (Outcome, Vec<Event>) {
    // The hook does not ask the library for other protocols.
    if tuple.protocol != Protocol::TCP && tuple.protocol != Protocol::UDP {
        let counter = if client == ClientKind::Node {
            Counter::OtherProtocol
        } else {
            Counter::LeftToPacket
        };
        replay.count(Door::Socket, counter);
        let events = replay.into_events();
        return (Outcome::untranslated(&counted(&events)), events);
    }
    let socket = MemorySocket::new(1);
    let socket = match client {
        ClientKind::Node => socket.in_namespace(NODE_NAMESPACE).bound_to(tuple.source),
        // A pod's socket is usually not bound, and then the hook does not see its address.
        ClientKind::Pod | ClientKind::External => socket.in_namespace(POD_NAMESPACE),
    };
    let asked = Peer {
        address: tuple.destination,
        port: tuple.destination_port,
    };
    let verdict = socket::connect(&socket, &replay, asked, tuple.protocol);
    let events = replay.into_events();
    let outcome = Outcome::untranslated(&counted(&events));
    let chosen = match verdict {
        SocketVerdict::Translate(Peer { address, port }) => Some(Endpoint { address, port }),
        SocketVerdict::Pass | SocketVerdict::Deny(_) => None,
    };
    (Outcome { chosen, ..outcome }, events)
}

/// A packet comes out of a pod.
pub(super) fn pod<T: Tables>(replay: Replay<'_, T>, tuple: &Tuple) -> (Outcome, Vec<Event>) {
    let mut packet = Buffer::new(frame::bytes(tuple));
    let _: kproxy_ebpf::Verdict = forward::pod_ingress(&mut packet, &replay, &mut Scratch::default());
    let events = replay.into_events();
    let outcome = after_packet(tuple, &counted(&events), packet.bytes);
    (outcome, events)
}

/// What the packet after the door says.
pub(super) fn after_packet(before: &Tuple, counted: &[Counter], bytes: Vec<u8>) -> Outcome {
    let outcome = Outcome::untranslated(counted);
    // A rejection has become another packet.
    let is_translated = outcome.verdict() == Verdict::Forward;
    let Some(after) = frame::read(bytes).filter(|_| is_translated) else {
        return outcome;
    };
    Outcome {
        chosen: Some(Endpoint {
            address: after.destination,
            port: after.destination_port,
        }),
        source: if after.source == before.source {
            SourceAddress::Kept
        } else {
            SourceAddress::Becomes(after.source)
        },
        ..outcome
    }
}

/// A packet reaches the node from outside. This door has no program yet, so the library's choice is asked directly, and
/// the source follows from where the backend is: it must change when answers would not come back by themselves.
pub(super) fn uplink<T: Tables>(
    replay: Replay<'_, T>,
    tuple: &Tuple,
    client: ClientKind,
) -> (Outcome, Vec<Event>) {
    let role = replay.address(&tuple.destination);
    let mut chosen = Chosen::zeroed();
    let choice = if role.is_empty() {
        Choice::NoFrontend
    } else {
        let request = Request {
            // Only says where to count, which nobody does here.
            door: Door::PodIngress,
            role,
            destination: &FrontendKey::new(tuple.destination, tuple.destination_port, tuple.protocol),
            side: side(client),
            client: Some(&tuple.source),
        };
        balance::choose(&replay, &request, &mut chosen)
    };
    let counter = match choice {
        Choice::Backend => Some(Counter::New),
        Choice::Reject => Some(Counter::Rejected),
        Choice::DropPolicy => Some(Counter::DroppedPolicy),
        Choice::DropSource => Some(Counter::DroppedSource),
        Choice::NoFrontend | Choice::UnknownClient => {
            match lookup::vacancy(&replay, role, &tuple.destination) {
                Vacancy::ClusterIp => Some(Counter::RejectedPort),
                Vacancy::Unallocated => Some(Counter::DroppedUnallocated),
                Vacancy::Other if role.contains(AddressRole::SERVICE) => Some(Counter::NoFrontend),
                Vacancy::Node | Vacancy::Other => None,
            }
        }
    };
    let outcome = Outcome {
        counter,
        chosen: None,
        source: SourceAddress::Kept,
    };
    let outcome = if choice == Choice::Backend {
        Outcome {
            chosen: Some(Endpoint {
                address: chosen.address,
                port: chosen.port,
            }),
            source: source_towards(&replay, tuple, &chosen),
            ..outcome
        }
    } else {
        outcome
    };
    (outcome, replay.into_events())
}

/// Whom a backend sees: the service if it asks itself, the client if it is on this node, and else the node.
fn source_towards<T: Tables>(tables: &T, tuple: &Tuple, chosen: &Chosen) -> SourceAddress {
    if chosen.address == tuple.source {
        return SourceAddress::Becomes(tuple.destination);
    }
    let backend = tables.backend(chosen.index);
    if backend.is_some_and(|backend| backend.flags.contains(BackendFlags::LOCAL)) {
        return SourceAddress::Kept;
    }
    let own = tables.node_address(tuple.source.family());
    own.map_or(SourceAddress::BecomesUnknown, SourceAddress::Becomes)
}

/// Which side of a frontend's policies a client is on.
pub(super) fn side(client: ClientKind) -> Side {
    match client {
        ClientKind::Node | ClientKind::Pod => Side::Inside,
        ClientKind::External => Side::Outside,
    }
}
