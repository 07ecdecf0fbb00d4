//! Single packets.

use std::net::SocketAddr;

use crate::acceptance::world::Pod;
use crate::host::frame::Tcp;

/// One packet of a conversation between a client and a service.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The client: [`CLIENT`](crate::acceptance::world::CLIENT), or somebody outside.
    pub client: Pod,
    /// The conversation: the client's port.
    pub port: u16,
    /// Whom the client speaks to.
    pub to: SocketAddr,
    /// Who sends it.
    pub side: Side,
    /// TCP, UDP or SCTP.
    pub kind: Kind,
    /// What is unusual about it.
    pub dress: Dress,
    /// What it carries.
    pub payload: Vec<u8>,
    /// Its time to live.
    pub hops: u8,
    /// What must come of it.
    pub then: Then,
}

/// Who sends a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// Who was reached by the client's last packet.
    Server,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TCP segment.
    Tcp(Tcp),
    /// A UDP datagram.
    Udp,
    /// An SCTP packet, by the TCP segment whose meaning its chunk has.
    Sctp(Tcp),
}

/// What is unusual about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dress {
    /// Nothing.
    Plain,
    /// It has IPv4 options, or IPv6 extension headers.
    Options,
    /// It has TCP options.
    TcpOptions,
    /// It has no UDP checksum.
    NoChecksum,
}

/// What must come of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// It reaches one of these pods, from the client's port, and from its address unless the node stands in for it.
    Reaches(Vec<&'static str>),
    /// The same, but from another port.
    ReachesByAnotherPort(Vec<&'static str>),
    /// It reaches the pod that the conversation's last packet reached.
    ReachesSame,
    /// It reaches the client, from the service's address.
    IsAnswer,
    /// It leaves the node to whom it is for, as if it came from there.
    LeavesFrom(SocketAddr),
    /// It goes on as it is.
    Untouched,
    /// Port unreachable comes back.
    Unreachable,
    /// The node says that it is too big for its way, where this fits.
    TooBig(u32),
    /// The node says that it has passed too many routers.
    Expired,
    /// It is gone.
    Dropped,
}

/// A packet from outside, byte by byte.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Payload of each packet on the wire, if this one is many (GSO), and else 0.
    pub segment_size: u32,
    /// What must come of it.
    pub then: Then,
}
