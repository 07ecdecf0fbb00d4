//! The first look at a packet. Most have nothing to do with any service, and a few bytes of memory tell: then nothing else of the
//! packet is read, and nothing is looked up.
//!
//! What passes here would pass after all the rest as well. Of a plain packet that does not, all is read at once.

use kproxy_common::gate::{Place, Sign};
use kproxy_common::{Door, Tuple, answering};

use crate::packet::Packet;
use crate::parse::{self, Segment};
use crate::tables::Tables;
use crate::wire;

/// What a packet is at first sight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// Nobody's business here.
    Passes,
    /// To be looked at; its segment has been read. It may have a flow, or else only begin one.
    Plain {
        /// Whether it is worth looking for one.
        may_have_flow: bool,
    },
    /// To be looked at; nothing of it has been read.
    Other,
}

/// A packet that enters. It passes on its way to an address that is no service's, or to a port of the node that nobody asked for a
/// service and that no service has.
#[inline(always)]
pub fn enter<P: Packet, T: Tables>(packet: &P, tables: &T, segment: &mut Segment) -> Glance {
    let Some(destination) = wire::destination(packet) else {
        return Glance::Other;
    };
    let sign = tables.sign(Place::of_address(&destination));
    let block = tables.sign(Place::of_block(&destination));
    let of_service = sign.contains(Sign::SERVICE) || block.contains(Sign::CLUSTER_IPS);
    if !of_service && !sign.contains(Sign::OWN) {
        return Glance::Passes;
    }
    if !parse::read_plain(packet, segment) {
        return Glance::Other;
    }
    let tuple = &segment.tuple;
    let may_have_flow = of_service || is_asked(tables, tuple) || is_answering(tables, tuple);
    if may_have_flow || is_node_port(tables, tuple) {
        Glance::Plain { may_have_flow }
    } else {
        Glance::Passes
    }
}

/// A packet that leaves. It passes if it is for a pod that never asked by packet, whatever it is: also fragments and errors of a flow
/// are for who asked. Else it passes if nobody was told that its sender answers, nor, if it is the node's own, that somebody answers
/// where it goes.
#[inline(always)]
pub fn leave<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    (door, of_node): (Door, bool),
    segment: &mut Segment,
) -> Glance {
    if door == Door::PodEgress
        && let Some(destination) = wire::destination(packet)
        && !tables.is_asking(answering::place_of_client(&destination))
    {
        return Glance::Passes;
    }
    if !parse::read_plain(packet, segment) {
        return Glance::Other;
    }
    if leaves_with_flow(tables, &segment.tuple, of_node) {
        Glance::Plain { may_have_flow: true }
    } else {
        Glance::Passes
    }
}

/// Whether a packet that leaves may have a flow, at the price of a byte or two: it comes from a backend, or goes from the node itself
/// to one.
#[inline(always)]
pub fn leaves_with_flow<T: Tables>(tables: &T, tuple: &Tuple, of_node: bool) -> bool {
    is_answering(tables, tuple) || of_node && is_asked(tables, tuple)
}

/// Whether a packet to an address of the node may have a flow. Most of what the node gets itself has none, which costs it two bytes:
/// nobody was asked here, and nobody answers there.
#[inline(always)]
pub fn enters_with_flow<T: Tables>(tables: &T, tuple: &Tuple) -> bool {
    is_asked(tables, tuple) || is_answering(tables, tuple)
}

#[inline(always)]
fn is_node_port<T: Tables>(tables: &T, tuple: &Tuple) -> bool {
    let place = Place::of_port(tuple.destination_port, tuple.protocol);
    tables.sign(place).contains(Sign::NODE_PORT)
}

#[inline(always)]
fn is_asked<T: Tables>(tables: &T, tuple: &Tuple) -> bool {
    let (address, port) = (&tuple.destination, tuple.destination_port);
    tables.is_answering(answering::place(address, port, tuple.protocol))
}

#[inline(always)]
fn is_answering<T: Tables>(tables: &T, tuple: &Tuple) -> bool {
    let (address, port) = (&tuple.source, tuple.source_port);
    tables.is_answering(answering::place(address, port, tuple.protocol))
}
