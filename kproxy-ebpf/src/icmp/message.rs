//! What is read of an ICMP or ICMPv6 message (RFC 792, RFC 4443).

use bytemuck::Zeroable as _;
use kproxy_common::{Family, Port, Protocol, Tuple};

use crate::packet::Packet;
use crate::wire::{self, Network, Part, extensions, quoted};

/// Length of the header of an error or an echo message.
const HEADER: usize = 8;
/// The most that is read of a message: its header, and of the quote an IPv6 header with all extension headers that are
/// walked, a fragment header, and a TCP header without options.
const READ: usize = HEADER + 40 + extensions::LONGEST + 8 + 20;
// The checksum of a quoted TCP header is where a byte can say, in whatever it is wrapped, behind an Ethernet header.
const _: () = assert!(14 + 2 * (40 + extensions::LONGEST + 8) + HEADER + 16 <= u8::MAX as usize);
/// How much of a transport header every error quotes (RFC 792).
const QUOTED: usize = 8;

/// A message that a packet carries.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Message {
    /// Addresses and protocol of the packet; it has no ports.
    pub outer: Tuple,
    /// Of an error: the tuple of packets that go as it goes, against the packet that it quotes.
    pub key: Tuple,
    /// The family.
    pub family: Family,
    // Offsets are bytes, since the verifier limits what is added to a pointer into a packet.
    start: u8,
    quote: u8,
    transport: u8,
    checksum: u8,
}

impl Default for Message {
    fn default() -> Self {
        Self {
            outer: Tuple::zeroed(),
            key: Tuple::zeroed(),
            family: Family::V4,
            start: 0,
            quote: 0,
            transport: 0,
            checksum: 0,
        }
    }
}

impl Message {
    /// Where the message starts.
    #[inline(always)]
    pub(super) const fn start(&self) -> usize {
        self.start as usize
    }

    /// Where the quoted packet starts.
    #[inline(always)]
    pub(super) const fn quote(&self) -> usize {
        self.quote as usize
    }

    /// Where its transport header starts.
    #[inline(always)]
    pub(super) const fn transport(&self) -> usize {
        self.transport as usize
    }

    /// Where its transport checksum stands, if it is quoted and can be corrected.
    #[inline(always)]
    pub(super) const fn checksum(&self) -> Option<usize> {
        match self.checksum {
            0 => None,
            offset => Some(offset as usize),
        }
    }
}

/// What a message is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An error that quotes a packet with ports.
    Error,
    /// An error that quotes something else, or too little.
    Unreadable,
    /// An echo request.
    Echo,
    /// Anything else.
    Other,
}

impl Kind {
    /// By the type of the message. Redirects (RFC 792) and source quench (RFC 6633) are for neighbours, or for nobody.
    #[inline(always)]
    const fn new(family: Family, kind: u8) -> Self {
        match (family, kind) {
            (Family::V4, 3 | 11 | 12) | (Family::V6, 1..=4) => Self::Error,
            (Family::V4, 8) | (Family::V6, 128) => Self::Echo,
            (Family::V4 | Family::V6, _) => Self::Other,
        }
    }
}

/// Reads the message that a packet carries, as far as its kind is of interest.
#[inline(never)]
pub(super) fn read<P: Packet>(packet: &mut P, message: &mut Message) -> Kind {
    let Some(network) = wire::parse(packet) else {
        return Kind::Other;
    };
    let start = network.transport::<P>();
    // Bytes behind the end of the packet are padding, and no message.
    if !network.is_icmp() || network.part != Part::Whole || usize::from(network.payload) < HEADER {
        return Kind::Other;
    }
    let Some([kind, ..]) = packet.load::<[u8; HEADER]>(start) else {
        return Kind::Other;
    };
    let kind = Kind::new(network.family, kind);
    message.family = network.family;
    message.start = start as u8;
    message.outer = Tuple {
        source: network.source,
        destination: network.destination,
        protocol: network.protocol,
        ..Tuple::zeroed()
    };
    match kind {
        Kind::Error => match read_quote(packet, &network, message) {
            Some(()) => Kind::Error,
            None => Kind::Unreadable,
        },
        // What options would have to become in the answer is not worth knowing.
        Kind::Echo if network.has_options() => Kind::Other,
        Kind::Echo | Kind::Unreadable | Kind::Other => kind,
    }
}

/// Reads the quoted packet, which must have been sent by whom its error is sent to.
#[inline(always)]
fn read_quote<P: Packet>(packet: &mut P, network: &Network, message: &mut Message) -> Option<()> {
    let start = network.transport::<P>();
    packet.reach(start + READ);
    let quote = start + HEADER;
    let quoted = quoted::read(packet, network.family, quote)?;
    let transport = quote + quoted.length;
    // Bytes behind the end of the packet are padding: they are in no checksum.
    let end = start + usize::from(wire::payload_length(packet, network.family, start)?);
    if quoted.source != network.destination || transport + QUOTED > end {
        return None;
    }
    let checksum = match quoted.protocol {
        Protocol::TCP => transport + 16,
        Protocol::UDP => transport + 6,
        // A CRC over bytes that are not there.
        Protocol::SCTP => 0,
        _ => return None,
    };
    let [source_port, destination_port, ..]: [u16; QUOTED / 2] = packet.load(transport)?;
    message.key = Tuple {
        source: quoted.destination,
        destination: quoted.source,
        source_port: Port::from_wire(destination_port),
        destination_port: Port::from_wire(source_port),
        protocol: quoted.protocol,
        padding: 0,
    };
    message.quote = quote as u8;
    message.transport = transport as u8;
    message.checksum = if checksum + 2 <= end { checksum as u8 } else { 0 };
    Some(())
}
