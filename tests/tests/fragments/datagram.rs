//! Datagrams cut into fragments and put together again (RFC 791 section 3.2, RFC 8200 section 4.5).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use kproxy_tests::host::Frame;
use kproxy_tests::host::frame::{Seen, Transport};

/// Length of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;
const V4: usize = 20;
const V6: usize = 40;
const FRAGMENT_HEADER: usize = 8;
const FRAGMENT: u8 = 44;

/// Payload of a fragment that fills 1,500 bytes, nearly.
pub(crate) const SIZE: usize = 1_440;

/// A UDP datagram of this many bytes of payload, each unlike its neighbours, in fragments.
pub(crate) fn udp(source: SocketAddr, destination: SocketAddr, length: usize, id: u32) -> Vec<Vec<u8>> {
    let frame = Frame::new(source, destination, Transport::Udp).payload(&payload(length));
    cut(&frame.bytes().expect("one family"), SIZE, id)
}

/// What such a datagram carries.
pub(crate) fn payload(length: usize) -> Vec<u8> {
    (0..length)
        .map(|byte| ((byte * 31) >> 3).to_le_bytes()[0])
        .collect()
}

/// Cuts a packet.
pub(crate) fn cut(whole: &[u8], size: usize, id: u32) -> Vec<Vec<u8>> {
    let is_v4 = whole[ETHERNET] >> 4 == 4;
    let header = ETHERNET + if is_v4 { V4 } else { V6 };
    let data = &whole[header..];
    let pieces = data.chunks(size).enumerate().map(|(number, piece)| {
        let offset = number * size;
        let more = offset + piece.len() < data.len();
        let mut bytes = whole[..header].to_vec();
        if is_v4 {
            bytes[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&id.to_be_bytes()[2..]);
            let place = u16::from(more) << 13 | word(offset / 8);
            bytes[ETHERNET + 6..ETHERNET + 8].copy_from_slice(&place.to_be_bytes());
        } else {
            let [high, low] = (word(offset) | u16::from(more)).to_be_bytes();
            bytes.extend([bytes[ETHERNET + 6], 0, high, low]);
            bytes.extend(id.to_be_bytes());
            bytes[ETHERNET + 6] = FRAGMENT;
        }
        bytes.extend(piece);
        set_length(&mut bytes);
        bytes
    });
    pieces.collect()
}

/// Puts fragments together, in whatever order they are. Headers must agree, and what has a checksum must be right.
pub(crate) fn join(fragments: &[Vec<u8>]) -> Vec<u8> {
    let first = &fragments[0];
    let is_v4 = first[ETHERNET] >> 4 == 4;
    let mut pieces = BTreeMap::new();
    let mut start = Vec::new();
    for bytes in fragments {
        let (header, offset, same) = if is_v4 {
            let mut checked = bytes.clone();
            set_length(&mut checked);
            assert_eq!(&checked, bytes, "length and checksum of an IPv4 header");
            let place = u16::from_be_bytes([bytes[ETHERNET + 6], bytes[ETHERNET + 7]]);
            (ETHERNET + V4, (place & 0x1fff) * 8, 12..V4)
        } else {
            let place = ETHERNET + V6 + 2;
            let place = u16::from_be_bytes([bytes[place], bytes[place + 1]]);
            (ETHERNET + V6 + FRAGMENT_HEADER, place & 0xfff8, 8..V6)
        };
        let addresses = |bytes: &[u8]| bytes[ETHERNET..][same.clone()].to_vec();
        assert_eq!(
            addresses(bytes),
            addresses(first),
            "every fragment goes the same way"
        );
        pieces.insert(offset, bytes[header..].to_vec());
        if offset == 0 {
            start = bytes[..header].to_vec();
        }
    }
    if is_v4 {
        start[ETHERNET + 6..ETHERNET + 8].fill(0);
    } else {
        start[ETHERNET + 6] = start[ETHERNET + V6];
        start.truncate(ETHERNET + V6);
    }
    for (offset, piece) in pieces {
        let at = start.len() - ETHERNET - if is_v4 { V4 } else { V6 };
        assert_eq!(at, usize::from(offset), "there is no gap");
        start.extend(piece);
    }
    set_length(&mut start);
    start
}

/// Source, destination and payload of a datagram in fragments, with its checksum verified.
pub(crate) fn read(fragments: &[Vec<u8>]) -> (SocketAddr, SocketAddr, Vec<u8>) {
    match Seen::read(&join(fragments)).expect("a datagram with a right checksum") {
        Seen::Segment {
            source,
            destination,
            payload,
            ..
        } => (source, destination, payload),
        Seen::Unreachable { .. } => unreachable!("a datagram became a port unreachable"),
    }
}

fn set_length(bytes: &mut [u8]) {
    let length = bytes.len() - ETHERNET;
    if bytes[ETHERNET] >> 4 == 4 {
        bytes[ETHERNET + 2..ETHERNET + 4].copy_from_slice(&word(length).to_be_bytes());
        let (header, _) = etherparse::Ipv4Header::from_slice(&bytes[ETHERNET..]).expect("a header");
        let checksum = header.calc_header_checksum();
        bytes[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&checksum.to_be_bytes());
    } else {
        bytes[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&word(length - V6).to_be_bytes());
    }
}

fn word(number: usize) -> u16 {
    u16::try_from(number).expect("no datagram is longer")
}
