//! ICMP and ICMPv6: errors about translated packets (RFC 5508), and echo requests to service addresses.
//!
//! * this module: what becomes of a message
//! * `message`: what is read of it
//! * `translate`: the rewrite of an error and of what it quotes
//!
//! The packet that an error quotes went from A to B, as the reporter saw it. So the error goes as packets from B to A go, and
//! the flow entry that is keyed by their tuple has the rewrite for it. No error begins, refreshes or ends a flow, and none is
//! answered by an error (RFC 1122 section 3.2.2). Other messages, neighbour discovery among them, are nobody's business.

mod message;
mod translate;

use kproxy_common::{AddressRole, Applies, Door, FlowState};

use crate::packet::Packet;
use crate::scratch::Scratch;
use crate::tables::Tables;
use crate::track;
use crate::verdict::Verdict;

use message::Kind;
pub use message::Message;

/// Decides on a message that enters and is addressed to an address of this role. `None` if it is neither an error nor an
/// echo request that is for us to answer. A function of its own in the kernel, like all here, for the sake of the stack.
#[inline(never)]
pub fn enter<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    scratch: &mut Scratch,
    (door, role): (Door, AddressRole),
) -> Option<Verdict> {
    match message::read(packet, &mut scratch.message) {
        Kind::Unreadable => Some(Verdict::IcmpUnknown),
        Kind::Error if P::EARLY => Some(Verdict::Bystander),
        Kind::Error => Some(error(packet, tables, scratch, door).unwrap_or(Verdict::IcmpUnknown)),
        Kind::Echo if is_answered(&scratch.message, role) && (!P::EARLY || packet.is_for_us()) => {
            Some(match translate::answer(packet, &scratch.message) {
                Some(()) => Verdict::Echo,
                None => Verdict::DropRewrite,
            })
        }
        Kind::Other | Kind::Echo => None,
    }
}

/// Decides on a message that leaves. `None` if it is not about a translated packet.
#[inline(never)]
pub fn leave<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    scratch: &mut Scratch,
    door: Door,
) -> Option<Verdict> {
    match message::read(packet, &mut scratch.message) {
        Kind::Other | Kind::Unreadable | Kind::Echo => None,
        Kind::Error => error(packet, tables, scratch, door),
    }
}

/// An error about a packet with ports. `None` if no flow is known that had it.
#[inline(always)]
fn error<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    Scratch { message, work, .. }: &mut Scratch,
    door: Door,
) -> Option<Verdict> {
    let flow = &mut work.flow;
    track::find(tables, &message.key, flow)?;
    // What is over tells nothing: since then the client may have asked the backend by its own address.
    let is_over = flow.state.contains(FlowState::CLOSED)
        || track::is_idle(tables, message.key.protocol, flow, tables.now());
    if is_over || !track::applies(flow, door) {
        return None;
    }
    let leaves = flow.applies.contains(Applies::REDIRECT);
    if leaves
        && door == Door::UplinkIngress
        && let Err(verdict) = translate::depart(packet, message, flow)
    {
        return Some(verdict);
    }
    if translate::rewrite(packet, message, flow).is_none() {
        return Some(Verdict::DropRewrite);
    }
    Some(match door {
        _ if !leaves => Verdict::IcmpError,
        Door::UplinkIngress => Verdict::IcmpForward,
        Door::Socket | Door::PodIngress | Door::PodEgress | Door::UplinkEgress => Verdict::IcmpBack,
    })
}

/// Whether an echo request is for us to answer: a service's address that nobody has on this node, asked by somebody who can
/// have the answer.
#[inline(always)]
fn is_answered(message: &Message, role: AddressRole) -> bool {
    role.intersects(AddressRole::SERVICE.union(AddressRole::CLUSTER_IP))
        && !role.intersects(
            AddressRole::NODE
                .union(AddressRole::OWN)
                .union(AddressRole::EXEMPT),
        )
        && message.outer.source != message.outer.destination
        && message.outer.source.is_unicast()
}
