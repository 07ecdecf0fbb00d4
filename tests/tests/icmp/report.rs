//! ICMP errors, written by the etherparse library.

use std::net::IpAddr;

use etherparse::PacketBuilder;
use kproxy_tests::host::frame::{HOST_MAC, POD_MAC};

pub(crate) const ETHERNET: usize = 14;
const HOPS: u8 = 63;

/// Type, code and the four bytes behind the checksum.
pub(crate) type Kind = (u8, u8, [u8; 4]);

/// Destination unreachable (port, fragmentation needed), time exceeded, parameter problem; too big in IPv6.
pub(crate) fn kinds(v6: bool) -> [Kind; 4] {
    let mtu = [0, 0, 5, 0];
    if v6 {
        [(1, 4, [0; 4]), (2, 0, mtu), (3, 0, [0; 4]), (4, 1, [0, 0, 0, 6])]
    } else {
        [
            (3, 3, [0; 4]),
            (3, 4, mtu),
            (11, 0, [0; 4]),
            (12, 0, [1, 0, 0, 0]),
        ]
    }
}

/// A message with right checksums.
pub(crate) fn message(
    source: IpAddr,
    destination: IpAddr,
    (kind, code, rest): Kind,
    payload: &[u8],
) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(POD_MAC, HOST_MAC);
    let mut bytes = Vec::new();
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet
            .ipv4(source.octets(), destination.octets(), HOPS)
            .icmpv4_raw(kind, code, rest)
            .write(&mut bytes, payload),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet
            .ipv6(source.octets(), destination.octets(), HOPS)
            .icmpv6_raw(kind, code, rest)
            .write(&mut bytes, payload),
        _ => unreachable!("{source} and {destination} are of two families"),
    }
    .expect("a vector takes everything");
    bytes
}

/// Writes the TTL or hop limit of a packet that starts at `at`, and the checksum that it then has in IPv4.
pub(crate) fn set_hops(bytes: &mut [u8], at: usize, hops: u8) {
    if bytes[at] >> 4 == 6 {
        bytes[at + 7] = hops;
        return;
    }
    bytes[at + 8] = hops;
    bytes[at + 10..at + 12].fill(0);
    let length = usize::from(bytes[at] & 0x0f) * 4;
    let mut sum: u32 = bytes[at..at + length]
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let checksum = !u16::try_from(sum).expect("folded");
    bytes[at + 10..at + 12].copy_from_slice(&checksum.to_be_bytes());
}

/// The TTL or hop limit of a packet that starts at `at`.
pub(crate) fn hops(bytes: &[u8], at: usize) -> u8 {
    bytes[at + if bytes[at] >> 4 == 6 { 7 } else { 8 }]
}
