//! The socket door: a process asks for a service address and is given a backend's.
//!
//! * this module: `connect` and `getpeername`
//! * `choose`: what a destination is to a process, and who the process is to Kubernetes
//! * `datagram`: `sendto` and `recvfrom`, for sockets that never connect

mod choose;
mod datagram;

use bytemuck::Zeroable as _;
use kproxy_common::{Address, Counter, Door, Port, Protocol, SocketPeer};

use crate::balance::Chosen;
use crate::tables::Tables;
use crate::track;

pub use datagram::{receive, send};

/// A socket at one of its hooks.
pub trait Socket {
    /// The kernel's cookie of the socket.
    fn cookie(&self) -> u64;
    /// The kernel's cookie of the network namespace that the socket is in.
    fn network_namespace(&self) -> u64;
    /// The address that the socket, or the message it is about to send, comes from, if that is settled already.
    fn bound_address(&self) -> Option<Address>;
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
    /// Fails with this error.
    Deny(Errno),
}

/// How a call fails (`include/uapi/asm-generic/errno.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// EPERM, as for a datagram that netfilter drops on its way out.
    NotPermitted,
    /// ETIMEDOUT, which a connection comes to when nobody answers.
    TimedOut,
    /// ECONNREFUSED, which port unreachable becomes.
    ConnectionRefused,
}

impl Errno {
    /// The kernel's number.
    #[must_use]
    #[inline(always)]
    pub const fn number(self) -> i32 {
        match self {
            Self::NotPermitted => 1,
            Self::TimedOut => 110,
            Self::ConnectionRefused => 111,
        }
    }
}

/// Decides on `connect`.
#[inline(always)]
pub fn connect<S: Socket, T: Tables>(
    socket: &S,
    tables: &T,
    asked: Peer,
    protocol: Protocol,
) -> SocketVerdict {
    let mut chosen = Chosen::zeroed();
    let role = choose::role(socket, tables, &asked.address);
    let choice = choose::choose(socket, tables, role, (&asked, protocol), &mut chosen);
    let before = socket.peer();
    if let Err(verdict) = choice {
        if let Some(stale) = before {
            // The same backend may be the next peer, and then by its own name.
            socket.remember(&SocketPeer {
                backend_port: Port::new(0),
                ..stale
            });
        }
        return verdict;
    }
    let peer = SocketPeer {
        service_address: asked.address,
        backend_address: chosen.address,
        service_port: asked.port,
        backend_port: chosen.port,
        sends: before.map_or(0, |before| before.sends),
        service: chosen.service,
        backend: chosen.index,
        generation: chosen.generation,
        padding: 0,
    };
    if !socket.remember(&peer) {
        // The connection works all the same; only `getpeername` will name the backend.
        tables.count(Door::Socket, Counter::MapRetry);
    }
    tables.count(Door::Socket, Counter::New);
    SocketVerdict::Translate(Peer {
        address: chosen.address,
        port: chosen.port,
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
