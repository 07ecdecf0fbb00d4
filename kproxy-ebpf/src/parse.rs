//! Transport headers: ports, TCP flags, and the tuple that flows are keyed by.

use kproxy_common::{Family, Port, Protocol, Tuple};

use crate::packet::Packet;
use crate::wire::Network;

/// Offset of the checksum in a TCP header (RFC 9293 section 3.1).
const TCP_CHECKSUM: usize = 16;
/// Offset of the checksum in a UDP header (RFC 768).
const UDP_CHECKSUM: usize = 6;

/// Why a packet has no tuple.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoTuple {
    /// A protocol that kproxy does not translate.
    OtherProtocol,
    /// A fragment: only the first one has ports.
    Fragment,
    /// The transport header ends before its time.
    Truncated,
}

/// TCP flags that matter for a flow's life cycle. UDP has none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags(u8);

impl TcpFlags {
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

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
pub struct Segment {
    /// The tuple as seen.
    pub tuple: Tuple,
    /// The family.
    pub family: Family,
    /// Where the transport header starts.
    pub offset: usize,
    /// Flags, all clear for UDP.
    pub flags: TcpFlags,
}

impl Segment {
    /// Where the transport checksum stands.
    #[must_use]
    #[inline(always)]
    pub fn checksum(&self) -> usize {
        self.offset + if self.is_tcp() { TCP_CHECKSUM } else { UDP_CHECKSUM }
    }

    /// Whether it belongs to a TCP connection.
    #[must_use]
    #[inline(always)]
    pub fn is_tcp(&self) -> bool {
        self.tuple.protocol == Protocol::TCP
    }
}

/// Reads the transport header.
#[inline(always)]
pub fn segment<P: Packet>(packet: &P, network: &Network) -> Result<Segment, NoTuple> {
    if network.fragment {
        return Err(NoTuple::Fragment);
    }
    let offset = network.transport();
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
        _ => return Err(NoTuple::OtherProtocol),
    };
    let [source_port, destination_port]: [u16; 2] = bytemuck::cast(ports);
    Ok(Segment {
        tuple: Tuple {
            source: network.source,
            destination: network.destination,
            source_port: Port::from_wire(source_port),
            destination_port: Port::from_wire(destination_port),
            protocol: network.protocol,
            padding: 0,
        },
        family: network.family,
        offset,
        flags,
    })
}
