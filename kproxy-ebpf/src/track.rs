//! Flows and their life cycle.

use kproxy_common::{
    Applies, Backend, BackendFlags, BackendIndex, Counter, Door, Flow, FlowState, Generation, Nanoseconds,
    Tuple,
};

use crate::parse::{TcpFlags, Transport};
use crate::tables::{Age, Existing, InsertError, Tables};

/// An entry as it was found.
#[derive(Clone, Copy, Debug)]
pub struct Tracked {
    /// Its key.
    pub tuple: Tuple,
    /// The map it was found in.
    pub age: Age,
    /// Its value.
    pub flow: Flow,
}

/// Finds the entry for a tuple in either map.
#[inline(always)]
pub fn find<T: Tables>(tables: &T, tuple: &Tuple) -> Option<Tracked> {
    find_in(tables, Age::Answered, tuple).or_else(|| find_in(tables, Age::New, tuple))
}

/// Finds the entry for a tuple in one map.
#[inline(always)]
pub fn find_in<T: Tables>(tables: &T, age: Age, tuple: &Tuple) -> Option<Tracked> {
    Some(Tracked { tuple: *tuple, age, flow: tables.flow(age, tuple)? })
}

/// Whether a request may go on using its flow, or begins a new one.
#[inline(always)]
pub fn is_over<T: Tables>(
    tables: &T,
    door: Door,
    transport: &Transport,
    flow: &Flow,
    now: Nanoseconds,
) -> bool {
    if flow.state.contains(FlowState::REPLY) {
        return false;
    }
    let idle = now.since(flow.seen);
    if transport.is_tcp() {
        // An established connection lives on when its backend leaves the service; only a SYN can start anew.
        return transport.flags.opens()
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

/// Whether the service has lost this backend since the given generation.
#[inline(always)]
pub fn is_gone<T: Tables>(tables: &T, index: BackendIndex, generation: Generation) -> bool {
    match tables.backend(index) {
        Some(Backend { flags, generation: current, .. }) => {
            current != generation || !flags.contains(BackendFlags::ALIVE)
        }
        None => true,
    }
}

/// Removes both entries of a flow.
#[inline(always)]
pub fn remove<T: Tables>(tables: &T, tracked: &Tracked) {
    tables.remove_flow(tracked.age, &tracked.tuple);
    tables.remove_flow(tracked.age, &tracked.flow.twin(tracked.tuple.protocol));
}

/// Notes a packet of a known flow: time, state, and proof of life.
///
/// An entry is written at most once a second, unless its state changes, so that busy flows cause no cache misses on
/// other CPUs. The same moment refreshes the other direction's entry, so that the LRU never loses half a flow.
#[inline(always)]
pub fn note<T: Tables>(
    tables: &T,
    door: Door,
    flags: TcpFlags,
    tracked: &Tracked,
    now: Nanoseconds,
) -> Result<(), InsertError> {
    let answered = tracked.age == Age::New && tracked.flow.state.contains(FlowState::REPLY);
    let ends = flags.fin() || flags.rst();
    let old = now.since(tracked.flow.seen) >= tables.settings().touch_after;
    if answered || ends || old { write(tables, door, flags, tracked, now) } else { Ok(()) }
}

/// The rare part of [`note`], apart from the packet path's own code.
#[inline(never)]
fn write<T: Tables>(
    tables: &T,
    door: Door,
    flags: TcpFlags,
    tracked: &Tracked,
    now: Nanoseconds,
) -> Result<(), InsertError> {
    let Tracked { tuple, age, mut flow } = *tracked;
    let twin_key = flow.twin(tuple.protocol);
    let mut twin = tables.flow(age, &twin_key).unwrap_or(opposite(&tuple, &flow, now));
    flow.seen = now;
    twin.seen = now;
    if flags.fin() {
        flow.state |= FlowState::FIN;
    }
    if flags.rst() || (flow.state & twin.state).contains(FlowState::FIN) {
        flow.state |= FlowState::CLOSED;
        twin.state |= FlowState::CLOSED;
    }
    // Proof of life moves the flow to the map that a flood of unanswered packets can not churn. A refusal is none.
    let answered = flow.state.contains(FlowState::REPLY) && !flags.rst();
    let target = if answered { Age::Answered } else { age };
    tables.insert_flow(door, target, &twin_key, &twin, Existing::Replace)?;
    tables.insert_flow(door, target, &tuple, &flow, Existing::Replace)?;
    if target != age {
        remove(tables, tracked);
        tables.count(door, Counter::Promoted);
    }
    Ok(())
}

/// The entry for the other direction of a flow.
#[inline(always)]
#[must_use]
pub fn opposite(tuple: &Tuple, flow: &Flow, now: Nanoseconds) -> Flow {
    let applies = if flow.applies.contains(Applies::REDIRECT) {
        flow.applies
    } else {
        flow.applies.symmetric_difference(Applies::INGRESS.union(Applies::EGRESS))
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
        state: flow.state.symmetric_difference(FlowState::REPLY).intersection(
            FlowState::REPLY.union(FlowState::CLOSED),
        ),
        padding: 0,
    }
}
