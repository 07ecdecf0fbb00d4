//! Packets written and read by the etherparse library, so that the datapath is not checked against itself.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail, ensure};
use etherparse::{
    Icmpv4Type, Icmpv6Type, IpNumber, Ipv4Options, NetSlice, PacketBuilder, SlicedPacket, TransportSlice,
    icmpv4, icmpv6,
};

use super::{extensions, sctp};

/// Ethernet address of the host end of a pod's interface.
pub const HOST_MAC: [u8; 6] = [0xee; 6];
/// Ethernet address of every pod.
pub const POD_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// Time to live, or hop limit, of what a pod sends.
pub const HOPS: u8 = 63;

/// TCP flags of a packet to send; all of them but SYN and RST go with ACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tcp {
    /// SYN.
    Syn,
    /// SYN and ACK.
    SynAck,
    /// ACK.
    Ack,
    /// FIN and ACK.
    Fin,
    /// RST.
    Rst,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP segment.
    Tcp(Tcp),
    /// A UDP datagram.
    Udp,
    /// A UDP datagram without a checksum.
    UdpWithoutChecksum,
    /// An SCTP packet with the chunk that means the same: INIT, INIT ACK, DATA, SHUTDOWN, ABORT.
    Sctp(Tcp),
}

/// A packet to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Who sends it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// TCP, UDP or SCTP.
    pub transport: Transport,
    /// What follows the headers.
    pub payload: Vec<u8>,
    /// IPv4 options, or IPv6 extension headers ([`extensions::harmless`]), as many as a packet may have.
    pub options: bool,
    /// TCP options.
    pub tcp_options: bool,
    /// Time to live, or hop limit.
    pub hops: u8,
}

impl Frame {
    /// A packet without payload.
    #[must_use]
    pub fn new(source: SocketAddr, destination: SocketAddr, transport: Transport) -> Self {
        Self {
            source,
            destination,
            transport,
            payload: Vec::new(),
            options: false,
            tcp_options: false,
            hops: HOPS,
        }
    }

    /// With this payload.
    #[must_use]
    pub fn payload(mut self, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self
    }

    /// The bytes, from a pod to its node, with right checksums.
    ///
    /// # Errors
    /// When the families differ.
    pub fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        let ethernet = PacketBuilder::ethernet2(POD_MAC, HOST_MAC);
        let ip = match (self.source.ip(), self.destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) if self.options => {
                let mut header = etherparse::Ipv4Header::new(
                    0,
                    self.hops,
                    IpNumber::TCP,
                    source.octets(),
                    destination.octets(),
                )?;
                // Router alert (RFC 2113), as in multicast joins, and padding as far as there is room.
                let options = [&[148, 4, 0, 0][..], &[1; 36]].concat();
                header.options = Ipv4Options::try_from(options.as_slice())?;
                ethernet.ip(etherparse::IpHeaders::Ipv4(
                    header,
                    etherparse::Ipv4Extensions::default(),
                ))
            }
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                ethernet.ipv4(source.octets(), destination.octets(), self.hops)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                ethernet.ipv6(source.octets(), destination.octets(), self.hops)
            }
            _ => bail!("{} and {} are of two families", self.source, self.destination),
        };
        let mut bytes = Vec::new();
        let (source_port, destination_port) = (self.source.port(), self.destination.port());
        match self.transport {
            Transport::Tcp(kind) => {
                let tcp = ip.tcp(source_port, destination_port, 1000, 64_240);
                let tcp = match kind {
                    Tcp::Syn => tcp.syn(),
                    Tcp::SynAck => tcp.syn().ack(2000),
                    Tcp::Ack => tcp.ack(2000),
                    Tcp::Fin => tcp.fin().ack(2000),
                    Tcp::Rst => tcp.rst(),
                };
                if self.tcp_options {
                    let options = [etherparse::TcpOptionElement::MaximumSegmentSize(1460)];
                    tcp.options(&options)?.write(&mut bytes, &self.payload)?;
                } else {
                    tcp.write(&mut bytes, &self.payload)?;
                }
            }
            Transport::Udp | Transport::UdpWithoutChecksum => {
                let udp = ip.udp(source_port, destination_port);
                udp.write(&mut bytes, &self.payload)?;
            }
            Transport::Sctp(chunk) => {
                let packet = sctp::packet(source_port, destination_port, chunk, &self.payload);
                ip.write(&mut bytes, IpNumber::SCTP, &packet)?;
            }
        }
        if self.transport == Transport::UdpWithoutChecksum {
            let checksum = bytes.len() - self.payload.len() - 2;
            bytes[checksum..checksum + 2].fill(0);
        }
        if self.options {
            extensions::insert(&mut bytes, &extensions::harmless());
        }
        Ok(bytes)
    }

    /// The bytes as a kernel leaves them to a device that finishes checksums.
    ///
    /// # Errors
    /// When the families differ.
    pub fn partial_bytes(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = self.bytes()?;
        if let Some(start) = sctp_start(&bytes) {
            sctp::clear(&mut bytes[start..]);
            return Ok(bytes);
        }
        let (start, field) = checksum_place(&bytes)?;
        let length = bytes.len() - start;
        let pseudo = pseudo_sum(&bytes, length)?;
        bytes[start + field..start + field + 2].copy_from_slice(&fold(pseudo).to_be_bytes());
        Ok(bytes)
    }
}

/// Finishes a partial checksum as a device does (`skb_checksum_help`, `skb_crc32c_csum_help`).
///
/// # Errors
/// When the packet is neither TCP, UDP nor SCTP.
pub fn finish_checksum(bytes: &mut [u8]) -> anyhow::Result<()> {
    if let Some(start) = sctp_start(bytes) {
        sctp::finish(&mut bytes[start..]);
        return Ok(());
    }
    let (start, field) = checksum_place(bytes)?;
    let sum = !fold(sum(&bytes[start..]));
    let sum = if sum == 0 { u16::MAX } else { sum };
    bytes[start + field..start + field + 2].copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// Computes the checksum of an SCTP packet anew, unless a device shall finish it.
pub fn renew_sctp_checksum(bytes: &mut [u8]) {
    if let Some(start) = sctp_start(bytes)
        && !sctp::is_clear(&bytes[start..])
    {
        sctp::clear(&mut bytes[start..]);
        sctp::finish(&mut bytes[start..]);
    }
}

fn sctp_start(bytes: &[u8]) -> Option<usize> {
    Some(bytes.len() - sctp::of(bytes)?.len())
}

/// Start of the transport header, and where in it the checksum stands.
fn checksum_place(bytes: &[u8]) -> anyhow::Result<(usize, usize)> {
    let packet = SlicedPacket::from_ethernet(bytes)?;
    let (length, field) = match packet.transport.context("no transport header")? {
        TransportSlice::Tcp(tcp) => (tcp.slice().len(), 16),
        TransportSlice::Udp(udp) => (udp.slice().len(), 6),
        TransportSlice::Icmpv4(icmp) => (icmp.slice().len(), 2),
        TransportSlice::Icmpv6(icmp) => (icmp.slice().len(), 2),
    };
    Ok((bytes.len() - length, field))
}

fn pseudo_sum(bytes: &[u8], length: usize) -> anyhow::Result<u64> {
    let packet = SlicedPacket::from_ethernet(bytes)?;
    let (addresses, protocol) = match packet.net.context("no network header")? {
        NetSlice::Ipv4(ip) => (ip.header().slice()[12..20].to_vec(), ip.header().protocol()),
        NetSlice::Ipv6(ip) => (ip.header().slice()[8..40].to_vec(), ip.payload().ip_number),
        NetSlice::Arp(_) => bail!("ARP has no pseudo header"),
    };
    Ok(sum(&addresses) + u64::from(protocol.0) + u64::try_from(length)?)
}

fn sum(bytes: &[u8]) -> u64 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    words.sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

/// Checks every checksum of a packet by computing it anew.
///
/// # Errors
/// Says which one is wrong.
pub fn verify_checksums(bytes: &[u8]) -> anyhow::Result<()> {
    let packet = SlicedPacket::from_ethernet(bytes)?;
    let is_v4 = match packet.net.context("no network header")? {
        NetSlice::Ipv4(ip) => {
            let total = fold(sum(ip.header().slice()));
            ensure!(
                total == 0xffff,
                "wrong checksum in the IPv4 header: sum {total:#06x}"
            );
            true
        }
        NetSlice::Ipv6(_) | NetSlice::Arp(_) => false,
    };
    if let Some(packet) = sctp::of(bytes) {
        return sctp::verify(packet);
    }
    let (start, field) = checksum_place(bytes)?;
    let is_udp = matches!(packet.transport, Some(TransportSlice::Udp(_)));
    if is_v4 && is_udp && bytes[start + field..start + field + 2] == [0, 0] {
        return Ok(());
    }
    // ICMP over IPv4 is the one protocol without a pseudo header.
    let pseudo = match packet.transport {
        Some(TransportSlice::Icmpv4(_)) => 0,
        _ => pseudo_sum(bytes, bytes.len() - start)?,
    };
    let total = fold(sum(&bytes[start..]) + pseudo);
    ensure!(total == 0xffff, "wrong transport checksum: sum {total:#06x}");
    Ok(())
}

/// Source and destination of a packet.
///
/// # Errors
/// When it is not IP.
pub fn addresses(bytes: &[u8]) -> anyhow::Result<(IpAddr, IpAddr)> {
    let packet = SlicedPacket::from_ethernet(bytes)?;
    Ok(match packet.net.context("no network header")? {
        NetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Arp(_) => bail!("an ARP packet"),
    })
}

/// Time to live, or hop limit, of a packet.
///
/// # Errors
/// When it is not IP.
pub fn hops(bytes: &[u8]) -> anyhow::Result<u8> {
    Ok(
        match SlicedPacket::from_ethernet(bytes)?
            .net
            .context("no network header")?
        {
            NetSlice::Ipv4(ip) => ip.header().ttl(),
            NetSlice::Ipv6(ip) => ip.header().hop_limit(),
            NetSlice::Arp(_) => bail!("an ARP packet"),
        },
    )
}

/// A packet that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// TCP, UDP or SCTP.
    Segment {
        /// Source.
        source: SocketAddr,
        /// Destination.
        destination: SocketAddr,
        /// Whether it has no checksum.
        without_checksum: bool,
        /// What follows the headers.
        payload: Vec<u8>,
    },
    /// Port unreachable, with right checksums.
    Unreachable {
        /// Who says so.
        source: IpAddr,
        /// To whom.
        destination: IpAddr,
        /// The packet it is about, from the network header on.
        quote: Vec<u8>,
    },
}

impl Seen {
    /// Reads a packet and checks its checksums.
    ///
    /// # Errors
    /// When it is of another kind, or a checksum is wrong.
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        verify_checksums(bytes)?;
        let packet = SlicedPacket::from_ethernet(bytes)?;
        let (source, destination) = addresses(bytes)?;
        let segment = |source_port, destination_port, without_checksum, payload: &[u8]| Self::Segment {
            source: (source, source_port).into(),
            destination: (destination, destination_port).into(),
            without_checksum,
            payload: payload.to_vec(),
        };
        let unreachable = |quote: &[u8]| Self::Unreachable {
            source,
            destination,
            quote: quote.to_vec(),
        };
        if let Some(packet) = sctp::of(bytes) {
            let (source_port, destination_port, payload) = sctp::read(packet)?;
            return Ok(segment(source_port, destination_port, false, payload));
        }
        Ok(match packet.transport.context("no transport header")? {
            TransportSlice::Tcp(tcp) => {
                segment(tcp.source_port(), tcp.destination_port(), false, tcp.payload())
            }
            TransportSlice::Udp(udp) => segment(
                udp.source_port(),
                udp.destination_port(),
                udp.checksum() == 0,
                udp.payload(),
            ),
            TransportSlice::Icmpv4(icmp) => {
                let wanted = Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port);
                ensure!(
                    icmp.icmp_type() == wanted,
                    "an ICMP message {:?}",
                    icmp.icmp_type()
                );
                unreachable(icmp.payload())
            }
            TransportSlice::Icmpv6(icmp) => {
                let wanted = Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port);
                ensure!(
                    icmp.icmp_type() == wanted,
                    "an ICMPv6 message {:?}",
                    icmp.icmp_type()
                );
                unreachable(icmp.payload())
            }
        })
    }
}
