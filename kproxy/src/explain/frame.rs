//! The packet that is asked about, as bytes.

use std::net::IpAddr;

use etherparse::{IpNumber, PacketBuilder};
use kproxy_common::{Port, Protocol, Tuple};
use kproxy_ebpf::{parse, wire};

use super::question::{Question, Sender, Target};
use crate::memory::Buffer;

/// Ethernet addresses, which decide nothing: locally administered ones (IEEE 802, section 8.4).
const SENDER: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
pub(super) const NODE: [u8; 6] = [0x02, 0, 0, 0, 0, 2];
const HOPS: u8 = 64;
/// Stands for a source port that has no connection yet: no packet has it.
const UNUSED: Port = Port::new(0);

/// An SCTP packet with an INIT chunk, as an association begins (RFC 9260 sections 3.1 and 3.3.2): ports come first.
/// The checksum is not looked at before the packet arrives.
const SCTP_INIT: [u8; 28] = {
    let mut bytes = [0; 28];
    // At the end of the ports, the tag and the checksum stands the chunk: type, flags, length.
    bytes[12] = 1;
    bytes[15] = 20 - 4;
    bytes
};

/// The tuple of the packet.
pub(super) fn tuple(question: &Question) -> Tuple {
    let Question {
        from: Sender {
            address: source,
            port,
        },
        to:
            Target {
                address: destination,
                port: destination_port,
                protocol,
            },
        via: _,
        device: _,
    } = *question;
    Tuple {
        source,
        destination,
        destination_port,
        protocol,
        source_port: port.unwrap_or(UNUSED),
        padding: 0,
    }
}

/// The packet that begins a connection.
pub(super) fn bytes(tuple: &Tuple) -> Vec<u8> {
    bytes_to(NODE, tuple)
}

/// The same for a device with this Ethernet address: what goes to another one is not for the node.
pub(super) fn bytes_to(device: [u8; 6], tuple: &Tuple) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2(SENDER, device);
    let packet = match (tuple.source.ip(), tuple.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet.ipv4(source.octets(), destination.octets(), HOPS)
        }
        (source, destination) => ethernet.ipv6(octets(source), octets(destination), HOPS),
    };
    let (source, destination) = (tuple.source_port.number(), tuple.destination_port.number());
    let mut bytes = Vec::new();
    let written = match tuple.protocol {
        Protocol::TCP => packet
            .tcp(source, destination, 0, u16::MAX)
            .syn()
            .write(&mut bytes, &[]),
        Protocol::UDP => packet.udp(source, destination).write(&mut bytes, &[]),
        other => {
            let mut payload = SCTP_INIT;
            payload[..2].copy_from_slice(&source.to_be_bytes());
            payload[2..4].copy_from_slice(&destination.to_be_bytes());
            packet.write(&mut bytes, IpNumber(other.number()), &payload)
        }
    };
    debug_assert!(written.is_ok(), "a vector takes every packet");
    bytes
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The tuple of a packet after the door.
pub(super) fn read(bytes: Vec<u8>) -> Option<Tuple> {
    let packet = Buffer::new(bytes);
    let network = wire::parse(&packet)?;
    Some(parse::segment(&packet, &network).ok()?.tuple)
}
