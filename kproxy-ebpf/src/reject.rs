//! ICMP errors, back to who sent the packet (RFC 792, RFC 4443 section 3).

use kproxy_common::{Address, Family, Protocol};

use crate::checksum::Sum;
use crate::packet::Packet;
use crate::tables::Tables;
use crate::verdict::Refusal;
use crate::wire::{self, Network, extensions};

/// Length of an ICMP or ICMPv6 header for this message.
const ICMP: usize = 8;
/// Hop limit and TTL of what we send.
const HOPS: u8 = 64;
/// The longest quote: an IPv6 header with all extension headers that are walked, a fragment header, and a TCP header, in
/// words.
const QUOTE_WORDS: usize = (40 + extensions::LONGEST + 8 + 20) / 4;

/// Type and code of a message, and what follows its checksum.
#[derive(Clone, Copy, Debug)]
struct Message {
    kind: u32,
    rest: u32,
}

impl Message {
    /// The message that says this in a family. The size that fits is told by destination unreachable in IPv4 (RFC 1191
    /// section 4), and by a message of its own in IPv6.
    #[inline(always)]
    fn new(family: Family, refusal: Refusal, mtu: u32) -> Self {
        let (kind, rest) = match (family, refusal) {
            (Family::V4, Refusal::PortUnreachable) => ([3, 3, 0, 0], 0),
            (Family::V4, Refusal::TooBig) => ([3, 4, 0, 0], mtu.min(0xffff)),
            (Family::V4, Refusal::TimeExceeded) => ([11, 0, 0, 0], 0),
            (Family::V6, Refusal::PortUnreachable) => ([1, 4, 0, 0], 0),
            (Family::V6, Refusal::TooBig) => ([2, 0, 0, 0], mtu),
            (Family::V6, Refusal::TimeExceeded) => ([3, 0, 0, 0], 0),
        };
        Self {
            kind: u32::from_ne_bytes(kind),
            rest: rest.to_be(),
        }
    }
}

/// Who says it: the service that nobody is behind, or the node as a router on the way.
#[inline(always)]
fn speaker<T: Tables>(tables: &T, seen: &Network, refusal: Refusal) -> Address {
    match refusal {
        Refusal::PortUnreachable => seen.destination,
        Refusal::TooBig | Refusal::TimeExceeded => {
            tables.node_address(seen.family).unwrap_or(seen.destination)
        }
    }
}

/// Turns the packet into the message that refuses it, addressed to its sender.
///
/// It quotes the network header and as much of the transport header as the sender needs to find its socket: the
/// whole of it without options for TCP, which also keeps the fields that a device would still complete. Of SCTP it is the
/// header and the start of the first chunk: Linux knows the socket of an INIT by the tag in there (`sctp_err_lookup`).
/// `None` for a packet that is shorter, and for one whose source is not one host.
#[inline(never)]
pub fn refuse<P: Packet, T: Tables>(packet: &mut P, tables: &T, refusal: Refusal) -> Option<()> {
    let network = wire::parse(packet)?;
    // Nobody to be told anything (RFC 1122 section 3.2.2).
    if !network.source.is_unicast() {
        return None;
    }
    let transport = match network.protocol {
        Protocol::TCP => 20,
        // No INIT travels in one with others.
        Protocol::SCTP if packet.segment_size() == 0 => 20,
        _ => 8,
    };
    packet.load::<u8>(network.transport::<P>() + transport - 1)?;
    let quote = usize::from(network.length) + transport;
    let header = match network.family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let room = header + ICMP;
    let message = Message::new(network.family, refusal, packet.way().mtu);
    let addresses = (speaker(tables, &network, refusal), network.source);
    packet.turn_around()?;
    packet.reshape(P::NETWORK + quote, room)?;
    match network.family {
        Family::V4 => {
            store_v4(packet, addresses, (room + quote) as u16)?;
            store_icmp(packet, P::NETWORK + header, quote, message, Sum::ZERO)
        }
        Family::V6 => {
            let length = (ICMP + quote) as u16;
            store_v6(packet, addresses, length)?;
            // The pseudo header (RFC 8200 section 8.1).
            let pseudo = Sum::ZERO
                .add_all(addresses.0.words())
                .add_all(addresses.1.words())
                .add(u32::from(length.to_be()))
                .add(u32::from(u16::from(Protocol::ICMPV6.number()).to_be()));
            store_icmp(packet, P::NETWORK + header, quote, message, pseudo)
        }
    }
}

#[inline(always)]
fn store_v4<P: Packet>(packet: &mut P, (source, destination): (Address, Address), length: u16) -> Option<()> {
    let [high, low] = length.to_be_bytes();
    let mut words = [
        u32::from_ne_bytes([0x45, 0, high, low]),
        // Never a fragment, so the identification is free (RFC 6864 section 4.1).
        u32::from_ne_bytes([0, 0, 0x40, 0]),
        u32::from_ne_bytes([HOPS, Protocol::ICMP.number(), 0, 0]),
        source.v4_word(),
        destination.v4_word(),
    ];
    let [a, b] = Sum::ZERO.add_all(words).checksum().to_ne_bytes();
    words[2] = u32::from_ne_bytes([HOPS, Protocol::ICMP.number(), a, b]);
    packet.store(P::NETWORK, words)
}

#[inline(always)]
fn store_v6<P: Packet>(packet: &mut P, (source, destination): (Address, Address), length: u16) -> Option<()> {
    let [high, low] = length.to_be_bytes();
    let start = [
        u32::from_ne_bytes([0x60, 0, 0, 0]),
        u32::from_ne_bytes([high, low, Protocol::ICMPV6.number(), HOPS]),
    ];
    packet.store(P::NETWORK, start)?;
    packet.store(P::NETWORK + 8, [source.words(), destination.words()])
}

/// Writes the ICMP header in front of the quote, which starts right behind it.
#[inline(always)]
fn store_icmp<P: Packet>(
    packet: &mut P,
    offset: usize,
    quote: usize,
    message: Message,
    pseudo: Sum,
) -> Option<()> {
    let mut sum = pseudo.add(message.kind).add(message.rest);
    for word in 0..QUOTE_WORDS {
        if word * 4 >= quote {
            break;
        }
        sum = sum.add(packet.load(offset + ICMP + word * 4)?);
    }
    let [k0, k1, _, _] = message.kind.to_ne_bytes();
    let [a, b] = sum.checksum().to_ne_bytes();
    packet.store(offset, [u32::from_ne_bytes([k0, k1, a, b]), message.rest])
}
