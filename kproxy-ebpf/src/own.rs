//! The node's own conversations, where it stands in for clients.
//!
//! A client's port is kept towards a backend elsewhere, and the kernel may give that port to a socket of the node
//! afterwards. If it talks to the same backend, the answers to both look the same. So the later one gives way: what the
//! node sends gets another port as it leaves, and the answers get the socket's as they come in.

use kproxy_common::{Applies, Door, Flow, FlowState, Nanoseconds};

use crate::parse::Segment;
use crate::ports;
use crate::scratch::Work;
use crate::tables::Tables;
use crate::track;
use crate::verdict::Verdict;

/// Begins a flow for what the node itself sends, if its port is a client's. `None` if it is not, or this is the middle
/// of a connection.
#[inline(always)]
pub fn begin<T: Tables>(tables: &T, work: &mut Work, segment: &Segment, now: Nanoseconds) -> Option<Verdict> {
    if !segment.begins() || segment.is_later_fragment() || !is_clients(tables, work, segment, now) {
        return None;
    }
    Some(
        match ports::record(tables, Door::UplinkEgress, work, &segment.tuple, false) {
            Ok(()) => Verdict::New,
            Err(verdict) => verdict,
        },
    )
}

/// Whether the answers to this packet would be sent on to a client. Then `work` has the flow of the node's own, but for
/// its port.
#[inline(never)]
fn is_clients<T: Tables>(tables: &T, work: &mut Work, segment: &Segment, now: Nanoseconds) -> bool {
    let tuple = &segment.tuple;
    let flow = &mut work.flow;
    if track::find(tables, &tuple.reversed(), flow).is_none() {
        return false;
    }
    let is_clients = track::applies(flow, Door::UplinkIngress)
        && flow.applies.contains(Applies::REDIRECT)
        && flow.state.contains(FlowState::REPLY)
        && !flow.state.contains(FlowState::CLOSED)
        && !track::is_idle(tables, tuple.protocol, flow, now);
    *flow = Flow {
        seen: now,
        source: tuple.source,
        destination: tuple.destination,
        source_port: tuple.source_port,
        destination_port: tuple.destination_port,
        applies: Applies::EGRESS.union(Applies::UPLINK),
        state: FlowState::empty(),
        check: tuple.check(),
        // The backend is the client's, and asked by its own address here: whether its service keeps it does not matter.
        ..*flow
    };
    is_clients
}
