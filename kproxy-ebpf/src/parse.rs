//! Transport headers: ports, TCP flags, and the tuple that flows are keyed by.

use bytemuck::Zeroable as _;
use kproxy_common::{Family, FragmentKey, Port, Protocol, Tuple};

use crate::packet::Packet;
use crate::wire::{self, Network, Part};

/// Offset of the header's own length in a TCP header (RFC 9293 section 3.1).
const TCP_DATA_OFFSET: usize = 12;
/// Offset of the flags in a TCP header (RFC 9293 section 3.1).
const TCP_FLAGS: usize = 13;
/// Offset of the checksum in a TCP header (RFC 9293 section 3.1).
const TCP_CHECKSUM: usize = 16;
/// Offset of the checksum in a UDP header (RFC 768).
const UDP_CHECKSUM: usize = 6;
/// Offset of the checksum in an SCTP header (RFC 9260 section 3.1).
const SCTP_CHECKSUM: usize = 8;

/// Offset of the first chunk, which begins with its type, in an SCTP packet (RFC 9260 section 3.1).
const SCTP_CHUNK: usize = 12;

/// Why a packet has no tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTuple {
    /// A protocol that kproxy does not translate.
    OtherProtocol,
    /// A later fragment: only the first one has ports.
    Fragment,
    /// The transport header ends before its time.
    Truncated,
}

/// TCP flags that matter for a flow's life cycle. SCTP's chunks are read as the flags that mean the same; UDP has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct TcpFlags(u8);

impl TcpFlags {
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

    /// What the first chunk of an SCTP packet says (RFC 9260 section 3.2). INIT, INIT ACK and SHUTDOWN COMPLETE travel
    /// alone; in front of an ABORT or a SHUTDOWN there is nothing that matters.
    #[inline(always)]
    const fn of_chunk(kind: u8) -> Self {
        match kind {
            1 => Self(Self::SYN),
            2 => Self(Self::SYN | Self::ACK),
            6 => Self(Self::RST),
            // SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE.
            7 | 8 | 14 => Self(Self::FIN | Self::ACK),
            _ => Self(Self::ACK),
        }
    }

    /// Wants to open a connection: SYN without ACK.
    #[must_use]
    #[inline(always)]
    pub const fn opens(self) -> bool {
        self.0 & (Self::SYN | Self::ACK) == Self::SYN
    }

    /// Opens a connection, from either side.
    #[must_use]
    #[inline(always)]
    pub const fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }

    /// Ends this direction.
    #[must_use]
    #[inline(always)]
    pub const fn fin(self) -> bool {
        self.0 & Self::FIN != 0
    }

    /// Ends both directions at once.
    #[must_use]
    #[inline(always)]
    pub const fn rst(self) -> bool {
        self.0 & Self::RST != 0
    }
}

/// A packet of a protocol with ports: all that the data plane knows of it once its headers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Segment {
    /// The tuple as seen.
    pub tuple: Tuple,
    /// The family.
    pub family: Family,
    /// Where the transport header starts: a byte, since the verifier limits what is added to a pointer into a packet.
    offset: u8,
    /// Flags, all clear for UDP, and the chunk's meaning for SCTP.
    pub flags: TcpFlags,
    /// Which part of a datagram it is.
    part: Part,
    /// What the fragments of the datagram have in common.
    identification: u32,
}

impl Default for Segment {
    fn default() -> Self {
        Self {
            tuple: Tuple::zeroed(),
            family: Family::V4,
            offset: 0,
            flags: TcpFlags(0),
            part: Part::Whole,
            identification: 0,
        }
    }
}

impl Segment {
    /// A later fragment, whose ports are not known yet. Nothing begins or ends with it.
    #[must_use]
    #[inline(always)]
    pub const fn of_later_fragment(network: &Network) -> Self {
        Self::new(network, 0, [0, 0], TcpFlags(TcpFlags::ACK))
    }

    #[inline(always)]
    const fn new(
        network: &Network,
        offset: usize,
        [source_port, destination_port]: [u16; 2],
        flags: TcpFlags,
    ) -> Self {
        Self {
            tuple: Tuple {
                source: network.source,
                destination: network.destination,
                source_port: Port::from_wire(source_port),
                destination_port: Port::from_wire(destination_port),
                protocol: network.protocol,
                padding: 0,
            },
            family: network.family,
            offset: offset as u8,
            flags,
            part: network.part,
            identification: network.identification,
        }
    }

    /// Whether it is the first of several fragments.
    #[must_use]
    #[inline(always)]
    pub fn is_first_fragment(&self) -> bool {
        self.part == Part::First
    }

    /// Whether it is a fragment without a transport header.
    #[must_use]
    #[inline(always)]
    pub fn is_later_fragment(&self) -> bool {
        self.part == Part::Later
    }

    /// The datagram that a fragment belongs to.
    #[must_use]
    #[inline(always)]
    pub const fn datagram(&self) -> FragmentKey {
        FragmentKey {
            source: self.tuple.source,
            destination: self.tuple.destination,
            identification: self.identification,
            protocol: self.tuple.protocol,
            padding: 0,
        }
    }

    /// Where the transport header starts.
    #[must_use]
    #[inline(always)]
    pub const fn offset(&self) -> usize {
        self.offset as usize
    }

    /// Where the transport checksum stands.
    #[must_use]
    #[inline(always)]
    pub fn checksum(&self) -> usize {
        self.offset()
            + match self.tuple.protocol {
                Protocol::TCP => TCP_CHECKSUM,
                Protocol::SCTP => SCTP_CHECKSUM,
                _ => UDP_CHECKSUM,
            }
    }

    /// Whether it belongs to a connection, of TCP or SCTP, which begins and ends by itself.
    #[must_use]
    #[inline(always)]
    pub fn is_connection(&self) -> bool {
        self.tuple.protocol != Protocol::UDP
    }

    /// Whether it may be the first of its flow, as every datagram may.
    #[must_use]
    #[inline(always)]
    pub fn begins(&self) -> bool {
        !self.is_connection() || self.flags.opens()
    }

    /// Length of the transport header in bytes, with TCP's options.
    #[inline(always)]
    pub fn header_length<P: Packet>(&self, packet: &P) -> Option<u32> {
        if self.tuple.protocol != Protocol::TCP {
            return Some(8);
        }
        let data_offset: u8 = packet.load(self.offset() + TCP_DATA_OFFSET)?;
        Some(u32::from(data_offset >> 4) * 4)
    }

    /// Whether it is an SCTP packet.
    #[must_use]
    #[inline(always)]
    pub fn is_sctp(&self) -> bool {
        self.tuple.protocol == Protocol::SCTP
    }
}

/// Reads all that is needed of a plain packet of TCP or UDP ([`wire::plain`]). `None` for any other, which [`wire::read`] and
/// [`segment`] take longer for.
#[inline(always)]
pub fn plain<P: Packet>(packet: &P) -> Option<Segment> {
    let plain = wire::plain(packet)?;
    let transport = plain.transport::<P>();
    let flags = match plain.protocol {
        Protocol::TCP if plain.payload >= 20 => TcpFlags(packet.load(transport + TCP_FLAGS)?),
        Protocol::UDP if plain.payload >= 8 => TcpFlags(0),
        _ => return None,
    };
    let [source_port, destination_port]: [u16; 2] = bytemuck::cast(plain.ports);
    Some(Segment {
        tuple: Tuple {
            source: plain.source,
            destination: plain.destination,
            source_port: Port::from_wire(source_port),
            destination_port: Port::from_wire(destination_port),
            protocol: plain.protocol,
            padding: 0,
        },
        family: plain.family,
        offset: transport as u8,
        flags,
        part: Part::Whole,
        // Only of datagrams that are in fragments anybody wants to know.
        identification: 0,
    })
}

/// Reads a plain packet as [`plain`] does, to where it stays. False for any other packet.
///
/// A function of its own, so that the verifier knows nothing of the packet's family afterwards: where it did, Linux 6.1 loaded the
/// programs of devices without link headers and ran them with wrong IPv4 header checksums, the same ones that 6.12 and 6.18 run right.
#[inline(never)]
pub fn read_plain<P: Packet>(packet: &P, segment: &mut Segment) -> bool {
    match plain(packet) {
        Some(found) => {
            *segment = found;
            true
        }
        None => false,
    }
}

/// Reads the transport header.
#[inline(always)]
pub fn segment<P: Packet>(packet: &P, network: &Network) -> Result<Segment, NoTuple> {
    if network.part == Part::Later {
        return Err(match network.protocol {
            Protocol::TCP | Protocol::UDP | Protocol::SCTP => NoTuple::Fragment,
            _ => NoTuple::OtherProtocol,
        });
    }
    let least = match network.protocol {
        Protocol::TCP => 20,
        Protocol::SCTP => 16,
        Protocol::UDP => 8,
        _ => 0,
    };
    if network.payload < least {
        return Err(NoTuple::Truncated);
    }
    let offset = network.transport::<P>();
    let (ports, flags) = match network.protocol {
        Protocol::TCP => {
            let [ports, _sequence, _acknowledgment, rest, _checksum]: [u32; 5] =
                packet.load(offset).ok_or(NoTuple::Truncated)?;
            let [_data_offset, flags, ..] = rest.to_ne_bytes();
            (ports, TcpFlags(flags))
        }
        Protocol::UDP => {
            let [ports, _length_and_checksum]: [u32; 2] = packet.load(offset).ok_or(NoTuple::Truncated)?;
            (ports, TcpFlags(0))
        }
        Protocol::SCTP => {
            let [ports, _verification_tag, _checksum]: [u32; 3] =
                packet.load(offset).ok_or(NoTuple::Truncated)?;
            // Many packets in one have their chunks in fragments, which must stay as they are.
            let kind: u8 = packet.fetch(offset + SCTP_CHUNK).ok_or(NoTuple::Truncated)?;
            (ports, TcpFlags::of_chunk(kind))
        }
        _ => return Err(NoTuple::OtherProtocol),
    };
    Ok(Segment::new(network, offset, bytemuck::cast(ports), flags))
}
