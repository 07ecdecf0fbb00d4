//! Packets made from a fuzzer's bytes: whole ones, ones that belong to a known flow, broken ones and noise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use arbitrary::{Arbitrary as _, Result, Unstructured};
use kproxy_common::Family;

use super::model::Model;
use super::packet::{TCP, UDP};
use super::{dress, message};
use crate::acceptance::world::{FAMILIES, HOST, Pod, Vip, cluster_ip};
use crate::host::frame::{Frame, Tcp, Transport};

/// Where a packet meets the data plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    PodIngress,
    PodEgress,
    UplinkIngress,
    UplinkEgress,
}

/// A packet at a door, some time after the one before.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) pause: Duration,
    pub(super) entrance: Entrance,
    pub(super) bytes: Vec<u8>,
    /// Payload of each packet on the wire, if this one is many (GSO), and else 0.
    pub(super) segment_size: u32,
    /// Whether a device shall complete its checksum.
    pub(super) is_partial: bool,
}

/// Pauses that matter to flows: none, more than a touch, more than UDP's idle time, more than TCP's.
const PAUSES: [u64; 4] = [0, 2, 121, 90_000];
const PORTS: [u16; 8] = [80, 8080, 9000, 30_080, 30_090, 40_000, 40_001, 61_000];
/// Segments that fit everywhere, nowhere, and of which nothing is known (`GSO_BY_FRAGS`).
const SEGMENT_SIZES: [u32; 4] = [1, 1_000, 2_000, 0xffff];
/// The longest noise.
const NOISE: usize = 200;

impl Event {
    pub(super) fn arbitrary(input: &mut Unstructured<'_>, model: &Model) -> Result<Self> {
        let pause = if input.ratio(1_u8, 8)? {
            *input.choose(&PAUSES)?
        } else {
            0
        };
        let entrance = *input.choose(&[
            Entrance::PodIngress,
            Entrance::PodEgress,
            Entrance::UplinkIngress,
            Entrance::UplinkIngress,
            Entrance::UplinkEgress,
        ])?;
        let mut bytes = match input.int_in_range(0..=11_u8)? {
            0 => noise(input)?,
            1..=4 => follow(input, model)?,
            5 | 6 => message::error(input, model)?,
            7 => message::echo(input)?,
            _ => fresh(input)?,
        };
        let segment_size = if input.ratio(1_u8, 8)? {
            *input.choose(&SEGMENT_SIZES)?
        } else {
            0
        };
        if input.ratio(1_u8, 8)? {
            dress::extend(input, &mut bytes)?;
        }
        if input.ratio(1_u8, 8)? {
            dress::fragment(input, &mut bytes)?;
        }
        if input.ratio(1_u8, 4)? {
            damage(input, &mut bytes)?;
        }
        Ok(Self {
            pause: Duration::from_secs(pause),
            entrance,
            bytes,
            segment_size,
            is_partial: input.ratio(1_u8, 8)?,
        })
    }
}

fn noise(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = input.int_in_range(0..=NOISE)?.min(input.len());
    Ok(input.bytes(length)?.to_vec())
}

/// A packet of a flow that is known, in one direction or the other.
pub(super) fn follow(input: &mut Unstructured<'_>, model: &Model) -> Result<Vec<u8>> {
    let mut known: Vec<_> = model.known().collect();
    if known.is_empty() {
        return fresh(input);
    }
    known.sort_unstable();
    let key = *input.choose(&known)?;
    of_flow(input, key)
}

pub(super) fn of_flow(
    input: &mut Unstructured<'_>,
    (protocol, source, destination): (u8, SocketAddr, SocketAddr),
) -> Result<Vec<u8>> {
    let transport = match protocol {
        TCP => Transport::Tcp(flags(input)?),
        UDP => Transport::Udp,
        _ => Transport::Sctp(flags(input)?),
    };
    frame(input, source, destination, transport)
}

pub(super) fn fresh(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let family = *input.choose(&FAMILIES)?;
    let addresses = addresses(family);
    let source: SocketAddr = (*input.choose(&addresses)?, *input.choose(&PORTS)?).into();
    let destination: SocketAddr = (*input.choose(&addresses)?, *input.choose(&PORTS)?).into();
    let transport = match input.int_in_range(0..=3_u8)? {
        0 => Transport::Udp,
        1 => Transport::UdpWithoutChecksum,
        2 => Transport::Sctp(flags(input)?),
        _ => Transport::Tcp(flags(input)?),
    };
    frame(input, source, destination, transport)
}

fn frame(
    input: &mut Unstructured<'_>,
    source: SocketAddr,
    destination: SocketAddr,
    transport: Transport,
) -> Result<Vec<u8>> {
    let length = input.int_in_range(0..=16_usize)?.min(input.len());
    let frame = Frame {
        options: input.ratio(1_u8, 8)?,
        ..Frame::new(source, destination, transport).payload(input.bytes(length)?)
    };
    frame.bytes().map_err(|_error| arbitrary::Error::IncorrectFormat)
}

fn flags(input: &mut Unstructured<'_>) -> Result<Tcp> {
    Ok(*input.choose(&[Tcp::Syn, Tcp::Syn, Tcp::SynAck, Tcp::Ack, Tcp::Fin, Tcp::Rst])?)
}

/// Overwrites or cuts.
fn damage(input: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    for _ in 0..input.int_in_range(1..=4_u8)? {
        if bytes.is_empty() {
            return Ok(());
        }
        let place = input.choose_index(bytes.len())?;
        bytes[place] = u8::arbitrary(input)?;
    }
    if input.ratio(1_u8, 4)? {
        let length = input.choose_index(bytes.len().max(1))?;
        bytes.truncate(length);
    }
    Ok(())
}

/// Who may be the source or the destination of a packet.
pub(super) fn addresses(family: Family) -> Vec<IpAddr> {
    let pods = ["client", "web-1", "web-2", "web-3"].map(|pod| Pod::named(pod).address(family));
    let services = [10, 20, 30].map(|number| cluster_ip(number, family));
    let vips = [1, 2, 3, 4].map(|number| Vip::Number(number).address(family));
    let others: [IpAddr; 5] = match family {
        Family::V4 => [
            Ipv4Addr::new(192, 0, 2, 7).into(),
            Ipv4Addr::new(192, 0, 2, 200).into(),
            Ipv4Addr::LOCALHOST.into(),
            Ipv4Addr::new(224, 0, 0, 1).into(),
            Ipv4Addr::UNSPECIFIED.into(),
        ],
        Family::V6 => [
            Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7).into(),
            Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 7).into(),
            Ipv6Addr::LOCALHOST.into(),
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
            Ipv6Addr::UNSPECIFIED.into(),
        ],
    };
    let mut all = vec![HOST.address(family)];
    all.extend(pods);
    all.extend(services);
    all.extend(vips);
    all.extend(others);
    all
}
