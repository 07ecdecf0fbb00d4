//! ICMP messages as a client's raw sockets see them.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Type};
use kproxy_tests::cluster::Host;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

const PROMPT: Duration = Duration::from_secs(30);

/// What a probe has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    /// Who reports.
    pub(crate) from: IpAddr,
    /// Its time was exceeded; otherwise nobody listens there.
    pub(crate) is_exceeded: bool,
    /// To whom the reported packet was sent.
    pub(crate) about: SocketAddr,
}

/// An answer to an echo request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Echo {
    pub(crate) from: IpAddr,
    pub(crate) length: usize,
}

/// Sends a datagram that may pass this many routers, and waits for the error about it.
pub(crate) fn probe(host: &Host, to: SocketAddr, hops: u32) -> anyhow::Result<Probe> {
    host.namespace().run(|| {
        let raw = raw(to.ip())?;
        let socket = Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
        if to.is_ipv4() {
            socket.set_ttl_v4(hops)?;
        } else {
            socket.set_unicast_hops_v6(hops)?;
        }
        UdpSocket::from(socket).send_to(b"probe", to)?;
        wait_for(&raw, to.ip(), |from, message| {
            let is_exceeded = match (to.ip(), &message[..2]) {
                (IpAddr::V4(_), [11, 0]) | (IpAddr::V6(_), [3, 0]) => true,
                (IpAddr::V4(_), [3, 3]) | (IpAddr::V6(_), [1, 4]) => false,
                _ => return None,
            };
            Some(Probe {
                from,
                is_exceeded,
                about: destination(message.get(8..)?)?,
            })
        })
    })?
}

/// Sends an echo request and waits for the answer.
pub(crate) fn ping(host: &Host, to: IpAddr, length: usize) -> anyhow::Result<Echo> {
    let payload = vec![0x5a; length];
    let header = IcmpEchoHeader { id: 7, seq: 1 };
    let mut request = if to.is_ipv4() {
        let header = Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(header), &payload);
        header.to_bytes().to_vec()
    } else {
        // The kernel writes the checksum.
        [&[128, 0, 0, 0][..], &header.to_bytes()].concat()
    };
    request.extend(&payload);
    host.namespace().run(|| {
        let raw = raw(to)?;
        raw.send_to(&request, &SockAddr::from(SocketAddr::new(to, 0)))?;
        wait_for(&raw, to, |from, message| {
            let is_answer = message[0] == if to.is_ipv4() { 0 } else { 129 };
            let is_ours = message.get(4..8)? == header.to_bytes() && message[8..] == payload;
            (is_answer && is_ours).then(|| Echo {
                from,
                length: message.len() - 8,
            })
        })
    })?
}

fn raw(to: IpAddr) -> anyhow::Result<Socket> {
    let raw = match to {
        IpAddr::V4(_) => Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)),
        IpAddr::V6(_) => Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)),
    };
    let raw = raw.context("a raw socket needs root")?;
    raw.set_read_timeout(Some(Duration::from_millis(100)))?;
    if to.is_ipv6() {
        // Otherwise the answer says only to which address it came.
        raw.connect(&SockAddr::from(SocketAddr::new(to, 0)))?;
    }
    Ok(raw)
}

/// The first message that is what the caller waits for.
fn wait_for<T>(
    raw: &Socket,
    family: IpAddr,
    wanted: impl Fn(IpAddr, &[u8]) -> Option<T>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + PROMPT;
    let mut buffer = vec![0; 4096];
    let mut reader = raw;
    while Instant::now() < deadline {
        let Ok(length) = reader.read(&mut buffer) else {
            continue;
        };
        let packet = &buffer[..length];
        let (from, message) = match family {
            // Raw sockets of IPv4 see the header.
            IpAddr::V4(_) => {
                let from: [u8; 4] = packet[12..16].try_into()?;
                (
                    Ipv4Addr::from(from).into(),
                    &packet[usize::from(packet[0] & 0x0f) * 4..],
                )
            }
            // A connected one of IPv6 hears its peer alone.
            IpAddr::V6(_) => (family, packet),
        };
        if message.len() >= 8
            && let Some(found) = wanted(from, message)
        {
            return Ok(found);
        }
    }
    bail!("nothing came within {PROMPT:?}")
}

/// To whom a quoted datagram was sent.
fn destination(quote: &[u8]) -> Option<SocketAddr> {
    let (ip, transport): (IpAddr, usize) = if quote.first()? >> 4 == 4 {
        let ip: [u8; 4] = quote.get(16..20)?.try_into().ok()?;
        (Ipv4Addr::from(ip).into(), 20)
    } else {
        let ip: [u8; 16] = quote.get(24..40)?.try_into().ok()?;
        (Ipv6Addr::from(ip).into(), 40)
    };
    let [high, low] = quote.get(transport + 2..transport + 4)?.try_into().ok()?;
    Some((ip, u16::from_be_bytes([high, low])).into())
}
