//! Network headers: the only module that knows IPv4 (RFC 791) from IPv6 (RFC 8200).

pub mod extensions;
pub mod quoted;

use kproxy_common::{Address, Family, Protocol, Tuple};
use network_types::ip::{IpProto, Ipv4Hdr, Ipv6Hdr};

use crate::checksum::Difference;
use crate::packet::Packet;
use extensions::Walked;

const ETHERTYPE_IPV4: u16 = 0x0800_u16.to_be();
const ETHERTYPE_IPV6: u16 = 0x86dd_u16.to_be();

// Offsets in network headers (RFC 791 section 3.1, RFC 8200 section 3).
const V4_TOTAL_LENGTH: usize = 2;
const V4_TTL_AND_PROTOCOL: usize = 8;
const V4_CHECKSUM: usize = 10;
const V4_ADDRESSES: usize = 12;
const V4_DESTINATION: usize = 16;
const V6_PAYLOAD_LENGTH: usize = 4;
const V6_HOP_LIMIT: usize = 7;
const V6_ADDRESSES: usize = 8;
const V6_DESTINATION: usize = 24;

/// Version and length of an IPv4 header that has nothing but its fields.
const V4_WITHOUT_OPTIONS: u8 = 0x45;

/// The third word of an IPv4-mapped address; the first two are 0 (RFC 4291 section 2.5.5.2).
const V4_MAPPED: u32 = 0xffff_u32.to_be();

/// "More fragments" and the fragment offset, in the second word of an IPv4 header.
const V4_FRAGMENT: u32 = 0x0000_3fff_u32.to_be();
/// Where a fragment of IPv4 starts, in the same word.
const V4_FRAGMENT_OFFSET: u32 = 0x0000_1fff_u32.to_be();
const V6_FRAGMENT_HEADER: u8 = 44;
/// Length of IPv6's fragment header (RFC 8200 section 4.5).
const V6_FRAGMENT_HEADER_LENGTH: usize = 8;
/// "More fragments" and the fragment offset, in the first word of that header.
const V6_FRAGMENT: u32 = 0x0000_fff9_u32.to_be();
/// The fragment offset.
const V6_FRAGMENT_OFFSET: u32 = 0x0000_fff8_u32.to_be();

/// No more of a transport header is read: TCP's without options.
const TRANSPORT: usize = 20;

const AUTHENTICATION_HEADER: Protocol = Protocol::new(IpProto::Ah as u8);
const UNANSWERABLE_V4: [Protocol; 3] = [Protocol::ICMP, Protocol::ICMPV6, AUTHENTICATION_HEADER];
const UNANSWERABLE_V6: [Protocol; 10] = [
    Protocol::ICMP,
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

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// All of it. So is an atomic fragment (RFC 6946).
    #[default]
    Whole,
    /// Its first fragment, which has the transport header.
    First,
    /// A fragment behind the first one.
    Later,
}

impl Part {
    /// By what a header says of fragments.
    #[inline(always)]
    const fn new(fragment: bool, offset: bool) -> Self {
        match (fragment, offset) {
            (false, _) => Self::Whole,
            (true, false) => Self::First,
            (true, true) => Self::Later,
        }
    }
}

/// What the data plane reads from a network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The family.
    pub family: Family,
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// The protocol that follows: for IPv6 the one behind the extension headers that are walked ([`extensions`]) and a
    /// fragment header.
    pub protocol: Protocol,
    /// Length of the header in bytes, with IPv4 options or IPv6's extension headers: a byte, since the verifier limits what
    /// is added to a pointer into a packet.
    pub length: u8,
    /// How many bytes follow the header, by its own words: a short frame has padding behind them. More than 65,535, of
    /// many packets in one (`BIG TCP`), count as so many.
    pub payload: u16,
    /// Which part of a datagram it is.
    pub part: Part,
    /// What its fragments have in common.
    pub identification: u32,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            family: Family::V4,
            source: Address::unspecified(Family::V4),
            destination: Address::unspecified(Family::V4),
            protocol: Protocol::new(0),
            length: 0,
            payload: 0,
            part: Part::Whole,
            identification: 0,
        }
    }
}

impl Network {
    /// Where the transport header starts in such a packet.
    #[must_use]
    #[inline(always)]
    pub const fn transport<P: Packet>(&self) -> usize {
        P::NETWORK + self.length as usize
    }

    /// Whether it carries ICMP, or ICMPv6 directly.
    #[must_use]
    #[inline(always)]
    pub fn is_icmp(&self) -> bool {
        self.protocol
            == match self.family {
                Family::V4 => Protocol::ICMP,
                Family::V6 => Protocol::ICMPV6,
            }
    }

    /// Whether there is more than the header that every packet has: IPv4's options, or IPv6's extension headers.
    #[must_use]
    #[inline(always)]
    pub fn has_options(&self) -> bool {
        let least = match self.family {
            Family::V4 => Ipv4Hdr::LEN,
            Family::V6 => Ipv6Hdr::LEN,
        };
        usize::from(self.length) > least
    }

    /// Whether an ICMP error may answer the packet. None answers ICMP of either family, and none what may hide it: IPv6
    /// extension headers (RFC 8200 section 4) that end the walk, and in both families an authentication header.
    #[must_use]
    #[inline(always)]
    pub fn is_answerable(&self) -> bool {
        // Nor a later fragment, which the sender could make nothing of (RFC 1122 section 3.2.2).
        if self.part == Part::Later {
            return false;
        }
        match self.family {
            Family::V4 => !UNANSWERABLE_V4.contains(&self.protocol),
            Family::V6 => !UNANSWERABLE_V6.contains(&self.protocol),
        }
    }
}

/// How many bytes follow a header that says so, or `None` if they are not there. The kernel leaves the field at 0 when
/// the number is too big for it.
#[inline(always)]
fn payload<P: Packet>(packet: &P, said: u32, header: usize) -> Option<u16> {
    if said == 0 && packet.segment_size() != 0 {
        return Some(u16::MAX);
    }
    packet.has(header as u32 + said).then_some(said as u16)
}

/// How much of a packet is read of headers without options: what must be readable from the start.
#[must_use]
#[inline(always)]
pub const fn headers(ethertype: u16) -> usize {
    match ethertype {
        ETHERTYPE_IPV6 => Ipv6Hdr::LEN + TRANSPORT,
        _ => Ipv4Hdr::LEN + TRANSPORT,
    }
}

/// Where a packet goes, and nothing else of it. `None` for whatever is not IP.
#[inline(always)]
pub fn destination<P: Packet>(packet: &P) -> Option<Address> {
    match packet.ethertype()? {
        ETHERTYPE_IPV4 => packet
            .load(P::NETWORK + V4_DESTINATION)
            .map(Address::from_v4_word),
        ETHERTYPE_IPV6 => packet.load(P::NETWORK + V6_DESTINATION).map(Address::from_words),
        _ => None,
    }
}

/// What a plain packet says in its first bytes: a whole one, without options or extension headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain {
    /// The family.
    pub family: Family,
    /// Source address.
    pub source: Address,
    /// Destination address.
    pub destination: Address,
    /// The protocol that follows.
    pub protocol: Protocol,
    /// How many bytes follow the header.
    pub payload: u16,
    /// The first four of them: where most protocols have their ports.
    pub ports: u32,
}

impl Plain {
    /// Where the transport header starts in such a packet.
    #[must_use]
    #[inline(always)]
    pub const fn transport<P: Packet>(&self) -> usize {
        P::NETWORK
            + match self.family {
                Family::V4 => Ipv4Hdr::LEN,
                Family::V6 => Ipv6Hdr::LEN,
            }
    }
}

/// Reads a plain packet at once. `None` for any other, and for what [`parse`] does not take.
#[inline(always)]
pub fn plain<P: Packet>(packet: &P) -> Option<Plain> {
    match packet.ethertype()? {
        ETHERTYPE_IPV4 => {
            let [start, fragment, third, source, destination, ports]: [u32; Ipv4Hdr::LEN / 4 + 1] =
                packet.load(P::NETWORK)?;
            let [version_and_length, _service, high, low] = start.to_ne_bytes();
            if version_and_length != V4_WITHOUT_OPTIONS || fragment & V4_FRAGMENT != 0 {
                return None;
            }
            let [_ttl, protocol, ..] = third.to_ne_bytes();
            let said = u32::from(u16::from_be_bytes([high, low])).checked_sub(Ipv4Hdr::LEN as u32)?;
            Some(Plain {
                family: Family::V4,
                source: Address::from_v4_word(source),
                destination: Address::from_v4_word(destination),
                protocol: Protocol::new(protocol),
                payload: payload(packet, said, Ipv4Hdr::LEN)?,
                ports,
            })
        }
        ETHERTYPE_IPV6 => {
            let words: [u32; Ipv6Hdr::LEN / 4 + 1] = packet.load(P::NETWORK)?;
            let [start, second, s0, s1, s2, s3, d0, d1, d2, d3, ports] = words;
            let [version, ..] = start.to_ne_bytes();
            let [high, low, protocol, _hop_limit] = second.to_ne_bytes();
            let (source, destination) = (
                Address::from_words([s0, s1, s2, s3]),
                Address::from_words([d0, d1, d2, d3]),
            );
            if version >> 4 != 6 || is_mapped([s0, s1, s2], [d0, d1, d2]) {
                return None;
            }
            Some(Plain {
                family: Family::V6,
                source,
                destination,
                protocol: Protocol::new(protocol),
                payload: payload(packet, u16::from_be_bytes([high, low]).into(), Ipv6Hdr::LEN)?,
                ports,
            })
        }
        _ => None,
    }
}

/// Whether one of two IPv6 addresses is IPv4-mapped, by their first three words: one branch for the verifier to follow, and not four.
#[inline(always)]
fn is_mapped(source: [u32; 3], destination: [u32; 3]) -> bool {
    let unlike_mapped = |[a, b, c]: [u32; 3]| u64::from(a | b | c ^ V4_MAPPED);
    unlike_mapped(source) * unlike_mapped(destination) == 0
}

/// Reads the network header. `None` for whatever is not IP or not whole, and for IPv4-mapped addresses in an IPv6 header, which
/// the kernel drops as well (`ip6_rcv_core`): here they would be another family's.
#[inline(always)]
pub fn parse<P: Packet>(packet: &P) -> Option<Network> {
    match packet.ethertype()? {
        ETHERTYPE_IPV4 => {
            let [start, fragment, third, source, destination]: [u32; Ipv4Hdr::LEN / 4] =
                packet.load(P::NETWORK)?;
            let [version_and_length, _service, high, low] = start.to_ne_bytes();
            let length = usize::from(version_and_length & 0x0f) * 4;
            if version_and_length >> 4 != 4 || length < Ipv4Hdr::LEN {
                return None;
            }
            let total = u32::from(u16::from_be_bytes([high, low]));
            let said = match total.checked_sub(length as u32) {
                Some(said) => said,
                None if total == 0 => 0,
                None => return None,
            };
            let [_ttl, protocol, ..] = third.to_ne_bytes();
            let protocol = Protocol::new(protocol);
            Some(Network {
                family: Family::V4,
                source: Address::from_v4_word(source),
                destination: Address::from_v4_word(destination),
                protocol,
                length: length as u8,
                payload: payload(packet, said, length)?,
                part: Part::new(fragment & V4_FRAGMENT != 0, fragment & V4_FRAGMENT_OFFSET != 0),
                identification: u32::from_be(fragment) >> 16,
            })
        }
        ETHERTYPE_IPV6 => {
            let words: [u32; Ipv6Hdr::LEN / 4] = packet.load(P::NETWORK)?;
            let [start, second, s0, s1, s2, s3, d0, d1, d2, d3] = words;
            let [version, ..] = start.to_ne_bytes();
            if version >> 4 != 6 {
                return None;
            }
            if is_mapped([s0, s1, s2], [d0, d1, d2]) {
                return None;
            }
            let [high, low, next_header, _hop_limit] = second.to_ne_bytes();
            let walked = extensions::walk(packet, P::NETWORK + Ipv6Hdr::LEN, next_header);
            let (protocol, length, fragment, identification) = v6_fragment(packet, walked);
            let protocol = Protocol::new(protocol);
            let said = u32::from(u16::from_be_bytes([high, low]));
            // What these headers take is not the transport protocol's.
            let whole = payload(packet, said, Ipv6Hdr::LEN)?;
            Some(Network {
                family: Family::V6,
                source: Address::from_words([s0, s1, s2, s3]),
                destination: Address::from_words([d0, d1, d2, d3]),
                protocol,
                length: length as u8,
                payload: whole.checked_sub((length - Ipv6Hdr::LEN) as u16)?,
                part: Part::new(fragment & V6_FRAGMENT != 0, fragment & V6_FRAGMENT_OFFSET != 0),
                identification,
            })
        }
        _ => None,
    }
}

/// Reads the network header as [`parse`] does, to where it stays, and makes readable what follows it: a function of its own,
/// for the sake of its caller's stack. False for whatever is not IP or not whole.
#[inline(never)]
pub fn read<P: Packet>(packet: &mut P, network: &mut Network) -> bool {
    match parse(packet) {
        Some(found) => {
            *network = found;
            if found.has_options() {
                packet.reach(found.transport::<P>() + TRANSPORT);
            }
            true
        }
        None => false,
    }
}

/// What follows an IPv6 header and the extension headers that were walked: protocol, length of the headers before it, and
/// what a fragment header says. One that is not all there is another protocol.
#[inline(always)]
fn v6_fragment<P: Packet>(packet: &P, walked: Walked) -> (u8, usize, u32, u32) {
    let start = Ipv6Hdr::LEN + walked.length();
    let whole = (walked.next_header(), start, 0, 0);
    if walked.next_header() != V6_FRAGMENT_HEADER {
        return whole;
    }
    let Some([fragment, identification]) = packet.fetch::<[u32; 2]>(P::NETWORK + start) else {
        return whole;
    };
    let [protocol, ..] = fragment.to_ne_bytes();
    let length = start + V6_FRAGMENT_HEADER_LENGTH;
    (protocol, length, fragment, identification)
}

/// How many bytes follow the network header, by the header's own words: a short frame has padding behind them. `None` if it
/// says nothing, as where the number is too big for it.
#[inline(always)]
pub fn payload_length<P: Packet>(packet: &P, family: Family, transport: usize) -> Option<u16> {
    let (offset, header) = match family {
        Family::V4 => (V4_TOTAL_LENGTH, 0),
        Family::V6 => (V6_PAYLOAD_LENGTH, Ipv6Hdr::LEN),
    };
    let said = u16::from_be(packet.load(P::NETWORK + offset)?);
    (said != 0).then_some(said.wrapping_sub((transport - P::NETWORK - header) as u16))
}

/// How long the packet is, from the network header on, by the header's own words.
#[inline(always)]
pub fn length<P: Packet>(packet: &P, family: Family) -> Option<u32> {
    let (offset, header) = match family {
        Family::V4 => (V4_TOTAL_LENGTH, 0),
        Family::V6 => (V6_PAYLOAD_LENGTH, Ipv6Hdr::LEN),
    };
    let said = u16::from_be(packet.load(P::NETWORK + offset)?);
    Some(u32::from(said) + header as u32)
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
    let hops = hops(packet, family)?;
    replace_hops(packet, family, hops.wrapping_sub(1))
}

/// Says how many more routers the packet may pass.
#[inline(always)]
pub fn replace_hops<P: Packet>(packet: &mut P, family: Family, hops: u8) -> Option<()> {
    match family {
        Family::V4 => {
            let [ttl, protocol]: [u8; 2] = packet.load(P::NETWORK + V4_TTL_AND_PROTOCOL)?;
            let [old, new] = [ttl, hops].map(|ttl| u32::from(u16::from_ne_bytes([ttl, protocol])));
            packet.store(P::NETWORK + V4_TTL_AND_PROTOCOL, new as u16)?;
            let checksum: u16 = packet.load(P::NETWORK + V4_CHECKSUM)?;
            packet.store(
                P::NETWORK + V4_CHECKSUM,
                Difference::between([old], [new]).apply(checksum),
            )
        }
        Family::V6 => packet.store(P::NETWORK + V6_HOP_LIMIT, hops),
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
