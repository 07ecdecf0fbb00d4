//! SCTP packets (RFC 9260 section 3), with the checksum of another library than the datapath's own code.

use anyhow::{Context, ensure};
use crc::{CRC_32_ISCSI, Crc};
use etherparse::{IpNumber, NetSlice, SlicedPacket};

use super::frame::Tcp;

const CHECKSUM: std::ops::Range<usize> = 8..12;
/// The common header and a chunk's.
const HEADERS: usize = 12 + 4;

/// A packet with one chunk.
pub(super) fn packet(source_port: u16, destination_port: u16, chunk: Tcp, payload: &[u8]) -> Vec<u8> {
    let kind = match chunk {
        Tcp::Syn => 1,
        Tcp::SynAck => 2,
        Tcp::Ack => 0,
        Tcp::Fin => 7,
        Tcp::Rst => 6,
    };
    let mut bytes = [source_port, destination_port].map(u16::to_be_bytes).concat();
    bytes.extend(0x0102_0304_u32.to_be_bytes());
    bytes.extend([0; 4]);
    // An initiate tag, or whatever the chunk has there.
    let value = [&[0xab; 4], payload].concat();
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    bytes.extend([kind, 0]);
    bytes.extend(length.to_be_bytes());
    bytes.extend(value);
    finish(&mut bytes);
    bytes
}

/// Computes the checksum over the packet with whatever stands in its place, as the kernel does for a device that can not,
/// and writes it there.
pub(super) fn finish(packet: &mut [u8]) {
    let checksum = sum(packet);
    packet[CHECKSUM].copy_from_slice(&checksum);
}

/// Puts zeros in the checksum's place, which the kernel leaves there for a device.
pub(super) fn clear(packet: &mut [u8]) {
    packet[CHECKSUM].fill(0);
}

/// Whether there are zeros in the checksum's place.
pub(super) fn is_clear(packet: &[u8]) -> bool {
    packet.get(CHECKSUM) == Some(&[0; 4])
}

/// The SCTP packet in an Ethernet frame, if there is one.
pub(super) fn of(frame: &[u8]) -> Option<&[u8]> {
    let (number, payload) = match SlicedPacket::from_ethernet(frame).ok()?.net? {
        NetSlice::Ipv4(ip) => (ip.payload().ip_number, ip.payload().payload),
        NetSlice::Ipv6(ip) => (ip.payload().ip_number, ip.payload().payload),
        NetSlice::Arp(_) => return None,
    };
    (number == IpNumber::SCTP).then_some(payload)
}

/// Computes the checksum anew.
pub(super) fn verify(packet: &[u8]) -> anyhow::Result<()> {
    let found = packet.get(CHECKSUM).context("no SCTP header")?;
    ensure!(found == checksum(packet), "wrong SCTP checksum");
    Ok(())
}

/// Source port, destination port, and what follows the tag of the first chunk.
pub(super) fn read(packet: &[u8]) -> anyhow::Result<(u16, u16, &[u8])> {
    let payload = packet.get(HEADERS + 4..).context("no SCTP chunk")?;
    let port = |start: usize| u16::from_be_bytes([packet[start], packet[start + 1]]);
    Ok((port(0), port(2), payload))
}

/// Over the packet with zeros in the checksum's place.
fn checksum(packet: &[u8]) -> [u8; 4] {
    let mut packet = packet.to_vec();
    clear(&mut packet);
    sum(&packet)
}

/// With its lowest byte first (RFC 9260 appendix A).
fn sum(packet: &[u8]) -> [u8; 4] {
    Crc::<u32>::new(&CRC_32_ISCSI).checksum(packet).to_le_bytes()
}
