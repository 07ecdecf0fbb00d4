//! `sendto` and `recvfrom`: sockets that name their peer with every datagram.

use bytemuck::Zeroable as _;
use kproxy_common::{Counter, Door, Nanoseconds, Protocol, SocketFlow, SocketFlowKey, SocketPeer};

use super::{Peer, Socket, SocketVerdict, choose, peer_name};
use crate::balance::Chosen;
use crate::tables::Tables;
use crate::track;

/// Decides on `sendto` and `sendmsg` with a destination.
///
/// A socket stays with its backend as long as it keeps sending, as a UDP flow does (semantics 8.04).
#[inline(always)]
pub fn send<S: Socket, T: Tables>(socket: &S, tables: &T, asked: Peer) -> SocketVerdict {
    let now = tables.now();
    let key = sending(socket.cookie(), &asked);
    let role = choose::role(socket, tables, &asked.address);
    if !role.is_empty()
        && let Some(flow) = look_up(tables, &key)
        && continues(tables, &flow, now)
    {
        let backend = Peer {
            address: flow.address,
            port: flow.port,
        };
        let known = names(tables, socket.cookie(), &backend, &asked);
        let fresh = now.since(flow.seen) < tables.settings().touch_after;
        if !(known && fresh) {
            record(socket, tables, &asked, &SocketFlow { seen: now, ..flow });
        }
        tables.count(Door::Socket, Counter::Established);
        return SocketVerdict::Translate(backend);
    }
    let mut chosen = Chosen::zeroed();
    if let Err(verdict) = choose::choose(socket, tables, role, (&asked, Protocol::UDP), &mut chosen) {
        if verdict == SocketVerdict::Pass && has_sent(socket) {
            // From here on this peer answers by its own name.
            tables.remove_socket_flow(&receiving(socket.cookie(), &asked));
        }
        return verdict;
    }
    let flow = SocketFlow {
        seen: now,
        address: chosen.address,
        port: chosen.port,
        check: key.check(),
        service: chosen.service,
        backend: chosen.index,
        generation: chosen.generation,
    };
    record(socket, tables, &asked, &flow);
    tables.count(Door::Socket, Counter::New);
    SocketVerdict::Translate(Peer {
        address: chosen.address,
        port: chosen.port,
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

/// Writes down who was asked and who answers.
#[inline(always)]
fn record<S: Socket, T: Tables>(socket: &S, tables: &T, asked: &Peer, flow: &SocketFlow) {
    write_both(tables, socket.cookie(), asked, flow);
    if !remember_to_have_sent(socket) {
        // The datagram goes out all the same; only the answer will come under the backend's name.
        tables.count(Door::Socket, Counter::MapRetry);
    }
}

/// Writes the entries of both directions. A function of its own in the kernel, for the sake of its stack.
#[inline(never)]
fn write_both<T: Tables>(tables: &T, cookie: u64, asked: &Peer, flow: &SocketFlow) {
    let backend = Peer {
        address: flow.address,
        port: flow.port,
    };
    // One key after the other: they share their place on the stack.
    tables.insert_socket_flow(&sending(cookie, asked), flow);
    let receive = receiving(cookie, &backend);
    let reply = SocketFlow {
        address: asked.address,
        port: asked.port,
        check: receive.check(),
        ..*flow
    };
    tables.insert_socket_flow(&receive, &reply);
}

/// False if there is no memory for it. As above.
#[inline(never)]
fn remember_to_have_sent<S: Socket>(socket: &S) -> bool {
    let before = socket.peer().unwrap_or(SocketPeer::zeroed());
    before.sends != 0 || socket.remember(&SocketPeer { sends: 1, ..before })
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
