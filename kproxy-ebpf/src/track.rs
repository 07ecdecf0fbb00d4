//! Flows and their life cycle.

use kproxy_common::{
    Applies, Backend, BackendFlags, BackendIndex, Counter, Door, Flow, FlowState, Generation, Nanoseconds,
    Tuple,
};

use crate::parse::Segment;
use crate::tables::{Age, Existing, InsertError, Tables};

/// Finds the entry for a tuple in either map.
#[inline(always)]
pub fn find<T: Tables>(tables: &T, tuple: &Tuple) -> Option<(Age, Flow)> {
    match tables.flow(Age::Answered, tuple) {
        Some(flow) => Some((Age::Answered, flow)),
        None => Some((Age::New, tables.flow(Age::New, tuple)?)),
    }
}

/// Whether a request may go on using its flow, or begins a new one.
#[inline(always)]
pub fn is_over<T: Tables>(tables: &T, door: Door, segment: &Segment, flow: &Flow, now: Nanoseconds) -> bool {
    if flow.state.contains(FlowState::REPLY) {
        return false;
    }
    let idle = now.since(flow.seen);
    if segment.is_tcp() {
        // An established connection lives on when its backend leaves the service; only a SYN can start anew.
        return segment.flags.opens()
            && (flow.state.contains(FlowState::CLOSED)
                || idle > tables.settings().tcp_idle
                || is_gone(tables, flow.backend, flow.generation));
    }
    if is_gone(tables, flow.backend, flow.generation) {
        tables.count(door, Counter::StaleBackend);
        return true;
    }
    idle > tables.settings().udp_idle
}

/// Whether a packet that looks like the answer to a flow belongs to somebody else: the flow has ended, and since then its
/// client has used the same port to ask the backend directly, by its own address.
#[inline(always)]
pub fn is_left_over<T: Tables>(tables: &T, segment: &Segment, flow: &Flow, now: Nanoseconds) -> bool {
    let idle = now.since(flow.seen);
    if segment.is_tcp() {
        // What begins a conversation is a SYN, or an RST that refuses it.
        return (segment.flags.syn() || segment.flags.rst())
            && (flow.state.contains(FlowState::CLOSED) || idle > tables.settings().tcp_idle);
    }
    idle > tables.settings().udp_idle
}

/// Whether the service has lost this backend since the given generation.
#[inline(always)]
pub fn is_gone<T: Tables>(tables: &T, index: BackendIndex, generation: Generation) -> bool {
    match tables.backend(index) {
        Some(Backend {
            flags,
            generation: current,
            ..
        }) => current != generation || !flags.contains(BackendFlags::ALIVE),
        None => true,
    }
}

/// Removes both entries of a flow.
#[inline(never)]
pub fn remove<T: Tables>(tables: &T, age: Age, tuple: &Tuple, flow: &Flow) {
    tables.remove_flow(age, tuple);
    tables.remove_flow(age, &flow.twin(tuple.protocol));
}

/// Notes a packet of a known flow: time, state, and proof of life.
///
/// An entry is written at most once a second, unless its state changes, so that busy flows cause no cache misses on
/// other CPUs. The same moment refreshes the other direction's entry, so that the LRU never loses half a flow.
#[inline(always)]
pub fn note<T: Tables>(
    tables: &T,
    door: Door,
    segment: &Segment,
    (age, flow): (Age, &Flow),
    now: Nanoseconds,
) -> Result<(), InsertError> {
    let answered = age == Age::New && flow.state.contains(FlowState::REPLY);
    let ends = segment.flags.fin() || segment.flags.rst();
    let old = now.since(flow.seen) >= tables.settings().touch_after;
    if answered || ends || old {
        write(tables, door, segment, age, now)
    } else {
        Ok(())
    }
}

/// The rare part of [`note`]. It looks the flow up again, which keeps its copy off the stack of the packet path.
#[inline(never)]
fn write<T: Tables>(
    tables: &T,
    door: Door,
    segment: &Segment,
    age: Age,
    now: Nanoseconds,
) -> Result<(), InsertError> {
    let tuple = &segment.tuple;
    let Some(mut flow) = tables.flow(age, tuple) else {
        return Ok(());
    };
    let twin_key = flow.twin(tuple.protocol);
    let mut twin = tables
        .flow(age, &twin_key)
        .unwrap_or_else(|| opposite(tuple, &flow, now));
    flow.seen = now;
    twin.seen = now;
    if segment.flags.fin() {
        flow.state |= FlowState::FIN;
    }
    if segment.flags.rst() || (flow.state & twin.state).contains(FlowState::FIN) {
        flow.state |= FlowState::CLOSED;
        twin.state |= FlowState::CLOSED;
    }
    // Proof of life moves the flow to the map that a flood of unanswered packets can not churn. A refusal is none.
    let answered = flow.state.contains(FlowState::REPLY) && !segment.flags.rst();
    let target = if answered { Age::Answered } else { age };
    let written = tables
        .insert_flow(door, target, &twin_key, &twin, Existing::Replace)
        .and_then(|()| tables.insert_flow(door, target, tuple, &flow, Existing::Replace));
    if target == age {
        // The flow is recorded. It goes on without the news, rather than lose a packet for them.
        return Ok(());
    }
    written?;
    tables.remove_flow(age, tuple);
    tables.remove_flow(age, &twin_key);
    tables.count(door, Counter::Promoted);
    Ok(())
}

/// The entry for the other direction of a flow.
#[inline(always)]
#[must_use]
pub fn opposite(tuple: &Tuple, flow: &Flow, now: Nanoseconds) -> Flow {
    let applies = if flow.applies.contains(Applies::REDIRECT) {
        flow.applies
    } else {
        flow.applies
            .symmetric_difference(Applies::INGRESS.union(Applies::EGRESS))
    };
    Flow {
        seen: now,
        source: tuple.destination,
        destination: tuple.source,
        source_port: tuple.destination_port,
        destination_port: tuple.source_port,
        backend: flow.backend,
        generation: flow.generation,
        service: flow.service,
        applies,
        state: flow
            .state
            .symmetric_difference(FlowState::REPLY)
            .intersection(FlowState::REPLY.union(FlowState::CLOSED)),
        padding: 0,
    }
}
