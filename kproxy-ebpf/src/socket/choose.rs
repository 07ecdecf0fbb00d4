//! What a destination is to a process, who the process is to Kubernetes, and what becomes of its call.

use kproxy_common::{Address, AddressRole, Counter, Door, Family, FrontendKey, Port, Protocol};

use super::{Errno, Peer, Socket, SocketVerdict};
use crate::balance::{self, Choice, Chosen, Request};
use crate::lookup::{self, Side, Vacancy};
use crate::tables::Tables;

/// What an address is to the process of this socket. Loopback addresses serve `NodePorts` to the node's own processes
/// alone: those of a pod are the pod's own business.
#[inline(always)]
pub(super) fn role<S: Socket, T: Tables>(socket: &S, tables: &T, address: &Address) -> AddressRole {
    let role = tables.address(address);
    if address.is_loopback()
        && tables.settings().serves_loopback(address.family())
        && is_of_node(socket, tables)
    {
        role.union(AddressRole::NODE)
    } else {
        role
    }
}

/// Chooses a backend, or says what else becomes of the call.
#[inline(always)]
pub(super) fn choose<S: Socket, T: Tables>(
    socket: &S,
    tables: &T,
    role: AddressRole,
    (asked, protocol): (&Peer, Protocol),
    chosen: &mut Chosen,
) -> Result<(), SocketVerdict> {
    let choice = if role.is_empty() {
        Choice::NoFrontend
    } else {
        let destination = FrontendKey::new(asked.address, asked.port, protocol);
        let client = client(socket, tables, asked.address.family());
        ask(tables, role, &destination, client.as_ref(), chosen)
    };
    let drop = |counter| drop(socket, tables, protocol, counter);
    let refuse = |counter| {
        tables.count(Door::Socket, counter);
        SocketVerdict::Deny(Errno::ConnectionRefused)
    };
    let pass = |counter| {
        tables.count(Door::Socket, counter);
        SocketVerdict::Pass
    };
    Err(match choice {
        Choice::Backend => return Ok(()),
        Choice::Reject => refuse(Counter::Rejected),
        Choice::DropPolicy => drop(Counter::DroppedPolicy),
        Choice::DropSource => drop(Counter::DroppedSource),
        Choice::UnknownClient => pass(Counter::LeftToPacket),
        Choice::NoFrontend => match lookup::vacancy(tables, role, &asked.address) {
            // A pod that is its own client has the service as its peer (`begin`), and answers it by datagrams from here:
            // its door knows the flow, and rejects what belongs to none.
            Vacancy::ClusterIp if protocol != Protocol::TCP && !is_of_node(socket, tables) => {
                pass(Counter::LeftToPacket)
            }
            Vacancy::ClusterIp => refuse(Counter::RejectedPort),
            Vacancy::Unallocated => drop(Counter::DroppedUnallocated),
            Vacancy::Other if role.contains(AddressRole::SERVICE) => pass(Counter::NoFrontend),
            Vacancy::Node | Vacancy::Other => SocketVerdict::Pass,
        },
    })
}

/// A function of its own in the kernel, for the sake of its stack.
#[inline(never)]
fn ask<T: Tables>(
    tables: &T,
    role: AddressRole,
    destination: &FrontendKey,
    client: Option<&Address>,
    chosen: &mut Chosen,
) -> Choice {
    let request = Request {
        door: Door::Socket,
        role,
        destination,
        side: Side::Inside,
        client,
        // Its kernel has not given it one yet.
        port: Port::new(0),
    };
    balance::choose(tables, &request, chosen)
}

/// The client's address as Kubernetes means it: where the socket is bound, else the node's for the node's own
/// processes. Unspecified for such a process when the node's address is not known. A pod's address shows in its packets
/// only; a loopback address tells nothing about anybody.
#[inline(always)]
fn client<S: Socket, T: Tables>(socket: &S, tables: &T, family: Family) -> Option<Address> {
    let bound = socket.bound_address().filter(|address| !address.is_loopback());
    if bound.is_some() {
        return bound;
    }
    is_of_node(socket, tables).then(|| {
        let own = tables.node_address(family);
        own.unwrap_or(Address::unspecified(family))
    })
}

/// Fails the call of a process of the node, whose packets meet no door. Those of a pod meet the pod's, which can do
/// what a call can not: stay silent.
#[inline(always)]
fn drop<S: Socket, T: Tables>(socket: &S, tables: &T, protocol: Protocol, counter: Counter) -> SocketVerdict {
    if !is_of_node(socket, tables) {
        tables.count(Door::Socket, Counter::LeftToPacket);
        return SocketVerdict::Pass;
    }
    tables.count(Door::Socket, counter);
    SocketVerdict::Deny(if protocol == Protocol::TCP {
        Errno::TimedOut
    } else {
        Errno::NotPermitted
    })
}

/// Whether the socket's process lives in the node's own network namespace.
#[inline(always)]
fn is_of_node<S: Socket, T: Tables>(socket: &S, tables: &T) -> bool {
    let node = tables.settings().node_namespace;
    node != 0 && socket.network_namespace() == node
}
