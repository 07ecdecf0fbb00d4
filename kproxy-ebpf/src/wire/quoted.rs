//! Network headers that an ICMP error quotes.

use kproxy_common::{Address, Family, Protocol, Tuple};
use network_types::ip::{Ipv4Hdr, Ipv6Hdr};

use super::{V4_ADDRESSES, V4_CHECKSUM, V6_ADDRESSES, V6_FRAGMENT_HEADER, extensions};
use crate::checksum::Difference;
use crate::packet::Packet;

/// The fragment offset, in the second word of an IPv4 header (RFC 791 section 3.1) ...
const V4_FRAGMENT_OFFSET: u32 = 0x0000_1fff_u32.to_be();
/// ... and in the first word of an IPv6 fragment header, whose length is two words (RFC 8200 section 4.5).
const V6_FRAGMENT_OFFSET: u32 = 0x0000_fff8_u32.to_be();
const V6_FRAGMENT_LENGTH: usize = 8;

/// What is read of a quoted network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted {
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// The protocol that follows.
    pub protocol: Protocol,
    /// Length of the header in bytes, with IPv4 options or IPv6 extension headers.
    pub length: usize,
}

/// Reads the header that is quoted at an offset. `None` for what is no header of this family, or of a fragment other than
/// the first, which has no ports.
#[inline(always)]
pub fn read<P: Packet>(packet: &P, family: Family, at: usize) -> Option<Quoted> {
    match family {
        Family::V4 => {
            let [start, fragment, third, source, destination]: [u32; Ipv4Hdr::LEN / 4] = packet.load(at)?;
            let [version_and_length, ..] = start.to_ne_bytes();
            let length = usize::from(version_and_length & 0x0f) * 4;
            if version_and_length >> 4 != 4 || length < Ipv4Hdr::LEN || fragment & V4_FRAGMENT_OFFSET != 0 {
                return None;
            }
            let [_ttl, protocol, ..] = third.to_ne_bytes();
            Some(Quoted {
                source: Address::from_v4_word(source),
                destination: Address::from_v4_word(destination),
                protocol: Protocol::new(protocol),
                length,
            })
        }
        Family::V6 => {
            let words: [u32; Ipv6Hdr::LEN / 4] = packet.load(at)?;
            let [start, second, s0, s1, s2, s3, d0, d1, d2, d3] = words;
            let [version, ..] = start.to_ne_bytes();
            if version >> 4 != 6 {
                return None;
            }
            let [_, _, next_header, _hop_limit] = second.to_ne_bytes();
            let walked = extensions::walk(packet, at + Ipv6Hdr::LEN, next_header);
            let length = Ipv6Hdr::LEN + walked.length();
            let (protocol, length) = if walked.next_header() == V6_FRAGMENT_HEADER {
                let fragment: u32 = packet.load(at + length)?;
                if fragment & V6_FRAGMENT_OFFSET != 0 {
                    return None;
                }
                let [next_header, ..] = fragment.to_ne_bytes();
                (next_header, length + V6_FRAGMENT_LENGTH)
            } else {
                (walked.next_header(), length)
            };
            Some(Quoted {
                source: Address::from_words([s0, s1, s2, s3]),
                destination: Address::from_words([d0, d1, d2, d3]),
                protocol: Protocol::new(protocol),
                length,
            })
        }
    }
}

/// Writes the addresses of a new tuple in place of the old one's into the header that is quoted at an offset, and corrects
/// the header's own checksum, where it has one. Says what that did to the sum of the header, and what it does to a pseudo
/// header.
#[inline(always)]
pub fn rewrite<P: Packet>(
    packet: &mut P,
    family: Family,
    at: usize,
    (old, new): (&Tuple, &Tuple),
) -> Option<(Difference, Difference)> {
    match family {
        Family::V4 => {
            let addresses = [new.source.v4_word(), new.destination.v4_word()];
            let difference =
                Difference::between([old.source.v4_word(), old.destination.v4_word()], addresses);
            packet.store(at + V4_ADDRESSES, addresses)?;
            let checksum: u16 = packet.load(at + V4_CHECKSUM)?;
            packet.store(at + V4_CHECKSUM, difference.apply(checksum))?;
            // The checksum makes up for the addresses, also where it was wrong: a router may quote a TTL that it has
            // counted down without correcting it.
            Some((Difference::NONE, difference))
        }
        Family::V6 => {
            packet.store(at + V6_ADDRESSES, [new.source.words(), new.destination.words()])?;
            let difference = Difference::between(old.source.words(), new.source.words()).and(
                Difference::between(old.destination.words(), new.destination.words()),
            );
            Some((difference, difference))
        }
    }
}
