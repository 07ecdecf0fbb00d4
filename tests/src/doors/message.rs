//! ICMP and ICMPv6 messages: errors about packets of known flows, and echo requests.

use std::net::IpAddr;

use arbitrary::{Error, Result, Unstructured};
use etherparse::PacketBuilder;
use kproxy_common::Family;

use super::ETHERNET;
use super::event::{addresses, of_flow};
use super::model::Model;
use crate::acceptance::world::FAMILIES;
use crate::host::frame::{HOPS, HOST_MAC, POD_MAC};

/// The least that an error quotes: a network header with options, and eight bytes.
const LEAST: usize = 28;

/// An error about a packet of a flow that is known, from whoever may be on its way, with as much of it as is quoted.
pub(super) fn error(input: &mut Unstructured<'_>, model: &Model) -> Result<Vec<u8>> {
    let mut known: Vec<_> = model.known().collect();
    if known.is_empty() {
        return echo(input);
    }
    known.sort_unstable();
    let (protocol, from, to) = *input.choose(&known)?;
    let packet = of_flow(input, (protocol, to, from))?;
    let quote = &packet[ETHERNET..];
    let length = input.int_in_range(LEAST.min(quote.len())..=quote.len())?;
    let family = if from.is_ipv4() { Family::V4 } else { Family::V6 };
    let speaker = if input.ratio(1_u8, 2)? {
        from.ip()
    } else {
        *input.choose(&addresses(family))?
    };
    let kind = match family {
        Family::V4 => *input.choose(&[3, 11, 12, 5])?,
        Family::V6 => *input.choose(&[1, 2, 3, 4, 137])?,
    };
    message(speaker, to.ip(), kind, &quote[..length])
}

/// An echo request, or its answer.
pub(super) fn echo(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let family = *input.choose(&FAMILIES)?;
    let all = addresses(family);
    let kind = match family {
        Family::V4 => *input.choose(&[8, 8, 0])?,
        Family::V6 => *input.choose(&[128, 128, 129])?,
    };
    message(*input.choose(&all)?, *input.choose(&all)?, kind, b"ping")
}

fn message(source: IpAddr, destination: IpAddr, kind: u8, payload: &[u8]) -> Result<Vec<u8>> {
    let ethernet = PacketBuilder::ethernet2(POD_MAC, HOST_MAC);
    let mut bytes = Vec::new();
    let written = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => ethernet
            .ipv4(source.octets(), destination.octets(), HOPS)
            .icmpv4_raw(kind, 0, [0; 4])
            .write(&mut bytes, payload),
        (IpAddr::V6(source), IpAddr::V6(destination)) => ethernet
            .ipv6(source.octets(), destination.octets(), HOPS)
            .icmpv6_raw(kind, 0, [0; 4])
            .write(&mut bytes, payload),
        _ => return Err(Error::IncorrectFormat),
    };
    written.map_err(|_error| Error::IncorrectFormat)?;
    Ok(bytes)
}
