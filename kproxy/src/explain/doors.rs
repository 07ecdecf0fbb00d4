//! The doors: each runs the datapath library on the question.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use kproxy_common::{Address, Counter, DeviceFlags, DeviceIndex, Door, Family, Protocol, Tuple};
use kproxy_ebpf::lookup::Side;
use kproxy_ebpf::socket::{self, Peer, SocketVerdict};
use kproxy_ebpf::{Scratch, Tables, forward};

use super::answer::{ClientKind, SourceAddress, Verdict};
use super::frame;
use super::outcome::{Outcome, counted};
use super::replay::{Event, Replay};
use crate::memory::{self, Buffer, MemorySocket, Routes};
use crate::model::Cidr;
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

/// What is known of the way to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Nothing: there is one, and the node's own address is what the backend sees.
    Any,
    /// There is one, and the kernel prefers this source address for it.
    From(Address),
    /// There is none.
    Missing,
    /// The node does not forward.
    Off,
}

/// Stands for the node's own address where nobody has named one: documentation addresses (RFC 5737, RFC 3849).
const UNKNOWN: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0)),
];
/// The device that a packet comes in by, and no other.
const ENTRY: DeviceIndex = DeviceIndex(u32::MAX);

/// A packet comes in by an uplink, which the local-traffic detector knows as this.
pub(super) fn uplink<T: Tables>(
    replay: Replay<'_, T>,
    tuple: &Tuple,
    flags: DeviceFlags,
    route: Route,
) -> (Outcome, Vec<Event>) {
    let replay = replay.by(ENTRY, flags);
    let family = tuple.source.family();
    let unknown = UNKNOWN.map(Address::from);
    let source = match route {
        Route::From(source) => Some(source),
        Route::Any => replay
            .node_address(family)
            .or_else(|| unknown.into_iter().find(|it| it.family() == family)),
        Route::Missing | Route::Off => None,
    };
    let routes = match route {
        Route::Any | Route::From(_) => Routes::Table(everywhere(source)),
        Route::Missing => Routes::Table(Vec::new()),
        Route::Off => Routes::Off,
    };
    let mut packet = Buffer::new(frame::bytes(tuple)).by(ENTRY).among(Rc::new(routes));
    let _: kproxy_ebpf::Verdict = forward::uplink_ingress(&mut packet, &replay, &mut Scratch::default());
    let events = replay.into_events();
    let outcome = after_packet(tuple, &counted(&events), packet.bytes);
    let is_unknown = matches!(outcome.source, SourceAddress::Becomes(address) if unknown.contains(&address));
    let outcome = if is_unknown {
        Outcome {
            source: SourceAddress::BecomesUnknown,
            ..outcome
        }
    } else {
        outcome
    };
    (outcome, events)
}

/// One way for everything, from this address.
fn everywhere(source: Option<Address>) -> Vec<memory::Route> {
    let families = [Family::V4, Family::V6];
    let route = |family| memory::Route {
        to: Cidr {
            address: Address::unspecified(family),
            length: 0,
        },
        device: Some(DeviceIndex(1)),
        source,
        mtu: u32::MAX,
    };
    families.map(route).into()
}

/// Which side of a frontend's policies a client is on.
pub(super) fn side(client: ClientKind) -> Side {
    match client {
        ClientKind::Node | ClientKind::Pod => Side::Inside,
        ClientKind::External => Side::Outside,
    }
}
