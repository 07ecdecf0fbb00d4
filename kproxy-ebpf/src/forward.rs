//! Requests: a packet that enters by a pod's door.

use bytemuck::Zeroable as _;
use kproxy_common::{
    AddressRole, Applies, Backend, BackendIndex, Counter, Door, Flow, FlowState, FrontendKey, Nanoseconds,
    Port, Tuple,
};

use crate::balance::{self, Choice, Client};
use crate::packet::Packet;
use crate::parse::{self, Segment};
use crate::tables::{Age, Existing, InsertError, Tables};
use crate::track;
use crate::translate;
use crate::verdict::Verdict;
use crate::wire;

/// Source ports for a client whose own port is taken towards the chosen backend: above the default ephemeral range
/// (`net.ipv4.ip_local_port_range`, 32768 to 60999), where the client's own connections do not live.
const SPARE_PORTS: core::ops::Range<u32> = 61_000..65_536;
/// How many of them are tried.
const SPARE_ATTEMPTS: u32 = 8;

/// Decides on a packet that comes from a pod, and translates it.
#[inline(always)]
pub fn pod_ingress<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Verdict {
    let Some(network) = wire::parse(packet) else {
        return Verdict::Bystander;
    };
    if !tables
        .address(&network.destination)
        .contains(AddressRole::SERVICE)
    {
        return Verdict::Bystander;
    }
    let verdict = match parse::segment(packet, &network) {
        Ok(segment) => request(packet, tables, &segment),
        Err(reason) => Verdict::NoTuple(reason),
    };
    verdict.counted(tables, Door::PodIngress)
}

#[inline(always)]
fn request<P: Packet, T: Tables>(packet: &mut P, tables: &T, segment: &Segment) -> Verdict {
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
    match begin(tables, segment, now, &mut flow) {
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

/// Begins a new flow: chooses a backend and records both directions.
///
/// The functions from here on stay functions in the kernel and write through references, so that what each of them
/// needs shares the 512 bytes of stack.
#[inline(never)]
fn begin<T: Tables>(tables: &T, segment: &Segment, now: Nanoseconds, flow: &mut Flow) -> Result<(), Verdict> {
    let tuple = &segment.tuple;
    choose(tables, segment, now, flow)?;
    reserve(tables, tuple, flow, now)?;
    match tables.insert_flow(Door::PodIngress, Age::New, tuple, flow, Existing::Replace) {
        Ok(()) => Ok(()),
        Err(InsertError::Exists | InsertError::Failed) => {
            tables.remove_flow(Age::New, &flow.twin(tuple.protocol));
            Err(Verdict::DropMap)
        }
    }
}

/// Chooses a backend for a new flow.
#[inline(never)]
fn choose<T: Tables>(
    tables: &T,
    segment: &Segment,
    now: Nanoseconds,
    flow: &mut Flow,
) -> Result<(), Verdict> {
    let tuple = &segment.tuple;
    // Nothing to reset and nothing to refuse: a flow for it would only push out a living one.
    if segment.flags.rst() {
        return Err(Verdict::Bystander);
    }
    let key = FrontendKey::new(tuple.destination, tuple.destination_port, tuple.protocol);
    match balance::choose(tables, Door::PodIngress, &key, Client::Inside) {
        Choice::Backend(index, backend) => {
            *flow = towards(tuple, index, &backend, now);
            Ok(())
        }
        Choice::NoFrontend => Err(Verdict::NoFrontend),
        Choice::Reject => Err(Verdict::Reject),
        Choice::Drop => Err(Verdict::DropPolicy),
    }
}

/// The rewrite towards a backend. A client that is itself the backend would drop a packet from its own address, so
/// the service stands in as its peer, and both directions turn around at the client's door.
#[inline(always)]
fn towards(tuple: &Tuple, index: BackendIndex, backend: &Backend, now: Nanoseconds) -> Flow {
    let hairpin = backend.address == tuple.source;
    Flow {
        seen: now,
        source: if hairpin { tuple.destination } else { tuple.source },
        destination: backend.address,
        source_port: tuple.source_port,
        destination_port: backend.port,
        backend: index,
        generation: backend.generation,
        service: backend.service,
        applies: if hairpin {
            Applies::INGRESS.union(Applies::REDIRECT)
        } else {
            Applies::INGRESS
        },
        state: FlowState::empty(),
        check: tuple.check(),
    }
}

/// Inserts the reply entry, whose key no other living flow may have: two service addresses that share a backend get
/// the same key from one client port, and then the client's port is translated as well.
#[inline(always)]
fn reserve<T: Tables>(tables: &T, tuple: &Tuple, flow: &mut Flow, now: Nanoseconds) -> Result<(), Verdict> {
    let start = tables.random();
    for attempt in 0..=SPARE_ATTEMPTS {
        if attempt > 0 {
            let spare = start.wrapping_add(attempt) % (SPARE_PORTS.end - SPARE_PORTS.start);
            flow.source_port = Port::new((SPARE_PORTS.start + spare) as u16);
        }
        if !is_free(tables, tuple, flow) {
            continue;
        }
        match record_reply(tables, tuple, flow, now) {
            Ok(()) => {
                if attempt > 0 {
                    tables.count(Door::PodIngress, Counter::PortTranslated);
                }
                return Ok(());
            }
            Err(InsertError::Exists) => {}
            Err(InsertError::Failed) => return Err(Verdict::DropMap),
        }
    }
    Err(Verdict::DropPorts)
}

/// Whether the reply key of a flow is free. An entry that belongs to this very connection, or to one that is closed, is
/// moved out of the way.
#[inline(never)]
fn is_free<T: Tables>(tables: &T, tuple: &Tuple, flow: &Flow) -> bool {
    let key = flow.twin(tuple.protocol);
    let mut old = Flow::zeroed();
    let Some(age) = track::find(tables, &key, &mut old) else {
        return true;
    };
    let free = old.twin(tuple.protocol) == *tuple || old.state.contains(FlowState::CLOSED);
    if free {
        track::remove(tables, age, &key, &old);
    }
    free
}

/// Inserts the reply entry, unless another CPU was faster.
#[inline(never)]
fn record_reply<T: Tables>(
    tables: &T,
    tuple: &Tuple,
    flow: &Flow,
    now: Nanoseconds,
) -> Result<(), InsertError> {
    let key = flow.twin(tuple.protocol);
    let reply = track::opposite(tuple, flow, now);
    tables.insert_flow(Door::PodIngress, Age::New, &key, &reply, Existing::Keep)
}
