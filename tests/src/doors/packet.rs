//! What the model reads of a packet, by its own means.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crc::{CRC_32_ISCSI, Crc};

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const SCTP: u8 = 132;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

const ETHERNET: usize = 14;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Which part of a datagram a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    First,
    Later,
}

/// What the model reads of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Headers {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    /// TTL or hop limit.
    pub(super) hops: u8,
    pub(super) part: Part,
    /// Source and destination port, of a whole packet or a first fragment of a protocol that has them.
    pub(super) ports: Option<(u16, u16)>,
    /// Whether addresses in the network header are not those that its checksums are about: it has other places to go to.
    pub(super) is_routed: bool,
    /// Whether it has extension headers in disorder, or more than anybody has to walk, or says that it has no length.
    is_odd: bool,
    /// First byte behind the network headers.
    kind: Option<u8>,
    network: usize,
    transport: usize,
    /// Where it ends by its own words.
    end: usize,
}

impl Headers {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.get(12..ETHERNET)? {
            [0x08, 0x00] => Self::v4(bytes, ETHERNET),
            [0x86, 0xdd] => Self::v6(bytes, ETHERNET),
            _ => None,
        }
    }

    fn v4(bytes: &[u8], at: usize) -> Option<Self> {
        let header: [u8; 20] = bytes.get(at..at + 20)?.try_into().ok()?;
        let length = usize::from(header[0] & 0x0f) * 4;
        if header[0] >> 4 != 4 || length < 20 {
            return None;
        }
        let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff;
        let [source, destination] =
            [12, 16].map(|at| Ipv4Addr::from([header[at], header[at + 1], header[at + 2], header[at + 3]]));
        let blank = Self {
            source: source.into(),
            destination: destination.into(),
            protocol: header[9],
            hops: header[8],
            part: part(fragment, fragment & 0x1fff),
            ports: None,
            is_routed: false,
            // As of more than the field can say, if it is many in one; and else of nothing.
            is_odd: header[2..4] == [0, 0],
            kind: None,
            network: at,
            transport: at + length,
            end: end(bytes, at, [header[2], header[3]], 0),
        };
        Some(blank.with_transport(bytes))
    }

    fn v6(bytes: &[u8], at: usize) -> Option<Self> {
        let header: [u8; 40] = bytes.get(at..at + 40)?.try_into().ok()?;
        if header[0] >> 4 != 6 {
            return None;
        }
        // An IPv4-mapped one is no packet's that anybody takes.
        let address = |at: usize| -> Option<Ipv6Addr> {
            let octets: [u8; 16] = header.get(at..at + 16)?.try_into().ok()?;
            let address = Ipv6Addr::from(octets);
            address.to_ipv4_mapped().is_none().then_some(address)
        };
        let mut blank = Self {
            source: address(8)?.into(),
            destination: address(24)?.into(),
            protocol: header[6],
            hops: header[7],
            part: Part::Whole,
            ports: None,
            is_routed: false,
            is_odd: header[4..6] == [0, 0],
            kind: None,
            network: at,
            transport: at + 40,
            end: end(bytes, at, [header[4], header[5]], 40),
        };
        let mut is_fragment = false;
        // Hop-by-hop options, routing, destination options and a fragment header, in whatever order.
        while let 0 | 43 | 44 | 60 = blank.protocol
            && blank.part != Part::Later
            && let Some(&[next, length, high, low]) =
                bytes.get(blank.transport..).and_then(<[u8]>::first_chunk)
        {
            match blank.protocol {
                44 => {
                    let fragment = u16::from_be_bytes([high, low]) & 0xfff9;
                    blank.part = part(fragment, fragment & 0xfff8);
                    blank.is_odd |= is_fragment;
                    is_fragment = true;
                    blank.transport += 8;
                }
                kind => {
                    let is_first = blank.transport == at + 40;
                    let has_home = kind == 60 && bytes.get(blank.transport + 6) == Some(&201);
                    blank.is_routed |= kind == 43 && low != 0;
                    // What is behind a fragment header may be elsewhere.
                    blank.is_odd |= is_fragment || has_home || kind == 0 && !is_first;
                    blank.transport += (usize::from(length) + 1) * 8;
                }
            }
            blank.protocol = next;
        }
        blank.is_odd |= blank.transport > at + 40 + 24;
        Some(blank.with_transport(bytes))
    }

    fn with_transport(self, bytes: &[u8]) -> Self {
        let transport = bytes.get(self.transport..).unwrap_or_default();
        let ports = match (transport, self.protocol) {
            ([a, b, c, d, ..], TCP | UDP | SCTP) if self.part != Part::Later => {
                Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d])))
            }
            _ => None,
        };
        Self {
            ports,
            kind: transport.first().copied(),
            ..self
        }
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

    /// The packet that an error message quotes.
    pub(super) fn quoted(&self, bytes: &[u8]) -> Option<Self> {
        let at = self.transport + 8;
        match (self.protocol, self.kind?) {
            (ICMP, 3 | 11 | 12) => Self::v4(bytes, at),
            (ICMPV6, 1..=4) => Self::v6(bytes, at),
            _ => None,
        }
    }

    /// What follows the header of an error message.
    pub(super) fn quote<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes.get(self.transport + 8..).unwrap_or_default()
    }

    /// Source and destination with their ports.
    pub(super) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (source, destination) = self.ports?;
        Some((
            (self.source, source).into(),
            (self.destination, destination).into(),
        ))
    }

    /// Whether it has a transport header, with all that belongs to it, where everybody finds it.
    pub(super) fn is_sound(&self, bytes: &[u8]) -> bool {
        let least = match self.protocol {
            TCP => 20,
            SCTP => 16,
            _ => 8,
        };
        !self.is_odd && self.transport + least <= self.end && self.end <= bytes.len()
    }

    /// Whether it asks for a new connection, or is a datagram.
    pub(super) fn opens(&self, bytes: &[u8]) -> bool {
        match self.protocol {
            TCP => bytes
                .get(self.transport + 13)
                .is_some_and(|flags| flags & 0x16 == 0x02),
            SCTP => bytes.get(self.transport + 12) == Some(&1),
            _ => true,
        }
    }

    /// Whether it may be one of the last packets of its flow, or be taken for one.
    pub(super) fn may_end(&self, bytes: &[u8]) -> bool {
        match self.protocol {
            TCP => bytes
                .get(self.transport + 13)
                .is_none_or(|flags| flags & 0x05 != 0),
            SCTP => bytes
                .get(self.transport + 12)
                .is_none_or(|chunk| [6, 7, 8, 14].contains(chunk)),
            _ => false,
        }
    }

    /// The packet without what a translation may change.
    pub(super) fn kept(&self, bytes: &[u8]) -> Vec<u8> {
        let mut kept = bytes.to_vec();
        let hops = self.network + if self.source.is_ipv4() { 8 } else { 7 };
        let mut all = self.translated();
        all.push(hops..hops + 1);
        if self.is_icmp() && self.part != Part::Later {
            // The type of an echo; that of all others is compared beside this.
            all.push(self.transport..self.transport + 1);
        }
        if let Some(quoted) = self.quoted(bytes) {
            all.extend(quoted.translated());
        }
        for range in all {
            if let Some(field) = kept.get_mut(range) {
                field.fill(0);
            }
        }
        kept
    }

    /// Addresses, ports and checksums.
    fn translated(&self) -> Vec<std::ops::Range<usize>> {
        let (start, end) = if self.source.is_ipv4() { (10, 20) } else { (8, 40) };
        let addresses = self.network + start..self.network + end;
        let ports = self.ports.map(|_| self.transport..self.transport + 4);
        [Some(addresses), ports, self.checksum()]
            .into_iter()
            .flatten()
            .collect()
    }

    fn checksum(&self) -> Option<std::ops::Range<usize>> {
        let (offset, length) = match self.protocol {
            _ if self.part == Part::Later => return None,
            TCP => (16, 2),
            UDP => (6, 2),
            SCTP => (8, 4),
            ICMP | ICMPV6 => (2, 2),
            _ => return None,
        };
        Some(self.transport + offset..self.transport + offset + length)
    }

    /// First byte behind the network headers, unless it is an echo's.
    pub(super) fn kind(&self) -> Option<u8> {
        self.kind.filter(|_| self.is_icmp())
    }

    /// By how much each checksum is wrong, which a translation leaves as it is: 0 for one that is right, and nothing for
    /// what has none. The last one is the sum of a quoted header.
    pub(super) fn errors(&self, bytes: &[u8], is_partial: bool) -> [Option<u64>; 4] {
        let quoted = self.quoted(bytes);
        [
            self.header_error(bytes),
            self.transport_error(bytes, is_partial),
            quoted.as_ref().and_then(|quoted| quoted.header_error(bytes)),
            quoted
                .as_ref()
                .and_then(|quoted| quoted.quoted_error(bytes, self.end)),
        ]
    }

    fn header_error(&self, bytes: &[u8]) -> Option<u64> {
        let length = usize::from(bytes.get(self.network)? & 0x0f) * 4;
        let header = bytes.get(self.network..self.network + length)?;
        self.source.is_ipv4().then(|| sum(header) % 0xffff)
    }

    fn transport_error(&self, bytes: &[u8], is_partial: bool) -> Option<u64> {
        let field = self.checksum()?;
        let stored = bytes.get(field.clone())?;
        let all = bytes.get(self.transport..self.end)?;
        if self.protocol == SCTP {
            let mut blank = all.to_vec();
            blank.get_mut(8..12)?.fill(0);
            let stored: [u8; 4] = stored.try_into().ok()?;
            return Some(u64::from(u32::from_le_bytes(stored) ^ CRC.checksum(&blank)));
        }
        if self.protocol == UDP && stored == [0, 0] {
            return None;
        }
        let length = u64::try_from(all.len()).unwrap_or(0);
        let pseudo = match self.protocol {
            ICMP => 0,
            protocol => self.addresses() + u64::from(protocol) + length,
        };
        Some(if is_partial {
            // The field holds the sum of the pseudo header, and the rest is a device's business.
            (sum(stored) + 0xffff - pseudo % 0xffff) % 0xffff
        } else {
            (pseudo + sum(all)) % 0xffff
        })
    }

    /// Of a quote there is only the beginning: what counts is that addresses, ports and checksum still fit each other.
    fn quoted_error(&self, bytes: &[u8], end: usize) -> Option<u64> {
        let field = self
            .checksum()
            .filter(|field| field.end <= end && self.protocol != SCTP)?;
        let stored = bytes.get(field)?;
        if self.protocol == UDP && stored == [0, 0] {
            return None;
        }
        let ports = bytes.get(self.transport..self.transport + 4)?;
        Some((self.addresses() + sum(ports) + sum(stored)) % 0xffff)
    }

    fn addresses(&self) -> u64 {
        let octets = |address| match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        sum(&octets(self.source)) + sum(&octets(self.destination))
    }
}

fn part(fragment: u16, offset: u16) -> Part {
    match (fragment, offset) {
        (0, _) => Part::Whole,
        (_, 0) => Part::First,
        _ => Part::Later,
    }
}

/// Where a packet ends that says how long it is, or that it can not say it.
fn end(bytes: &[u8], at: usize, length: [u8; 2], header: usize) -> usize {
    match u16::from_be_bytes(length) {
        0 => bytes.len(),
        length => at + header + usize::from(length),
    }
}

fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    words.sum()
}
