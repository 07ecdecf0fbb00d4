//! Fragments of datagrams: what became of the first one, which alone has ports.

use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Port, Protocol};
use crate::check::check;
use crate::settings::Nanoseconds;

/// What the fragments of one datagram have in common, as seen on the wire (RFC 791 section 3.2, RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct FragmentKey {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// The identification in wire order; the 16 bits of IPv4 as a number of their own.
    pub identification: u32,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// Always 0.
    pub padding: u16,
}

const _: () = assert!(size_of::<FragmentKey>() == 40);

impl FragmentKey {
    /// The fingerprint that a value carries of this key.
    #[must_use]
    #[inline(always)]
    pub const fn check(&self) -> u32 {
        let ([a, b], [c, d]) = (self.source.halves(), self.destination.halves());
        let rest = (self.identification as u64) << 32 | self.protocol.number() as u64;
        check([a, b, c, d, rest])
    }
}

/// What became of a datagram's first fragment, which the later ones share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(transparent)]
pub struct Fate(u16);

impl Fate {
    /// It has not come; a later one waits for it.
    pub const AWAITED: Self = Self(0);
    /// It was translated: the ports lead to the flow.
    pub const TRANSLATED: Self = Self(1);
    /// It was left alone.
    pub const LEFT_ALONE: Self = Self(2);
    /// It was dropped or refused.
    pub const DROPPED: Self = Self(3);
}

/// The value of `FRAGMENTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Fragment {
    /// When the first fragment came, or when waiting for it began.
    pub seen: Nanoseconds,
    /// Source port, once the first fragment has come.
    pub source_port: Port,
    /// Destination port.
    pub destination_port: Port,
    /// What became of the first fragment.
    pub fate: Fate,
    /// Always 0.
    pub padding: u16,
    /// [`FragmentKey::check`] of the key.
    pub check: u32,
    /// Always 0.
    pub padding2: u32,
}

const _: () = assert!(size_of::<Fragment>() == 24);
