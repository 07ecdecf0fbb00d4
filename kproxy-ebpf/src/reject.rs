//! Port unreachable, back to the client (RFC 792, RFC 4443 section 3.1).

use kproxy_common::{Family, Protocol};

use crate::checksum::Sum;
use crate::packet::Packet;
use crate::wire::{self, NETWORK, Network};

/// Length of an ICMP or ICMPv6 header for this message.
const ICMP: usize = 8;
/// Destination unreachable, port unreachable: type 3, code 3.
const ICMP_PORT_UNREACHABLE: u32 = u32::from_ne_bytes([3, 3, 0, 0]);
/// Destination unreachable, port unreachable: type 1, code 4.
const ICMPV6_PORT_UNREACHABLE: u32 = u32::from_ne_bytes([1, 4, 0, 0]);
/// Hop limit and TTL of what we send.
const HOPS: u8 = 64;
/// The longest quote: an IPv4 header with all options and a TCP header, in words.
const QUOTE_WORDS: usize = (60 + 20) / 4;

/// Turns the packet into the message that rejects it, addressed to its sender.
///
/// It quotes the network header and as much of the transport header as the sender needs to find its socket: the
/// whole of it without options for TCP, which also keeps the fields that a device would still complete. Of SCTP it is the
/// header and the start of the first chunk: Linux knows the socket of an INIT by the tag in there (`sctp_err_lookup`).
/// `None` for a packet that is shorter.
#[inline(always)]
pub fn reject<P: Packet>(packet: &mut P) -> Option<()> {
    let network = wire::parse(packet)?;
    let transport = match network.protocol {
        Protocol::TCP | Protocol::SCTP => 20,
        _ => 8,
    };
    packet.load::<u8>(network.transport() + transport - 1)?;
    let quote = network.length + transport;
    let header = match network.family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let room = header + ICMP;
    packet.turn_around()?;
    packet.reshape(NETWORK + quote, room)?;
    match network.family {
        Family::V4 => {
            store_v4(packet, &network, (room + quote) as u16)?;
            store_icmp(packet, NETWORK + header, quote, ICMP_PORT_UNREACHABLE, Sum::ZERO)
        }
        Family::V6 => {
            let length = (ICMP + quote) as u16;
            store_v6(packet, &network, length)?;
            // The pseudo header (RFC 8200 section 8.1).
            let pseudo = Sum::ZERO
                .add_all(network.source.words())
                .add_all(network.destination.words())
                .add(u32::from(length.to_be()))
                .add(u32::from(u16::from(Protocol::ICMPV6.number()).to_be()));
            store_icmp(packet, NETWORK + header, quote, ICMPV6_PORT_UNREACHABLE, pseudo)
        }
    }
}

#[inline(always)]
fn store_v4<P: Packet>(packet: &mut P, seen: &Network, length: u16) -> Option<()> {
    let [high, low] = length.to_be_bytes();
    let mut words = [
        u32::from_ne_bytes([0x45, 0, high, low]),
        // Never a fragment, so the identification is free (RFC 6864 section 4.1).
        u32::from_ne_bytes([0, 0, 0x40, 0]),
        u32::from_ne_bytes([HOPS, Protocol::ICMP.number(), 0, 0]),
        seen.destination.v4_word(),
        seen.source.v4_word(),
    ];
    let [a, b] = Sum::ZERO.add_all(words).checksum().to_ne_bytes();
    words[2] = u32::from_ne_bytes([HOPS, Protocol::ICMP.number(), a, b]);
    packet.store(NETWORK, words)
}

#[inline(always)]
fn store_v6<P: Packet>(packet: &mut P, seen: &Network, length: u16) -> Option<()> {
    let [high, low] = length.to_be_bytes();
    let start = [
        u32::from_ne_bytes([0x60, 0, 0, 0]),
        u32::from_ne_bytes([high, low, Protocol::ICMPV6.number(), HOPS]),
    ];
    packet.store(NETWORK, start)?;
    packet.store(NETWORK + 8, [seen.destination.words(), seen.source.words()])
}

/// Writes the ICMP header in front of the quote, which starts right behind it.
#[inline(always)]
fn store_icmp<P: Packet>(packet: &mut P, offset: usize, quote: usize, kind: u32, pseudo: Sum) -> Option<()> {
    let mut sum = pseudo.add(kind);
    for word in 0..QUOTE_WORDS {
        if word * 4 >= quote {
            break;
        }
        sum = sum.add(packet.load(offset + ICMP + word * 4)?);
    }
    let [k0, k1, _, _] = kind.to_ne_bytes();
    let [a, b] = sum.checksum().to_ne_bytes();
    packet.store(offset, [u32::from_ne_bytes([k0, k1, a, b]), 0])
}
