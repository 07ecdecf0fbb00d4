//! The socket door: a process asks for a service address and is given a backend's.

use bytemuck::Zeroable as _;
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
    /// Whether the socket has a peer.
    fn is_connected(&self) -> bool;
    /// What [`Socket::remember`] kept.
    fn peer(&self) -> Option<SocketPeer>;
    /// Keeps a record with the socket, as long as the socket lives. False if there is no memory for it.
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
    let chosen = if is_service(tables, &asked) {
        choose(tables, &asked, protocol)
    } else {
        Err(SocketVerdict::Pass)
    };
    let before = socket.peer();
    let (index, backend) = match chosen {
        Ok(chosen) => chosen,
        Err(verdict) => {
            if let Some(stale) = before {
                // The same backend may be the next peer, and then by its own name.
                socket.remember(&SocketPeer {
                    backend_port: Port::new(0),
                    ..stale
                });
            }
            return verdict;
        }
    };
    let peer = SocketPeer {
        service_address: asked.address,
        backend_address: backend.address,
        service_port: asked.port,
        backend_port: backend.port,
        sends: before.map_or(0, |before| before.sends),
        service: backend.service,
        backend: index,
        generation: backend.generation,
        padding: 0,
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
        if has_sent(socket) {
            // From here on this peer answers by its own name.
            tables.remove_socket_flow(&receiving(socket.cookie(), &asked));
        }
        return SocketVerdict::Pass;
    }
    let now = tables.now();
    let key = sending(socket.cookie(), &asked);
    if let Some(flow) = look_up(tables, &key)
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
        check: key.check(),
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
    if socket.is_connected() {
        return peer_name(socket, sender);
    }
    if !has_sent(socket) {
        return None;
    }
    let flow = look_up(tables, &receiving(socket.cookie(), &sender))?;
    if tables.now().since(flow.seen) > tables.settings().udp_idle {
        return None;
    }
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
    (peer.backend_port == real.port && peer.backend_address == real.address).then_some(Peer {
        address: peer.service_address,
        port: peer.service_port,
    })
}

/// Whether a socket was connected through a service to a backend that the service has not any more.
///
/// It may be connected to something else by now, or be about to: what it is connected to must be compared.
#[inline(always)]
pub fn has_lost_its_backend<T: Tables>(tables: &T, peer: &SocketPeer) -> bool {
    peer.backend_port != Port::new(0) && track::is_gone(tables, peer.backend, peer.generation)
}

/// Whether the socket has ever sent to a service without being connected: others need no look at `SOCKET_FLOWS`.
#[inline(always)]
fn has_sent<S: Socket>(socket: &S) -> bool {
    socket.peer().is_some_and(|peer| peer.sends != 0)
}

/// An entry, unless its element was reused under our hands ([`kproxy_common::check`]).
#[inline(always)]
fn look_up<T: Tables>(tables: &T, key: &SocketFlowKey) -> Option<SocketFlow> {
    tables.socket_flow(key).filter(|flow| flow.check == key.check())
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
    look_up(tables, &receiving(cookie, backend))
        .is_some_and(|reply| reply.address == asked.address && reply.port == asked.port)
}

#[inline(always)]
fn record<S: Socket, T: Tables>(socket: &S, tables: &T, asked: Peer, flow: SocketFlow) {
    let cookie = socket.cookie();
    let backend = Peer {
        address: flow.address,
        port: flow.port,
    };
    let (send, receive) = (sending(cookie, &asked), receiving(cookie, &backend));
    let reply = SocketFlow {
        address: asked.address,
        port: asked.port,
        check: receive.check(),
        ..flow
    };
    tables.insert_socket_flow(&send, &flow);
    tables.insert_socket_flow(&receive, &reply);
    let before = socket.peer().unwrap_or(SocketPeer::zeroed());
    if before.sends == 0 && !socket.remember(&SocketPeer { sends: 1, ..before }) {
        // The datagram goes out all the same; only the answer will come under the backend's name.
        tables.count(Door::Socket, Counter::MapRetry);
    }
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
