//! A new flow at a pod's door: chooses a backend, and records both directions.
//!
//! The functions here stay functions in the kernel and write through references, so that what each of them needs shares
//! the 512 bytes of stack.

use bytemuck::Zeroable as _;
use kproxy_common::{
    AddressRole, Applies, Counter, Door, Flow, FlowState, FrontendKey, Nanoseconds, Port, Tuple,
};

use crate::balance::{self, Choice, Chosen, Request};
use crate::lookup::{self, Side, Vacancy};
use crate::parse::Segment;
use crate::tables::{Age, Existing, InsertError, Tables};
use crate::track;
use crate::verdict::Verdict;

/// Source ports for a client whose own port is taken towards the chosen backend: above the default ephemeral range
/// (`net.ipv4.ip_local_port_range`, 32768 to 60999), where the client's own connections do not live.
const SPARE_PORTS: core::ops::Range<u32> = 61_000..65_536;
/// How many of them are tried.
const SPARE_ATTEMPTS: u32 = 8;

/// Chooses a backend, and says in `flow` how to rewrite the packets of the flow; or says why there is none.
#[inline(never)]
pub fn choose<T: Tables>(
    tables: &T,
    segment: &Segment,
    role: AddressRole,
    now: Nanoseconds,
    flow: &mut Flow,
) -> Result<(), Verdict> {
    let tuple = &segment.tuple;
    // Nothing to reset and nothing to refuse: a flow for it would only push out a living one.
    if segment.flags.rst() {
        return Err(Verdict::Bystander);
    }
    let begins = segment.begins();
    let destination = FrontendKey::new(tuple.destination, tuple.destination_port, tuple.protocol);
    let request = Request {
        door: Door::PodIngress,
        // The middle of a connection belongs to a process of the node that was there before the NodePort.
        role: if begins {
            role
        } else {
            role.difference(AddressRole::NODE)
        },
        destination: &destination,
        side: Side::Inside,
        client: Some(&tuple.source),
    };
    let mut chosen = Chosen::zeroed();
    match balance::choose(tables, &request, &mut chosen) {
        Choice::Backend => {
            *flow = towards(tuple, &chosen, now);
            Ok(())
        }
        Choice::Reject => Err(Verdict::Reject),
        Choice::DropPolicy => Err(Verdict::DropPolicy),
        Choice::DropSource => Err(Verdict::DropSource),
        // The latter is not for packets, which have a sender.
        Choice::NoFrontend | Choice::UnknownClient => {
            Err(match lookup::vacancy(tables, role, &tuple.destination) {
                Vacancy::Node => Verdict::Bystander,
                Vacancy::ClusterIp => Verdict::RejectPort,
                Vacancy::Unallocated if begins => Verdict::DropUnallocated,
                Vacancy::Unallocated | Vacancy::Other => Verdict::NoFrontend,
            })
        }
    }
}

/// The rewrite towards a backend. A client that is itself the backend would drop a packet from its own address, so
/// the service stands in as its peer, and both directions turn around at the client's door.
#[inline(always)]
fn towards(tuple: &Tuple, chosen: &Chosen, now: Nanoseconds) -> Flow {
    let hairpin = chosen.address == tuple.source;
    Flow {
        seen: now,
        source: if hairpin { tuple.destination } else { tuple.source },
        destination: chosen.address,
        source_port: tuple.source_port,
        destination_port: chosen.port,
        backend: chosen.index,
        generation: chosen.generation,
        service: chosen.service,
        applies: if hairpin {
            Applies::INGRESS.union(Applies::REDIRECT)
        } else {
            Applies::INGRESS
        },
        state: FlowState::empty(),
        check: tuple.check(),
    }
}

/// Records both directions of a flow that was just chosen.
#[inline(never)]
pub fn record<T: Tables>(
    tables: &T,
    tuple: &Tuple,
    now: Nanoseconds,
    flow: &mut Flow,
) -> Result<(), Verdict> {
    reserve(tables, tuple, flow, now)?;
    match tables.insert_flow(Door::PodIngress, Age::New, tuple, flow, Existing::Replace) {
        Ok(()) => Ok(()),
        Err(InsertError::Exists | InsertError::Failed) => {
            tables.remove_flow(Age::New, &flow.twin(tuple.protocol));
            Err(Verdict::DropMap)
        }
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
    for age in [Age::Answered, Age::New] {
        if let Some(old) = track::look_up(tables, age, &key) {
            let twin = old.twin(tuple.protocol);
            let free = twin == *tuple || old.state.contains(FlowState::CLOSED);
            if free {
                tables.remove_flow(age, &key);
                tables.remove_flow(age, &twin);
            }
            return free;
        }
    }
    true
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
