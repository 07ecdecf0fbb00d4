//! ICMP errors that were read (RFC 792, RFC 1191 section 4, RFC 4443 section 3).

use std::net::IpAddr;

use anyhow::{Context, bail};
use etherparse::{Icmpv4Type, Icmpv6Type, SlicedPacket, TransportSlice, icmpv4, icmpv6};

use super::frame::{addresses, verify_checksums};

/// What an error says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Nobody listens.
    PortUnreachable,
    /// It does not fit, and this would.
    TooBig(u32),
    /// It has passed too many routers.
    Expired,
}

/// An ICMP error with right checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it says.
    pub reason: Reason,
    /// Who says so.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// The packet it is about, from the network header on.
    pub quote: Vec<u8>,
}

impl Refusal {
    /// Reads a packet.
    ///
    /// # Errors
    /// When it is something else, or a checksum is wrong.
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        verify_checksums(bytes)?;
        let packet = SlicedPacket::from_ethernet(bytes)?;
        let (source, destination) = addresses(bytes)?;
        let (reason, quote) = match packet.transport.context("no transport header")? {
            TransportSlice::Icmpv4(icmp) => (v4(&icmp.icmp_type())?, icmp.payload()),
            TransportSlice::Icmpv6(icmp) => (v6(&icmp.icmp_type())?, icmp.payload()),
            TransportSlice::Tcp(_) | TransportSlice::Udp(_) => bail!("a segment instead of an error"),
        };
        Ok(Self {
            reason,
            source,
            destination,
            quote: quote.to_vec(),
        })
    }
}

fn v4(kind: &Icmpv4Type) -> anyhow::Result<Reason> {
    Ok(match kind {
        Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::Port) => Reason::PortUnreachable,
        Icmpv4Type::DestinationUnreachable(icmpv4::DestUnreachableHeader::FragmentationNeeded {
            next_hop_mtu,
        }) => Reason::TooBig((*next_hop_mtu).into()),
        Icmpv4Type::TimeExceeded(icmpv4::TimeExceededCode::TtlExceededInTransit) => Reason::Expired,
        other => bail!("an ICMP message {other:?}"),
    })
}

fn v6(kind: &Icmpv6Type) -> anyhow::Result<Reason> {
    Ok(match kind {
        Icmpv6Type::DestinationUnreachable(icmpv6::DestUnreachableCode::Port) => Reason::PortUnreachable,
        Icmpv6Type::PacketTooBig { mtu } => Reason::TooBig(*mtu),
        Icmpv6Type::TimeExceeded(icmpv6::TimeExceededCode::HopLimitExceeded) => Reason::Expired,
        other => bail!("an ICMPv6 message {other:?}"),
    })
}
