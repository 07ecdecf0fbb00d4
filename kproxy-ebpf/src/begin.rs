//! A new flow: chooses a backend, and whom it will see as its client.
//!
//! The functions here stay functions in the kernel and write through references, so that what each of them needs shares
//! the 512 bytes of stack.

use kproxy_common::{Address, AddressRole, Applies, BackendFlags, Door, Flow, FlowState, FrontendKey, Tuple};

use crate::balance::{self, Choice, Chosen, Request};
use crate::lookup::{self, Side, Vacancy};
use crate::packet::Packet;
use crate::parse::Segment;
use crate::scratch::Work;
use crate::tables::Tables;
use crate::verdict::Verdict;

/// Chooses a backend for a client on this side, and says in `work` how to rewrite the packets of the flow, whose time is there already; or says
/// why there is none.
#[inline(never)]
pub fn choose<T: Tables>(
    tables: &T,
    work: &mut Work,
    segment: &Segment,
    role: AddressRole,
    (door, side): (Door, Side),
) -> Result<(), Verdict> {
    let tuple = &segment.tuple;
    // Nothing to reset and nothing to refuse: a flow for it would only push out a living one.
    if segment.flags.rst() {
        return Err(Verdict::Bystander);
    }
    let begins = segment.begins();
    let destination = FrontendKey::new(tuple.destination, tuple.destination_port, tuple.protocol);
    let request = Request {
        door,
        // The middle of a connection belongs to a process of the node that was there before the NodePort.
        role: if begins {
            role
        } else {
            role.difference(AddressRole::NODE)
        },
        destination: &destination,
        side,
        client: Some(&tuple.source),
        port: tuple.source_port,
    };
    match balance::choose(tables, &request, &mut work.chosen) {
        Choice::Backend => {
            towards(tuple, door, &work.chosen, &mut work.flow);
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

/// The rewrite towards a backend.
#[inline(always)]
fn towards(tuple: &Tuple, door: Door, chosen: &Chosen, flow: &mut Flow) {
    let hairpin = chosen.address == tuple.source;
    let (source, applies) = match door {
        // A client that is itself the backend would drop a packet from its own address, so the service stands in as its
        // peer, and both directions turn around at the client's door.
        Door::PodIngress if hairpin => (tuple.destination, Applies::INGRESS.union(Applies::REDIRECT)),
        // Answers come back by the client's door, whatever their way.
        Door::PodIngress | Door::PodEgress | Door::Socket => (tuple.source, Applies::INGRESS),
        Door::UplinkIngress | Door::UplinkEgress
            if chosen.flags.contains(BackendFlags::LOCAL) && !hairpin =>
        {
            (tuple.source, Applies::INGRESS.union(Applies::UPLINK))
        }
        // Answers would go past this node: it stands in as the client, see `take_source`.
        Door::UplinkIngress | Door::UplinkEgress => (
            Address::unspecified(tuple.source.family()),
            Applies::INGRESS.union(Applies::REDIRECT).union(Applies::UPLINK),
        ),
    };
    *flow = Flow {
        seen: flow.seen,
        source,
        destination: chosen.address,
        source_port: tuple.source_port,
        destination_port: chosen.port,
        backend: chosen.index,
        generation: chosen.generation,
        service: chosen.service,
        applies,
        state: FlowState::empty(),
        check: tuple.check(),
    };
}

/// Gives a flow to a backend elsewhere the address of the node that the routes prefer towards it.
#[inline(never)]
pub fn take_source<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    segment: &Segment,
    flow: &mut Flow,
) -> Result<(), Verdict> {
    // Whether it fits is asked for the tuple that it will have.
    packet.find_way(&flow.rewritten(segment.tuple.protocol), 0, None)?;
    let way = packet.way();
    let own = || tables.device(way.device)?.address(segment.family);
    let source = way
        .source
        .or_else(own)
        .or_else(|| tables.node_address(segment.family));
    flow.source = source.ok_or(Verdict::DropRoute)?;
    Ok(())
}
