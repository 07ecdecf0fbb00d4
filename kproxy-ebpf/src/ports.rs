//! Source ports: both directions of a new flow are recorded under keys that no other living flow has.

use kproxy_common::{
    AddressRole, Applies, Counter, Door, Flow, FlowState, FrontendKey, Port, PortSearch, SnatKey, Tuple,
    answering,
};

use crate::scratch::Work;
use crate::tables::{Age, Existing, InsertError, Tables};
use crate::track;
use crate::verdict::Verdict;

/// Source ports for a client whose own port is taken towards the chosen backend: above the default ephemeral range
/// (`net.ipv4.ip_local_port_range`, 32768 to 60999), where the client's own connections do not live.
const SPARE_PORTS: core::ops::Range<u32> = 61_000..65_536;
/// How many of them are tried.
const SPARE_ATTEMPTS: u32 = 8;

/// How many ports of the node's addresses are tried where chance says, which also tells how full they are ...
const CHANCES: u32 = 8;
/// ... and how many then, where the last search towards the same destination ended: a client that repeats its
/// request comes by every port.
const STEPS: u32 = 24;

/// What became of a try for one port. One scalar, since kernel functions return no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Claim {
    /// It is the flow's.
    Won,
    /// It is another's.
    Taken,
    /// The map refused.
    Failed,
}

impl Claim {
    /// The claim with this number.
    #[must_use]
    #[inline(always)]
    pub const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Won,
            1 => Self::Taken,
            _ => Self::Failed,
        }
    }
}

/// Records both directions of a flow that was just chosen. The client's port is kept if `keeps` allows and it is free.
/// The door is known where this is called, so that the kernel's pod door is spared what only uplinks need.
#[inline(always)]
pub fn record<T: Tables>(
    tables: &T,
    door: Door,
    work: &mut Work,
    tuple: &Tuple,
    keeps: bool,
) -> Result<(), Verdict> {
    reserve(tables, door, work, tuple, keeps)?;
    let flow = &work.flow;
    match tables.insert_flow(door, Age::New, tuple, flow, Existing::Replace) {
        Ok(()) => Ok(()),
        Err(InsertError::Exists | InsertError::Failed) => {
            tables.remove_flow(Age::New, &flow.twin(tuple.protocol));
            Err(Verdict::DropMap)
        }
    }
}

/// Inserts the reply entry, whose key no other living flow may have: two service addresses that share a backend get
/// the same key from one client port, as do two clients when the node stands in for them. Then the port is translated.
#[inline(always)]
fn reserve<T: Tables>(
    tables: &T,
    door: Door,
    work: &mut Work,
    tuple: &Tuple,
    keeps: bool,
) -> Result<(), Verdict> {
    if keeps {
        match claim(tables, door, work, tuple) {
            Claim::Won => return Ok(()),
            Claim::Taken => {}
            Claim::Failed => return Err(Verdict::DropMap),
        }
    }
    let of_node = match door {
        Door::UplinkIngress => work.flow.applies.contains(Applies::REDIRECT),
        // What the node says for itself, see `own`.
        Door::UplinkEgress => true,
        Door::PodIngress | Door::PodEgress | Door::Socket => false,
    };
    let claimed = if of_node {
        tables.search_ports(work, tuple)
    } else {
        search_clients(tables, door, work, tuple)
    };
    match claimed {
        Claim::Won => {
            tables.count(door, Counter::PortTranslated);
            Ok(())
        }
        Claim::Taken => Err(Verdict::DropPorts),
        Claim::Failed => Err(Verdict::DropMap),
    }
}

/// Looks for another port of the client.
#[inline(never)]
fn search_clients<T: Tables>(tables: &T, door: Door, work: &mut Work, tuple: &Tuple) -> Claim {
    let start = tables.random();
    for attempt in 1..=SPARE_ATTEMPTS {
        let spare = start.wrapping_add(attempt) % (SPARE_PORTS.end - SPARE_PORTS.start);
        work.flow.source_port = Port::new((SPARE_PORTS.start + spare) as u16);
        let claim = claim(tables, door, work, tuple);
        if claim != Claim::Taken {
            return claim;
        }
    }
    Claim::Taken
}

/// Looks for a port of the node.
#[inline(always)]
pub fn search_own<T: Tables>(tables: &T, work: &mut Work, tuple: &Tuple) -> Claim {
    let door = Door::UplinkIngress;
    let flow = &work.flow;
    work.space = SnatKey {
        source: flow.source,
        destination: flow.destination,
        port: flow.destination_port,
        protocol: tuple.protocol,
        padding: 0,
    };
    work.search = tables.port_search(&work.space).unwrap_or_else(|| PortSearch {
        place: tables.random(),
        ..PortSearch::default()
    });
    let spare = tables.settings().spare_ports;
    let mut claimed = Claim::Taken;
    for attempt in 0..CHANCES + STEPS {
        let by_chance = attempt < CHANCES;
        let place = if by_chance {
            tables.random()
        } else {
            work.search.place = work.search.place.wrapping_add(1) % u32::from(spare.len()).max(1);
            work.search.place
        };
        work.flow.source_port = Port::new(spare.at(place));
        claimed = claim(tables, door, work, tuple);
        if by_chance {
            work.search.note(claimed == Claim::Taken);
        }
        if claimed != Claim::Taken {
            break;
        }
    }
    if claimed == Claim::Taken {
        work.search.failed += 1;
    }
    tables.insert_port_search(&work.space, &work.search);
    claimed
}

/// Whether a port that the node would use for a client is one that clients ask the node for.
#[inline(always)]
pub fn is_node_port<T: Tables>(tables: &T, flow: &Flow, tuple: &Tuple) -> bool {
    let key = FrontendKey::new(flow.source, tuple.source_port, tuple.protocol);
    tables.address(&flow.source).contains(AddressRole::NODE) && tables.frontend(&key.node_port()).is_some()
}

/// Takes the flow's source port towards its backend, if it is free.
#[inline(always)]
fn claim<T: Tables>(tables: &T, door: Door, work: &mut Work, tuple: &Tuple) -> Claim {
    // One call after the other, for the sake of the stack.
    if is_free(tables, work, tuple) {
        record_reply(tables, door, work, tuple)
    } else {
        Claim::Taken
    }
}

/// Whether the reply key of a flow is free. An entry that belongs to this very connection, or to one that has ended, is
/// moved out of the way.
#[inline(never)]
fn is_free<T: Tables>(tables: &T, work: &mut Work, tuple: &Tuple) -> bool {
    let key = work.flow.twin(tuple.protocol);
    let Some(age) = track::find(tables, &key, &mut work.other) else {
        return true;
    };
    let old = &work.other;
    let twin = old.twin(tuple.protocol);
    let free = twin == *tuple
        || old.state.contains(FlowState::CLOSED)
        || track::is_idle(tables, tuple.protocol, old, work.flow.seen);
    if free {
        tables.remove_flow(age, &key);
        tables.remove_flow(age, &twin);
    }
    free
}

/// Inserts the reply entry.
#[inline(never)]
fn record_reply<T: Tables>(tables: &T, door: Door, work: &mut Work, tuple: &Tuple) -> Claim {
    let key = work.flow.twin(tuple.protocol);
    track::write_opposite(tuple, &work.flow, work.flow.seen, &mut work.other);
    tables.note_answering(answering::place(&key.source, key.source_port, key.protocol));
    // On the stack: before 6.2 no map takes what a global function was given (`map_key_value_types`).
    let reply = work.other;
    match tables.insert_flow(door, Age::New, &key, &reply, Existing::Keep) {
        Ok(()) => Claim::Won,
        // Another CPU was faster.
        Err(InsertError::Exists) => Claim::Taken,
        Err(InsertError::Failed) => Claim::Failed,
    }
}
