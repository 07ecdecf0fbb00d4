//! Network headers: the only module that knows IPv4 (RFC 791) from IPv6 (RFC 8200).

use kproxy_common::{Address, Family, Protocol, Tuple};
use network_types::ip::{IpProto, Ipv4Hdr, Ipv6Hdr};

use crate::checksum::Difference;
use crate::packet::Packet;

const ETHERTYPE_IPV4: u16 = 0x0800_u16.to_be();
const ETHERTYPE_IPV6: u16 = 0x86dd_u16.to_be();

// Offsets in network headers (RFC 791 section 3.1, RFC 8200 section 3).
const V4_TOTAL_LENGTH: usize = 2;
const V4_TTL_AND_PROTOCOL: usize = 8;
const V4_CHECKSUM: usize = 10;
const V4_ADDRESSES: usize = 12;
const V6_PAYLOAD_LENGTH: usize = 4;
const V6_HOP_LIMIT: usize = 7;
const V6_ADDRESSES: usize = 8;

/// "More fragments" and the fragment offset, in the second word of an IPv4 header.
const V4_FRAGMENT: u32 = 0x0000_3fff_u32.to_be();
const V6_FRAGMENT_HEADER: u8 = 44;

const AUTHENTICATION_HEADER: Protocol = Protocol::new(IpProto::Ah as u8);
const UNANSWERABLE_V6: [Protocol; 9] = [
    Protocol::ICMPV6,
    AUTHENTICATION_HEADER,
    Protocol::new(IpProto::HopOpt as u8),
    Protocol::new(IpProto::Ipv6Route as u8),
    Protocol::new(IpProto::Ipv6Frag as u8),
    Protocol::new(IpProto::Ipv6Opts as u8),
    Protocol::new(IpProto::MobilityHeader as u8),
    Protocol::new(IpProto::Hip as u8),
    Protocol::new(IpProto::Shim6 as u8),
];

/// What the data plane reads from a network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The family.
    pub family: Family,
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// The protocol that follows. For IPv6 the first next-header value: extension headers are not walked.
    pub protocol: Protocol,
    /// Length of the header in bytes, with IPv4 options.
    pub length: usize,
    /// The packet is a fragment.
    pub fragment: bool,
}

impl Network {
    /// Where the transport header starts in such a packet.
    #[must_use]
    #[inline(always)]
    pub const fn transport<P: Packet>(&self) -> usize {
        P::NETWORK + self.length
    }

    /// Whether an ICMP error may answer the packet. None answers ICMP, and none what may hide it: IPv6 extension headers
    /// (RFC 8200 section 4), which are not walked, and in both families an authentication header.
    #[must_use]
    #[inline(always)]
    pub fn is_answerable(&self) -> bool {
        match self.family {
            Family::V4 => ![Protocol::ICMP, AUTHENTICATION_HEADER].contains(&self.protocol),
            Family::V6 => !UNANSWERABLE_V6.contains(&self.protocol),
        }
    }
}

/// Reads the network header. `None` for whatever is not IP or not whole.
#[inline(always)]
pub fn parse<P: Packet>(packet: &P) -> Option<Network> {
    match packet.ethertype()? {
        ETHERTYPE_IPV4 => {
            let [start, fragment, third, source, destination]: [u32; Ipv4Hdr::LEN / 4] =
                packet.load(P::NETWORK)?;
            let [version_and_length, ..] = start.to_ne_bytes();
            let length = usize::from(version_and_length & 0x0f) * 4;
            if version_and_length >> 4 != 4 || length < Ipv4Hdr::LEN {
                return None;
            }
            let [_ttl, protocol, ..] = third.to_ne_bytes();
            Some(Network {
                family: Family::V4,
                source: Address::from_v4_word(source),
                destination: Address::from_v4_word(destination),
                protocol: Protocol::new(protocol),
                length,
                fragment: fragment & (V4_FRAGMENT) != 0,
            })
        }
        ETHERTYPE_IPV6 => {
            let words: [u32; Ipv6Hdr::LEN / 4] = packet.load(P::NETWORK)?;
            let [start, second, s0, s1, s2, s3, d0, d1, d2, d3] = words;
            let [version, ..] = start.to_ne_bytes();
            if version >> 4 != 6 {
                return None;
            }
            let [_, _, next_header, _hop_limit] = second.to_ne_bytes();
            Some(Network {
                family: Family::V6,
                source: Address::from_words([s0, s1, s2, s3]),
                destination: Address::from_words([d0, d1, d2, d3]),
                protocol: Protocol::new(next_header),
                length: Ipv6Hdr::LEN,
                fragment: next_header == V6_FRAGMENT_HEADER,
            })
        }
        _ => None,
    }
}

/// How many bytes follow the network header, by the header's own words: a short frame has padding behind them.
#[inline(always)]
pub fn payload_length<P: Packet>(packet: &P, family: Family, transport: usize) -> Option<u16> {
    match family {
        Family::V4 => {
            let total = u16::from_be(packet.load(P::NETWORK + V4_TOTAL_LENGTH)?);
            Some(total.wrapping_sub((transport - P::NETWORK) as u16))
        }
        Family::V6 => Some(u16::from_be(packet.load(P::NETWORK + V6_PAYLOAD_LENGTH)?)),
    }
}

/// How many more routers the packet may pass: TTL or hop limit.
#[inline(always)]
pub fn hops<P: Packet>(packet: &P, family: Family) -> Option<u8> {
    match family {
        Family::V4 => packet.load(P::NETWORK + V4_TTL_AND_PROTOCOL),
        Family::V6 => packet.load(P::NETWORK + V6_HOP_LIMIT),
    }
}

/// Counts this node as a router on the packet's way, which must be allowed one more.
#[inline(always)]
pub fn count_hop<P: Packet>(packet: &mut P, family: Family) -> Option<()> {
    match family {
        Family::V4 => {
            let [ttl, protocol]: [u8; 2] = packet.load(P::NETWORK + V4_TTL_AND_PROTOCOL)?;
            let [old, new] =
                [ttl, ttl.wrapping_sub(1)].map(|ttl| u32::from(u16::from_ne_bytes([ttl, protocol])));
            packet.store(P::NETWORK + V4_TTL_AND_PROTOCOL, new as u16)?;
            let checksum: u16 = packet.load(P::NETWORK + V4_CHECKSUM)?;
            packet.store(
                P::NETWORK + V4_CHECKSUM,
                Difference::between([old], [new]).apply(checksum),
            )
        }
        Family::V6 => {
            let hops: u8 = packet.load(P::NETWORK + V6_HOP_LIMIT)?;
            packet.store(P::NETWORK + V6_HOP_LIMIT, hops.wrapping_sub(1))
        }
    }
}

/// Writes the addresses of a new tuple in place of the old one's and corrects the header's own checksum, where it has
/// one. Says what that did to the pseudo header of the transport protocol.
#[inline(always)]
pub fn rewrite<P: Packet>(packet: &mut P, family: Family, old: &Tuple, new: &Tuple) -> Option<Difference> {
    match family {
        Family::V4 => {
            let addresses = [new.source.v4_word(), new.destination.v4_word()];
            let difference =
                Difference::between([old.source.v4_word(), old.destination.v4_word()], addresses);
            packet.store(P::NETWORK + V4_ADDRESSES, addresses)?;
            let checksum: u16 = packet.load(P::NETWORK + V4_CHECKSUM)?;
            packet.store(P::NETWORK + V4_CHECKSUM, difference.apply(checksum))?;
            Some(difference)
        }
        Family::V6 => {
            packet.store(
                P::NETWORK + V6_ADDRESSES,
                [new.source.words(), new.destination.words()],
            )?;
            Some(
                Difference::between(old.source.words(), new.source.words()).and(Difference::between(
                    old.destination.words(),
                    new.destination.words(),
                )),
            )
        }
    }
}
