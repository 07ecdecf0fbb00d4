//! Requests: a packet that enters by a pod's door.

use kproxy_common::{
    AddressRole, Applies, Backend, BackendIndex, Counter, Door, Flow, FlowState, FrontendKey, Nanoseconds,
    Port, Tuple,
};

use crate::balance::{self, Choice, Client};
use crate::packet::Packet;
use crate::parse::{self, Transport};
use crate::tables::{Age, Existing, InsertError, Tables};
use crate::translate;
use crate::track;
use crate::verdict::Verdict;
use crate::wire::{self, Network};

/// Source ports for a client whose own port is taken towards the chosen backend: above the default ephemeral range
/// (`net.ipv4.ip_local_port_range`, 32768 to 60999), where the client's own connections do not live.
const SPARE_PORTS: core::ops::Range<u32> = 61_000..65_536;
/// How many of them are tried.
const SPARE_ATTEMPTS: u32 = 16;

/// Decides on a packet that comes from a pod, and translates it.
#[inline(always)]
pub fn pod_ingress<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Verdict {
    let Some(network) = wire::parse(packet) else {
        return Verdict::Bystander;
    };
    if !tables.address(&network.destination).contains(AddressRole::SERVICE) {
        return Verdict::Bystander;
    }
    let verdict = match parse::transport(packet, &network) {
        Ok(transport) => request(packet, tables, &network, &transport),
        Err(reason) => Verdict::NoTuple(reason),
    };
    verdict.counted(tables, Door::PodIngress)
}

#[inline(always)]
fn request<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    network: &Network,
    transport: &Transport,
) -> Verdict {
    let tuple = transport.tuple(network);
    let now = tables.now();
    if let Some(tracked) = track::find(tables, &tuple)
        && tracked.flow.applies.contains(Applies::INGRESS)
    {
        if !track::is_over(tables, Door::PodIngress, transport, &tracked.flow, now) {
            return match track::note(tables, Door::PodIngress, transport.flags, &tracked, now) {
                Ok(()) => finish(packet, network, transport, &tracked.flow, Verdict::Established),
                Err(InsertError::Exists | InsertError::Failed) => Verdict::DropMap,
            };
        }
        track::remove(tables, &tracked);
    }
    match begin(tables, transport, &tuple, now) {
        Ok(flow) => finish(packet, network, transport, &flow, Verdict::New),
        Err(verdict) => verdict,
    }
}

#[inline(always)]
fn finish<P: Packet>(
    packet: &mut P,
    network: &Network,
    transport: &Transport,
    flow: &Flow,
    verdict: Verdict,
) -> Verdict {
    if translate::rewrite(packet, network, transport, flow).is_none() {
        return Verdict::DropRewrite;
    }
    if flow.applies.contains(Applies::REDIRECT) { Verdict::Hairpin } else { verdict }
}

/// Begins a new flow: chooses a backend and records both directions.
#[inline(never)]
fn begin<T: Tables>(
    tables: &T,
    transport: &Transport,
    tuple: &Tuple,
    now: Nanoseconds,
) -> Result<Flow, Verdict> {
    let key =
        FrontendKey { address: tuple.destination, port: tuple.destination_port, protocol: tuple.protocol };
    let (index, backend) = match balance::choose(tables, Door::PodIngress, &key, Client::Inside) {
        Choice::Backend(index, backend) => (index, backend),
        Choice::NoFrontend => return Err(Verdict::NoFrontend),
        Choice::Reject => return Err(Verdict::Reject),
        Choice::Drop => return Err(Verdict::DropPolicy),
    };
    if transport.flags.rst() {
        // Nothing to reset: a flow for it would only push out a living one.
        return Err(Verdict::Bystander);
    }
    let mut flow = towards(tuple, index, &backend, now);
    reserve(tables, tuple, &mut flow, now)?;
    match tables.insert_flow(Door::PodIngress, Age::New, tuple, &flow, Existing::Replace) {
        Ok(()) => Ok(flow),
        Err(InsertError::Exists | InsertError::Failed) => {
            tables.remove_flow(Age::New, &flow.twin(tuple.protocol));
            Err(Verdict::DropMap)
        }
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
        applies: if hairpin { Applies::INGRESS.union(Applies::REDIRECT) } else { Applies::INGRESS },
        state: FlowState::empty(),
        padding: 0,
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
        match claim(tables, tuple, flow, now) {
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

/// Claims one reply key. An entry that belongs to this very connection, or to one that is closed, is taken over.
#[inline(never)]
fn claim<T: Tables>(tables: &T, tuple: &Tuple, flow: &Flow, now: Nanoseconds) -> Result<(), InsertError> {
    let key = flow.twin(tuple.protocol);
    if let Some(old) = track::find(tables, &key) {
        let same = old.flow.twin(tuple.protocol) == *tuple;
        if !same && !old.flow.state.contains(FlowState::CLOSED) {
            return Err(InsertError::Exists);
        }
        track::remove(tables, &old);
    }
    let reply = track::opposite(tuple, flow, now);
    tables.insert_flow(Door::PodIngress, Age::New, &key, &reply, Existing::Keep)
}
