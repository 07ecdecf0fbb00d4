//! Packets that nobody may touch: byte by byte the same behind both hooks.

use std::net::{IpAddr, SocketAddr};

use kproxy_common::Family;

use crate::acceptance::row::{Row, Step};
use crate::acceptance::state::{PORT, WEB, web};
use crate::acceptance::world::{CLIENT, FAMILIES, Pod, service};
use crate::host::frame::{Frame, Tcp, Transport};

const ETHERNET: usize = 14;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for family in FAMILIES {
        let named = |name: &str, packets: Vec<Vec<u8>>| {
            let row = Row::new(format!("{name} ({family})")).state(web(&["web-1"]));
            packets
                .into_iter()
                .fold(row, |row, bytes| row.step(Step::Bystander(bytes)))
        };
        rows.push(named("3.05 packets between pods", between_pods(family)));
        rows.push(named("fragments between pods", fragments(family)));
        rows.push(named("headers that end before their time", truncated(family)));
        rows.push(named("what may be an ICMP message", icmp(family)));
        rows.push(named("headers that contradict themselves", nonsense(family)));
    }
    let row = Row::new("what is not IP").state(web(&["web-1"]));
    rows.push(
        not_ip()
            .into_iter()
            .fold(row, |row, bytes| row.step(Step::Bystander(bytes))),
    );
    rows
}

fn client(family: Family) -> SocketAddr {
    (Pod::named(CLIENT).address(family), 25_090).into()
}

fn build(source: SocketAddr, destination: SocketAddr, transport: Transport) -> Vec<u8> {
    let frame = Frame::new(source, destination, transport).payload(b"some payload");
    frame.bytes().unwrap_or_default()
}

fn to_service(family: Family, transport: Transport) -> Vec<u8> {
    build(client(family), service(WEB, PORT, family), transport)
}

fn between_pods(family: Family) -> Vec<Vec<u8>> {
    let to: SocketAddr = (Pod::named("web-1").address(family), 8080).into();
    [Tcp::Syn, Tcp::SynAck, Tcp::Ack, Tcp::Fin, Tcp::Rst]
        .map(Transport::Tcp)
        .into_iter()
        .chain([Transport::Udp])
        .flat_map(|transport| {
            [
                build(client(family), to, transport),
                build(to, client(family), transport),
            ]
        })
        .collect()
}

/// The first fragment, which has ports, and a later one, which has none.
fn fragments(family: Family) -> Vec<Vec<u8>> {
    let to: SocketAddr = (Pod::named("web-1").address(family), 8080).into();
    let whole = build(client(family), to, Transport::Udp);
    let more = [0x20, 0];
    let later = [0, 185];
    [more, later]
        .map(|[high, low]| {
            let mut bytes = whole.clone();
            match family {
                Family::V4 => {
                    bytes[ETHERNET + 6..ETHERNET + 8].copy_from_slice(&[high, low]);
                    fix_v4_checksum(&mut bytes);
                }
                Family::V6 => {
                    let next = bytes[ETHERNET + 6];
                    let (offset, more) = (u16::from(low) << 3, u16::from(high != 0));
                    let [a, b] = (offset | more).to_be_bytes();
                    let header = [next, 0, a, b, 1, 2, 3, 4];
                    bytes.splice(ETHERNET + 40..ETHERNET + 40, header);
                    bytes[ETHERNET + 6] = 44;
                    bytes[ETHERNET + 5] += 8;
                }
            }
            bytes
        })
        .to_vec()
}

fn truncated(family: Family) -> Vec<Vec<u8>> {
    let transport = ETHERNET
        + match family {
            Family::V4 => 20,
            Family::V6 => 40,
        };
    let tcp = to_service(family, Transport::Tcp(Tcp::Syn));
    let udp = to_service(family, Transport::Udp);
    let tcp = [0, 2, 4, 13, 19].map(|kept| tcp[..transport + kept].to_vec());
    let udp = [0, 2, 4, 7].map(|kept| udp[..transport + kept].to_vec());
    tcp.into_iter().chain(udp).collect()
}

/// Never answered by an error: ICMP, and what may hide it, an authentication header and those of IPv6 that are not walked.
fn icmp(family: Family) -> Vec<Vec<u8>> {
    let protocols: &[u8] = match family {
        Family::V4 => &[1, 51],
        Family::V6 => &[58, 51, 43, 44, 135, 139, 140],
    };
    let packets = protocols.iter().map(|protocol| of_protocol(*protocol, family));
    packets.collect()
}

/// A packet to [`web`] of another protocol than its content's.
pub(super) fn of_protocol(protocol: u8, family: Family) -> Vec<u8> {
    let mut bytes = to_service(family, Transport::Tcp(Tcp::Syn));
    match family {
        Family::V4 => {
            bytes[ETHERNET + 9] = protocol;
            fix_v4_checksum(&mut bytes);
        }
        Family::V6 => bytes[ETHERNET + 6] = protocol,
    }
    bytes
}

/// A version that is not the Ethernet header's, and for IPv4 header lengths that can not be.
fn nonsense(family: Family) -> Vec<Vec<u8>> {
    let starts: &[u8] = match family {
        Family::V4 => &[0x65, 0x05, 0xf5, 0x40, 0x44, 0x4f],
        Family::V6 => &[0x40, 0x00, 0xf0],
    };
    let whole = to_service(family, Transport::Tcp(Tcp::Syn));
    let short = &whole[..whole.len() - b"some payload".len()];
    starts
        .iter()
        .map(|start| {
            let mut bytes = short.to_vec();
            bytes[ETHERNET] = *start;
            bytes
        })
        .collect()
}

fn not_ip() -> Vec<Vec<u8>> {
    let whole = to_service(Family::V4, Transport::Tcp(Tcp::Syn));
    let tagged = FAMILIES.map(|family| {
        let mut bytes = to_service(family, Transport::Tcp(Tcp::Syn));
        bytes.splice(12..12, [0x81, 0, 0, 7]);
        bytes
    });
    // ARP, VLAN, MPLS, PPPoE, LLDP, and a length as in IEEE 802.3.
    let others = [0x0806, 0x8100, 0x8847, 0x8864, 0x88cc, 0x0040_u16].map(|kind| {
        let mut bytes = whole.clone();
        bytes[12..ETHERNET].copy_from_slice(&kind.to_be_bytes());
        bytes
    });
    [&tagged[..], &others].concat()
}

fn fix_v4_checksum(bytes: &mut [u8]) {
    let header = etherparse::Ipv4Header::from_slice(&bytes[ETHERNET..]);
    if let Ok((header, _)) = header {
        let checksum = header.calc_header_checksum();
        bytes[ETHERNET + 10..ETHERNET + 12].copy_from_slice(&checksum.to_be_bytes());
    }
    debug_assert!(matches!(client(Family::V4).ip(), IpAddr::V4(_)));
}
