//! Translated connections.
//!
//! A flow has two entries, one for each direction, each keyed by the tuple as that direction's packets show it. The
//! entry holds the finished rewrite, so an established packet costs one lookup.

use bitflags::bitflags;
use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Port, Protocol};
use crate::backend::{BackendIndex, Generation};
use crate::check::check;
use crate::frontend::ServiceId;
use crate::settings::Nanoseconds;

/// A packet's 5-tuple as seen on the wire: the key of `FLOWS` and `FLOWS_NEW`. Ordered as [`Flow`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Tuple {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// Destination port.
    pub destination_port: Port,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// Source port.
    pub source_port: Port,
    /// Always 0.
    pub padding: u16,
}

const _: () = assert!(size_of::<Tuple>() == 40);

impl Tuple {
    /// The fingerprint that a value carries of this key.
    #[must_use]
    #[inline(always)]
    pub const fn check(&self) -> u32 {
        let ([a, b], [c, d]) = (self.source.halves(), self.destination.halves());
        let ports = (self.source_port.wire() as u64) << 32 | (self.destination_port.wire() as u64) << 16;
        check([a, b, c, d, ports | self.protocol.number() as u64])
    }

    /// The tuple of an answer to this one.
    #[must_use]
    #[inline(always)]
    pub const fn reversed(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            source_port: self.destination_port,
            destination_port: self.source_port,
            protocol: self.protocol,
            padding: 0,
        }
    }
}

bitflags! {
    /// Where an entry's rewrite is made. The reply entry of a flow must not fire at the backend's own door.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
    #[repr(transparent)]
    pub struct Applies: u16 {
        /// When the packet enters by a door.
        const INGRESS = 1 << 0;
        /// When it leaves by one.
        const EGRESS = 1 << 1;
        /// After the rewrite the packet is sent out around the stack: at a pod's door by the device it came from
        /// (hairpin), at an uplink by the one that the routes say.
        const REDIRECT = 1 << 2;
        /// At uplinks; without it, at pods' doors. No flow goes by both.
        const UPLINK = 1 << 3;
    }
}

bitflags! {
    /// Life cycle of one direction of a flow.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
    #[repr(transparent)]
    pub struct FlowState: u16 {
        /// This direction has sent a TCP FIN.
        const FIN = 1 << 0;
        /// Either direction has sent a TCP RST, or both a FIN: a new SYN starts a new flow.
        const CLOSED = 1 << 1;
        /// This entry translates answers of the backend, not requests of the client.
        const REPLY = 1 << 2;
    }
}

/// One direction of a flow: the value of `FLOWS` and `FLOWS_NEW`.
///
/// The fields are ordered so that what is copied together starts at a multiple of eight: the compiler copies
/// neighbours at once, and the verifier refuses misaligned access to the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Flow {
    /// When a packet of this direction was last seen, at a resolution of one second.
    pub seen: Nanoseconds,
    /// Source address after the rewrite.
    pub source: Address,
    /// Destination address after the rewrite.
    pub destination: Address,
    /// The backend's record when the flow began.
    pub backend: BackendIndex,
    /// That record's generation when the flow began.
    pub generation: Generation,
    /// The service port.
    pub service: ServiceId,
    /// Source port after the rewrite.
    pub source_port: Port,
    /// Destination port after the rewrite.
    pub destination_port: Port,
    /// Where the rewrite is made.
    pub applies: Applies,
    /// Life cycle.
    pub state: FlowState,
    /// [`Tuple::check`] of the key.
    pub check: u32,
}

const _: () = assert!(size_of::<Flow>() == 64);

impl Flow {
    /// The tuple that packets have after the rewrite.
    #[must_use]
    #[inline(always)]
    pub const fn rewritten(&self, protocol: Protocol) -> Tuple {
        Tuple {
            source: self.source,
            destination: self.destination,
            source_port: self.source_port,
            destination_port: self.destination_port,
            protocol,
            padding: 0,
        }
    }

    /// The key of the entry for the other direction.
    #[must_use]
    #[inline(always)]
    pub const fn twin(&self, protocol: Protocol) -> Tuple {
        self.rewritten(protocol).reversed()
    }
}
