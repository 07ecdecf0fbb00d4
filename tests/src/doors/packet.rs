//! What the model reads of a packet, by its own means.

use std::net::{IpAddr, SocketAddr};

use etherparse::{LaxNetSlice, LaxSlicedPacket};

use crate::host::frame;

const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// What the model reads of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    /// TTL or hop limit.
    pub(super) hops: u8,
    /// Source and destination port, of a whole packet or a first fragment of a protocol that has them.
    pub(super) ports: Option<(u16, u16)>,
    /// First byte behind the network header.
    kind: Option<u8>,
}

impl Headers {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let packet = LaxSlicedPacket::from_ethernet(bytes).ok()?;
        let (source, destination, hops, payload): (IpAddr, IpAddr, _, _) = match packet.net.as_ref()? {
            LaxNetSlice::Ipv4(ip) => {
                let header = ip.header();
                (
                    header.source_addr().into(),
                    header.destination_addr().into(),
                    header.ttl(),
                    ip.payload(),
                )
            }
            LaxNetSlice::Ipv6(ip) => {
                let header = ip.header();
                (
                    header.source_addr().into(),
                    header.destination_addr().into(),
                    header.hop_limit(),
                    ip.payload(),
                )
            }
            LaxNetSlice::Arp(_) => return None,
        };
        let protocol = payload.ip_number.0;
        // A later fragment has a payload, but no ports.
        let later = match packet.net.as_ref()? {
            LaxNetSlice::Ipv4(ip) => ip.header().fragments_offset().value() != 0,
            LaxNetSlice::Ipv6(_) => payload.fragmented && !begins_datagram(bytes),
            LaxNetSlice::Arp(_) => return None,
        };
        let ports = match (payload.payload, protocol) {
            ([a, b, c, d, ..], 6 | 17 | 132) if !later => {
                Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
            }
            _ => None,
        };
        Some(Self {
            source,
            destination,
            protocol,
            hops,
            ports,
            kind: payload.payload.first().copied(),
        })
    }

    pub(super) fn is_icmp(&self) -> bool {
        [ICMP, ICMPV6].contains(&self.protocol)
    }

    /// Whether this is the answer to an echo request.
    pub(super) fn is_answered_echo(&self, request: &Self) -> bool {
        let kinds = match self.protocol {
            ICMP => (Some(8), Some(0)),
            ICMPV6 => (Some(128), Some(129)),
            _ => return false,
        };
        (request.kind, self.kind) == kinds
            && (self.source, self.destination) == (request.destination, request.source)
    }

    /// Source and destination with their ports.
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (source, destination) = self.ports?;
        Some((
            (self.source, source).into(),
            (self.destination, destination).into(),
        ))
    }
}

/// Whether an IPv6 fragment header right behind the network header has an offset of 0 (RFC 8200 section 4.5).
fn begins_datagram(bytes: &[u8]) -> bool {
    matches!(bytes.get(56..58), Some([high, low]) if u16::from_be_bytes([*high, *low]) & 0xfff8 == 0)
}

/// Whether all checksums can be computed and are right.
pub(super) fn checksums_are_right(bytes: &[u8]) -> bool {
    frame::verify_checksums(bytes).is_ok()
}
