//! The socket door: a process asks for a service address and is given a backend's.

use kproxy_common::{
    Address, AddressRole, Backend, BackendIndex, Counter, Door, FrontendKey, Nanoseconds, Port, Protocol,
    SocketFlow, SocketFlowKey, SocketPeer,
};

use crate::balance::{self, Choice, Client};
use crate::tables::Tables;
use crate::track;

/// A socket at one of its hooks.
pub trait Socket {
    /// The kernel's cookie of the socket.
    fn cookie(&self) -> u64;
    /// What [`Socket::remember`] kept.
    fn peer(&self) -> Option<SocketPeer>;
    /// Keeps a translation with the socket, as long as the socket lives. False if there is no memory for it.
    fn remember(&self, peer: &SocketPeer) -> bool;
}

/// An address that a process gave or will see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address.
    pub address: Address,
    /// The port.
    pub port: Port,
}

/// What becomes of a `connect` or a `sendmsg`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketVerdict {
    /// Goes on as it is.
    Pass,
    /// Goes to this address instead.
    Translate(Peer),
    /// Fails with ECONNREFUSED.
    Refuse,
}

/// Decides on `connect`.
#[inline(always)]
pub fn connect<S: Socket, T: Tables>(
    socket: &S,
    tables: &T,
    asked: Peer,
    protocol: Protocol,
) -> SocketVerdict {
    if !is_service(tables, &asked) {
        return SocketVerdict::Pass;
    }
    let (index, backend) = match choose(tables, &asked, protocol) {
        Ok(chosen) => chosen,
        Err(verdict) => return verdict,
    };
    let peer = SocketPeer {
        service_address: asked.address,
        backend_address: backend.address,
        service_port: asked.port,
        backend_port: backend.port,
        service: backend.service,
        backend: index,
        generation: backend.generation,
    };
    if !socket.remember(&peer) {
        // The connection works all the same; only `getpeername` will name the backend.
        tables.count(Door::Socket, Counter::MapRetry);
    }
    tables.count(Door::Socket, Counter::New);
    SocketVerdict::Translate(Peer {
        address: backend.address,
        port: backend.port,
    })
}

/// Decides on `sendto` and `sendmsg` with a destination.
///
/// A socket stays with its backend as long as it keeps sending, as a UDP flow does (semantics 8.04).
#[inline(always)]
pub fn send<S: Socket, T: Tables>(socket: &S, tables: &T, asked: Peer) -> SocketVerdict {
    if !is_service(tables, &asked) {
        return SocketVerdict::Pass;
    }
    let now = tables.now();
    let key = sending(socket.cookie(), &asked);
    if let Some(flow) = tables.socket_flow(&key)
        && continues(tables, &flow, now)
    {
        let backend = Peer {
            address: flow.address,
            port: flow.port,
        };
        let known = names(tables, socket.cookie(), &backend, &asked);
        let fresh = now.since(flow.seen) < tables.settings().touch_after;
        if !(known && fresh) {
            record(socket, tables, asked, SocketFlow { seen: now, ..flow });
        }
        tables.count(Door::Socket, Counter::Established);
        return SocketVerdict::Translate(backend);
    }
    let (index, backend) = match choose(tables, &asked, Protocol::UDP) {
        Ok(chosen) => chosen,
        Err(verdict) => return verdict,
    };
    let flow = SocketFlow {
        seen: now,
        address: backend.address,
        port: backend.port,
        padding: 0,
        service: backend.service,
        backend: index,
        generation: backend.generation,
    };
    record(socket, tables, asked, flow);
    tables.count(Door::Socket, Counter::New);
    SocketVerdict::Translate(Peer {
        address: backend.address,
        port: backend.port,
    })
}

/// The address that a process shall see as the sender of a datagram, if it is not the real one.
#[inline(always)]
pub fn receive<S: Socket, T: Tables>(socket: &S, tables: &T, sender: Peer) -> Option<Peer> {
    if let Some(peer) = peer_name(socket, sender) {
        return Some(peer);
    }
    let flow = tables.socket_flow(&receiving(socket.cookie(), &sender))?;
    tables.count(Door::Socket, Counter::Reply);
    Some(Peer {
        address: flow.address,
        port: flow.port,
    })
}

/// The address that `getpeername` shall answer with, if it is not the real one.
#[inline(always)]
pub fn peer_name<S: Socket>(socket: &S, real: Peer) -> Option<Peer> {
    let peer = socket.peer()?;
    // The socket may have been connected again since, to an address that is no service's.
    (peer.backend_address == real.address && peer.backend_port == real.port).then_some(Peer {
        address: peer.service_address,
        port: peer.service_port,
    })
}

#[inline(always)]
fn is_service<T: Tables>(tables: &T, peer: &Peer) -> bool {
    tables.address(&peer.address).contains(AddressRole::SERVICE)
}

#[inline(always)]
fn choose<T: Tables>(
    tables: &T,
    asked: &Peer,
    protocol: Protocol,
) -> Result<(BackendIndex, Backend), SocketVerdict> {
    let key = FrontendKey::new(asked.address, asked.port, protocol);
    let (counter, verdict) = match balance::choose(tables, Door::Socket, &key, Client::Inside) {
        Choice::Backend(index, backend) => return Ok((index, backend)),
        Choice::NoFrontend => (Counter::NoFrontend, SocketVerdict::Pass),
        Choice::Reject => (Counter::Rejected, SocketVerdict::Refuse),
        // A hook can refuse but not stay silent: the packets of a pod meet the pod door, which can.
        Choice::Drop => (Counter::DroppedPolicy, SocketVerdict::Pass),
    };
    tables.count(Door::Socket, counter);
    Err(verdict)
}

#[inline(always)]
fn continues<T: Tables>(tables: &T, flow: &SocketFlow, now: Nanoseconds) -> bool {
    if track::is_gone(tables, flow.backend, flow.generation) {
        tables.count(Door::Socket, Counter::StaleBackend);
        return false;
    }
    now.since(flow.seen) <= tables.settings().udp_idle
}

/// Whether answers of this backend are given the name that the process asked for last.
#[inline(always)]
fn names<T: Tables>(tables: &T, cookie: u64, backend: &Peer, asked: &Peer) -> bool {
    tables
        .socket_flow(&receiving(cookie, backend))
        .is_some_and(|reply| reply.address == asked.address && reply.port == asked.port)
}

#[inline(always)]
fn record<S: Socket, T: Tables>(socket: &S, tables: &T, asked: Peer, flow: SocketFlow) {
    let cookie = socket.cookie();
    let reply = SocketFlow {
        address: asked.address,
        port: asked.port,
        ..flow
    };
    let backend = Peer {
        address: flow.address,
        port: flow.port,
    };
    tables.insert_socket_flow(&sending(cookie, &asked), &flow);
    tables.insert_socket_flow(&receiving(cookie, &backend), &reply);
}

#[inline(always)]
const fn sending(cookie: u64, asked: &Peer) -> SocketFlowKey {
    SocketFlowKey {
        cookie,
        address: asked.address,
        port: asked.port,
        receiving: 0,
        padding: 0,
    }
}

#[inline(always)]
const fn receiving(cookie: u64, sender: &Peer) -> SocketFlowKey {
    SocketFlowKey {
        cookie,
        address: sender.address,
        port: sender.port,
        receiving: 1,
        padding: 0,
    }
}
