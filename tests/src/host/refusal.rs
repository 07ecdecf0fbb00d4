//! ICMP errors that were read (RFC 792, RFC 1191 section 4, RFC 4443 section 3).

use std::net::IpAddr;

use anyhow::{Context, bail};
use etherparse::{SlicedPacket, TransportSlice};

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
            TransportSlice::Icmpv4(icmp) => (
                v4([icmp.type_u8(), icmp.code_u8()], icmp.bytes5to8())?,
                icmp.payload(),
            ),
            TransportSlice::Icmpv6(icmp) => (
                v6([icmp.type_u8(), icmp.code_u8()], icmp.bytes5to8())?,
                icmp.payload(),
            ),
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

fn v4(kind: [u8; 2], rest: [u8; 4]) -> anyhow::Result<Reason> {
    let [_, _, high, low] = rest;
    Ok(match kind {
        [3, 3] => Reason::PortUnreachable,
        [3, 4] => Reason::TooBig(u16::from_be_bytes([high, low]).into()),
        [11, 0] => Reason::Expired,
        other => bail!("an ICMP message {other:?}"),
    })
}

fn v6(kind: [u8; 2], rest: [u8; 4]) -> anyhow::Result<Reason> {
    Ok(match kind {
        [1, 4] => Reason::PortUnreachable,
        [2, 0] => Reason::TooBig(u32::from_be_bytes(rest)),
        [3, 0] => Reason::Expired,
        other => bail!("an ICMPv6 message {other:?}"),
    })
}
