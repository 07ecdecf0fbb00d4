//! Flows and their life cycle.

use bytemuck::Zeroable as _;
use kproxy_common::{
    Applies, Backend, BackendFlags, BackendIndex, Counter, Door, Flow, FlowState, Generation, Nanoseconds,
    Protocol, Tuple,
};

use crate::parse::Segment;
use crate::tables::{Age, Existing, InsertError, Tables};

/// Whether an entry's rewrite is made here: flows of pods' doors and of uplinks do not mix.
#[inline(always)]
#[must_use]
pub fn applies(flow: &Flow, door: Door) -> bool {
    let here = match door {
        Door::PodIngress | Door::Socket => Applies::INGRESS,
        Door::PodEgress => Applies::EGRESS,
        Door::UplinkIngress => Applies::INGRESS.union(Applies::UPLINK),
        Door::UplinkEgress => Applies::EGRESS.union(Applies::UPLINK),
    };
    let all = Applies::INGRESS.union(Applies::EGRESS).union(Applies::UPLINK);
    flow.applies.intersection(all) == here
}

/// Finds the entry for a tuple in either map and writes it to `flow`. A function of its own, with a reference for its
/// result, so that the kernel's stack holds one flow and no copies on their way.
#[inline(never)]
pub fn find<T: Tables>(tables: &T, tuple: &Tuple, flow: &mut Flow) -> Option<Age> {
    for age in [Age::Answered, Age::New] {
        if let Some(found) = look_up(tables, age, tuple) {
            *flow = found;
            return Some(age);
        }
    }
    None
}

/// The entry for a tuple in one map, unless its element was reused under our hands ([`kproxy_common::check`]).
#[inline(always)]
pub fn look_up<T: Tables>(tables: &T, age: Age, tuple: &Tuple) -> Option<Flow> {
    tables.flow(age, tuple).filter(|flow| flow.check == tuple.check())
}

/// Whether a request may go on using its flow, or begins a new one.
#[inline(always)]
pub fn is_over<T: Tables>(tables: &T, door: Door, segment: &Segment, flow: &Flow, now: Nanoseconds) -> bool {
    if flow.state.contains(FlowState::REPLY) {
        return false;
    }
    let idle = is_idle(tables, segment.tuple.protocol, flow, now);
    if segment.is_connection() {
        // An established connection lives on when its backend leaves the service; only a SYN can start anew.
        return segment.flags.opens()
            && (flow.state.contains(FlowState::CLOSED)
                || idle
                || is_gone(tables, flow.backend, flow.generation));
    }
    if is_gone(tables, flow.backend, flow.generation) {
        tables.count(door, Counter::StaleBackend);
        return true;
    }
    idle
}

/// Whether a packet that looks like the answer to a flow belongs to somebody else: the flow has ended, and since then its
/// client has used the same port to ask the backend directly, by its own address.
#[inline(always)]
pub fn is_left_over<T: Tables>(tables: &T, segment: &Segment, flow: &Flow, now: Nanoseconds) -> bool {
    let idle = is_idle(tables, segment.tuple.protocol, flow, now);
    if segment.is_connection() {
        // What begins a conversation is a SYN, or an RST that refuses it.
        return (segment.flags.syn() || segment.flags.rst())
            && (flow.state.contains(FlowState::CLOSED) || idle);
    }
    idle
}

/// Whether a flow was silent for so long that it has ended without a word.
#[inline(always)]
pub fn is_idle<T: Tables>(tables: &T, protocol: Protocol, flow: &Flow, now: Nanoseconds) -> bool {
    let settings = tables.settings();
    let kept = if protocol == Protocol::UDP {
        settings.udp_idle
    } else {
        settings.tcp_idle
    };
    now.since(flow.seen) > kept
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
    let ends = segment.flags.fin() || segment.flags.rst();
    let old = now.since(flow.seen) >= tables.settings().touch_after;
    let target = belongs_in(segment, age, flow);
    if target == age && !ends && !old {
        return Ok(());
    }
    let written = match write_twin(tables, door, segment, age, flow) {
        TwinWritten::Open => write_own(tables, door, segment, (flow, false), target),
        TwinWritten::Closed => write_own(tables, door, segment, (flow, true), target),
        TwinWritten::Refused => Err(InsertError::Failed),
    };
    if target == age {
        // The flow is recorded. It goes on without the news, rather than lose a packet for them.
        return Ok(());
    }
    written?;
    tables.count(door, Counter::Promoted);
    remove(tables, age, &segment.tuple, flow);
    Ok(())
}

/// Proof of life moves a flow to the map that a flood of unanswered packets can not churn. A refusal is none.
#[inline(always)]
fn belongs_in(segment: &Segment, age: Age, flow: &Flow) -> Age {
    if flow.state.contains(FlowState::REPLY) && !segment.flags.rst() {
        Age::Answered
    } else {
        age
    }
}

/// What became of the other direction's entry. One scalar, since kernel functions return no more.
enum TwinWritten {
    /// It is written, and the flow goes on.
    Open,
    /// It is written, and the flow has ended.
    Closed,
    /// The map refused.
    Refused,
}

/// Refreshes the other direction's entry, or restores it. This and [`write_own`] are the rare part of [`note`], and
/// functions of their own for the sake of the kernel's stack.
#[inline(never)]
fn write_twin<T: Tables>(tables: &T, door: Door, segment: &Segment, age: Age, flow: &Flow) -> TwinWritten {
    let (now, target) = (tables.now(), belongs_in(segment, age, flow));
    let key = flow.twin(segment.tuple.protocol);
    let mut twin = look_up(tables, age, &key).unwrap_or_else(|| opposite(&segment.tuple, flow, now));
    twin.seen = now;
    let both_fin =
        twin.state.contains(FlowState::FIN) && (segment.flags.fin() || flow.state.contains(FlowState::FIN));
    if segment.flags.rst() || both_fin {
        twin.state |= FlowState::CLOSED;
    }
    match tables.insert_flow(door, target, &key, &twin, Existing::Replace) {
        Ok(()) if twin.state.contains(FlowState::CLOSED) => TwinWritten::Closed,
        Ok(()) => TwinWritten::Open,
        Err(InsertError::Exists | InsertError::Failed) => TwinWritten::Refused,
    }
}

/// Refreshes the packet's own entry.
#[inline(never)]
fn write_own<T: Tables>(
    tables: &T,
    door: Door,
    segment: &Segment,
    (flow, closed): (&Flow, bool),
    target: Age,
) -> Result<(), InsertError> {
    let mut own = Flow {
        seen: tables.now(),
        ..*flow
    };
    if segment.flags.fin() {
        own.state |= FlowState::FIN;
    }
    if closed {
        own.state |= FlowState::CLOSED;
    }
    tables.insert_flow(door, target, &segment.tuple, &own, Existing::Replace)
}

/// The entry for the other direction of a flow.
#[inline(always)]
#[must_use]
pub fn opposite(tuple: &Tuple, flow: &Flow, now: Nanoseconds) -> Flow {
    let mut other = Flow::zeroed();
    write_opposite(tuple, flow, now, &mut other);
    other
}

/// Writes the entry for the other direction of a flow, field by field: no copy of it is on the kernel's stack.
#[inline(always)]
pub fn write_opposite(tuple: &Tuple, flow: &Flow, now: Nanoseconds, other: &mut Flow) {
    other.seen = now;
    other.source = tuple.destination;
    other.destination = tuple.source;
    other.source_port = tuple.destination_port;
    other.destination_port = tuple.source_port;
    other.backend = flow.backend;
    other.generation = flow.generation;
    other.service = flow.service;
    other.applies = if flow.applies.contains(Applies::REDIRECT) {
        flow.applies
    } else {
        flow.applies
            .symmetric_difference(Applies::INGRESS.union(Applies::EGRESS))
    };
    other.state = flow
        .state
        .symmetric_difference(FlowState::REPLY)
        .intersection(FlowState::REPLY.union(FlowState::CLOSED));
    other.check = flow.twin(tuple.protocol).check();
}
