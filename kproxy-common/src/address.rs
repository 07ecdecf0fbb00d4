//! Addresses, ports and protocols as they stand on the wire.

use core::cmp::Ordering;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytemuck::{Pod, Zeroable};
use network_types::ip::IpProto;

/// The first eight bytes of an IPv4-mapped IPv6 address, `::ffff:0:0/96` (RFC 4291 section 2.5.5.2) ...
const MAPPED_HIGH: u64 = 0;
/// ... and the four that stand before the IPv4 address.
const MAPPED_MIDDLE: u32 = 0xffff_u32.to_be();

/// `127.0.0.0/8` (RFC 1122 section 3.2.1.3).
const LOOPBACK_NETWORK: u32 = 0x7f00_0000_u32.to_be();
const LOOPBACK_MASK: u32 = 0xff00_0000_u32.to_be();

/// An IP address of either family: 16 bytes in network order, IPv4 stored IPv4-mapped.
///
/// Held as two 64-bit words, so that the compiler keeps keys on the stack aligned, as the verifier demands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Address([u64; 2]);

const _: () = assert!(size_of::<Address>() == 16);

impl Address {
    /// An IPv4 address from its four bytes as they are loaded from a header.
    #[must_use]
    #[inline(always)]
    pub const fn from_v4_word(word: u32) -> Self {
        Self([MAPPED_HIGH, join(MAPPED_MIDDLE, word)])
    }

    /// An address from its sixteen bytes as they are loaded from an IPv6 header.
    #[must_use]
    #[inline(always)]
    pub const fn from_words([a, b, c, d]: [u32; 4]) -> Self {
        Self([join(a, b), join(c, d)])
    }

    /// The sixteen bytes, ready to be stored into an IPv6 header.
    #[must_use]
    #[inline(always)]
    pub const fn words(self) -> [u32; 4] {
        let ([a, b], [c, d]) = (split(self.0[0]), split(self.0[1]));
        [a, b, c, d]
    }

    /// The two words, for a fingerprint.
    #[must_use]
    #[inline(always)]
    pub const fn halves(self) -> [u64; 2] {
        self.0
    }

    /// The last four bytes: the whole address for IPv4.
    #[must_use]
    #[inline(always)]
    pub const fn v4_word(self) -> u32 {
        split(self.0[1])[1]
    }

    /// The family, by the IPv4-mapped prefix.
    #[must_use]
    #[inline(always)]
    pub const fn family(self) -> Family {
        if self.0[0] == MAPPED_HIGH && split(self.0[1])[0] == MAPPED_MIDDLE {
            Family::V4
        } else {
            Family::V6
        }
    }

    /// `0.0.0.0` or `::`, under which NodePort frontends are stored.
    #[must_use]
    #[inline(always)]
    pub const fn unspecified(family: Family) -> Self {
        match family {
            Family::V4 => Self::from_v4_word(0),
            Family::V6 => Self([0; 2]),
        }
    }

    /// Whether it is `0.0.0.0` or `::`.
    #[must_use]
    #[inline(always)]
    pub const fn is_unspecified(self) -> bool {
        let [high, low] = self.0;
        let [middle, last] = split(low);
        high == 0 && last == 0 && (middle == 0 || middle == MAPPED_MIDDLE)
    }

    /// Whether it is in `127.0.0.0/8`, or `::1`.
    #[must_use]
    #[inline(always)]
    pub const fn is_loopback(self) -> bool {
        let [high, low] = self.0;
        let [middle, last] = split(low);
        high == 0
            && match middle {
                MAPPED_MIDDLE => last & LOOPBACK_MASK == LOOPBACK_NETWORK,
                0 => last == 1_u32.to_be(),
                _ => false,
            }
    }

    /// Whether it may be one host's: neither unspecified nor loopback, multicast or broadcast.
    #[must_use]
    #[inline(always)]
    pub const fn is_unicast(self) -> bool {
        let [first, ..] = match self.family() {
            Family::V4 => self.v4_word().to_ne_bytes(),
            Family::V6 => self.words()[0].to_ne_bytes(),
        };
        let is_group = match self.family() {
            // 224.0.0.0/4 and 240.0.0.0/4 (RFC 1112 section 4).
            Family::V4 => first >= 224,
            // ff00::/8 (RFC 4291 section 2.7).
            Family::V6 => first == 0xff,
        };
        !is_group && !self.is_unspecified() && !self.is_loopback()
    }

    /// The address as the standard library knows it.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        match self.family() {
            Family::V4 => IpAddr::V4(Ipv4Addr::from(self.v4_word().to_ne_bytes())),
            Family::V6 => IpAddr::V6(Ipv6Addr::from(bytemuck::cast::<_, [u8; 16]>(self.0))),
        }
    }
}

impl From<IpAddr> for Address {
    /// An IPv4-mapped IPv6 address becomes the IPv4 address it stands for.
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl From<Ipv4Addr> for Address {
    fn from(v4: Ipv4Addr) -> Self {
        Self::from_v4_word(u32::from_ne_bytes(v4.octets()))
    }
}

impl From<Ipv6Addr> for Address {
    fn from(v6: Ipv6Addr) -> Self {
        Self(bytemuck::cast(v6.octets()))
    }
}

/// Numeric order, IPv4 before IPv6, so that sorted output reads naturally.
impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ip().cmp(&other.ip())
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ip().fmt(f)
    }
}

/// Two 32-bit words in memory order.
#[inline(always)]
const fn join(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "little") {
        first as u64 | (second as u64) << 32
    } else {
        (first as u64) << 32 | second as u64
    }
}

/// The inverse of [`join`].
#[inline(always)]
const fn split(joined: u64) -> [u32; 2] {
    let (low, high) = (joined as u32, (joined >> 32) as u32);
    if cfg!(target_endian = "little") {
        [low, high]
    } else {
        [high, low]
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4 (RFC 791).
    V4,
    /// IPv6 (RFC 8200).
    V6,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// A TCP, UDP or SCTP port in network byte order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Port(u16);

impl Port {
    /// A port from its number.
    #[must_use]
    #[inline(always)]
    pub const fn new(number: u16) -> Self {
        Self(number.to_be())
    }

    /// A port from two bytes loaded from a header.
    #[must_use]
    #[inline(always)]
    pub const fn from_wire(bytes: u16) -> Self {
        Self(bytes)
    }

    /// The two bytes, ready to be stored into a header.
    #[must_use]
    #[inline(always)]
    pub const fn wire(self) -> u16 {
        self.0
    }

    /// The port's number.
    #[must_use]
    #[inline(always)]
    pub const fn number(self) -> u16 {
        u16::from_be(self.0)
    }
}

impl Ord for Port {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number().cmp(&other.number())
    }
}

impl PartialOrd for Port {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// An IP protocol number (IANA "Assigned Internet Protocol Numbers"), widened to keep map keys aligned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Protocol(u16);

impl Protocol {
    /// RFC 9293.
    pub const TCP: Self = Self::new(IpProto::Tcp as u8);
    /// RFC 768.
    pub const UDP: Self = Self::new(IpProto::Udp as u8);
    /// RFC 9260.
    pub const SCTP: Self = Self::new(IpProto::Sctp as u8);
    /// RFC 792.
    pub const ICMP: Self = Self::new(IpProto::Icmp as u8);
    /// RFC 4443.
    pub const ICMPV6: Self = Self::new(IpProto::Ipv6Icmp as u8);

    /// A protocol from its number.
    #[must_use]
    #[inline(always)]
    pub const fn new(number: u8) -> Self {
        Self(number as u16)
    }

    /// The number as in the IP header.
    #[must_use]
    #[inline(always)]
    pub const fn number(self) -> u8 {
        self.0 as u8
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TCP => f.write_str("TCP"),
            Self::UDP => f.write_str("UDP"),
            Self::SCTP => f.write_str("SCTP"),
            Self(number) => write!(f, "protocol {number}"),
        }
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_survive_the_round_trip() {
        for text in [
            "10.96.0.1",
            "0.0.0.0",
            "fd00::1",
            "::",
            "::1",
            "2001:db8::ffff:1:2",
        ] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(Address::from(ip).ip(), ip);
        }
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(Address::from(mapped), Address::from(Ipv4Addr::new(10, 0, 0, 1)));
    }

    #[test]
    fn order_is_numeric_and_ipv4_comes_first() {
        let ip = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
        assert!(ip("10.0.0.2") < ip("10.0.0.10"));
        assert!(ip("255.255.255.255") < ip("::1"));
        assert!(Port::new(80) < Port::new(443));
    }

    #[test]
    fn special_addresses_are_known() {
        let ip = |text: &str| Address::from(text.parse::<IpAddr>().unwrap());
        for text in ["0.0.0.0", "::"] {
            assert!(ip(text).is_unspecified() && !ip(text).is_loopback(), "{text}");
        }
        for text in ["127.0.0.1", "127.255.0.9", "::1"] {
            assert!(ip(text).is_loopback() && !ip(text).is_unspecified(), "{text}");
        }
        for text in ["126.0.0.1", "128.0.0.1", "::2", "::7f00:1", "1::", "1::1"] {
            assert!(!ip(text).is_loopback() && !ip(text).is_unspecified(), "{text}");
        }
    }

    #[test]
    fn ports_are_kept_in_network_order() {
        assert_eq!(Port::new(80).wire().to_ne_bytes(), [0, 80]);
        assert_eq!(Port::from_wire(Port::new(8080).wire()).number(), 8080);
    }
}
