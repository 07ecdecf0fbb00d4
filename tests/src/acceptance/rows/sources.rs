//! Source addresses that no client can have, and such as only look like it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use kproxy_common::Family;

use super::{Case, for_each, reaches};
use crate::acceptance::row::{Arrival, Row, Step, Then, Via};
use crate::acceptance::state::{PORT, Protocol, web};
use crate::acceptance::world::{HOST, Pod, Vip, service};
use crate::host::frame::{Frame, Tcp, Transport};

const NODE_PORT: u16 = 30_182;
const VIP: Vip = Vip::Number(46);
const OTHER_VIP: Vip = Vip::Number(48);

pub(super) fn rows() -> Vec<Row> {
    [martians(), mapped(), answers()].concat()
}

fn transport(protocol: Protocol, kind: Tcp) -> Transport {
    match protocol {
        Protocol::Tcp => Transport::Tcp(kind),
        Protocol::Udp => Transport::Udp,
        Protocol::Sctp => Transport::Sctp(kind),
    }
}

/// A packet byte by byte.
fn packet(protocol: Protocol, kind: Tcp, from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let frame = Frame::new(from, to, transport(protocol, kind)).payload(b"odd");
    frame.bytes().unwrap_or_default()
}

/// How it comes in by a door.
fn enters(via: Via, bytes: Vec<u8>, then: Then) -> Step {
    if via == Via::Uplink {
        Step::Arrival(Arrival {
            bytes,
            segment_size: 0,
            then,
        })
    } else {
        Step::Raw(bytes, then)
    }
}

/// Source addresses that nothing from elsewhere can have (RFC 1812 section 5.3.7, RFC 6890).
fn martians_of(family: Family) -> Vec<IpAddr> {
    let others = match family {
        Family::V4 => ["127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0"],
        Family::V6 => ["::1", "ff02::1", "ff0e::1", "::"],
    };
    let others = others.into_iter().filter_map(|address| address.parse().ok());
    [HOST.address(family), service(10, PORT, family).ip()]
        .into_iter()
        .chain(others)
        .collect()
}

fn martians() -> Vec<Row> {
    for_each(&[Via::Packet, Via::Uplink], &Protocol::EVERY, |case| {
        let Case {
            family,
            protocol,
            via,
        } = case;
        let service = |pods: &[&'static str]| web(pods).sctp(8080).node_port(NODE_PORT).external_ips(&[VIP]);
        let to = VIP.port(PORT, family);
        let mut sources = martians_of(family);
        if via == Via::Uplink {
            // A land attack. Inside, a load balancer's address may ask itself (3.44).
            sources.push(to.ip());
        }
        let row = Row::new("nothing is forwarded, or let in, for a source that no client can have");
        ["web-2", "web-1"].iter().fold(row, |row, pod| {
            let row = row.state(service(&[pod]));
            sources.iter().fold(row, |row, source| {
                let bytes = packet(protocol, Tcp::Syn, (*source, 4_711).into(), to);
                row.step(enters(via, bytes, Then::Dropped))
            })
        })
    })
}

/// An IPv4 address, disguised as an IPv6 one, at the same port.
fn disguised(at: SocketAddr) -> SocketAddr {
    let address = match at.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED,
    };
    SocketAddrV6::new(address, at.port(), 0, 0).into()
}

/// IPv4-mapped addresses in an IPv6 header, which the kernel drops behind every door: both of them, or only where it goes.
fn mapped() -> Vec<Row> {
    for_each(&[Via::Packet, Via::Uplink], &Protocol::EVERY, |case| {
        let Case {
            family,
            protocol,
            via,
        } = case;
        let to = disguised(VIP.port(PORT, Family::V4));
        let sources: &[&str] = match family {
            Family::V4 => &["::ffff:192.0.2.77", "::ffff:255.0.0.1"],
            Family::V6 => &["2001:db8::77"],
        };
        let sources = sources.iter().filter_map(|source| source.parse::<IpAddr>().ok());
        let row = Row::new("an IPv4 address in an IPv6 header is no service's").state(
            web(&["web-2"])
                .sctp(8080)
                .node_port(NODE_PORT)
                .external_ips(&[VIP]),
        );
        sources.fold(row, |row, source| {
            let bytes = packet(protocol, Tcp::Syn, (source, 4_711).into(), to);
            row.step(enters(via, bytes, Then::Untouched))
        })
    })
}

/// The client's address is a service's too: what its backend answers looks like a request.
fn answers() -> Vec<Row> {
    for_each(&[Via::Uplink], &Protocol::EVERY, |case| {
        let Case { family, protocol, .. } = case;
        let (client, asked) = (OTHER_VIP.port(PORT, family), VIP.port(PORT, family));
        let pod = (Pod::named("web-1").address(family), 8080).into();
        let arrives = |kind| {
            let bytes = packet(protocol, kind, client, asked);
            enters(Via::Uplink, bytes, reaches(&["web-1"]))
        };
        let answers = |kind| {
            enters(
                Via::Packet,
                packet(protocol, kind, pod, client),
                Then::LeavesFrom(asked),
            )
        };
        Row::new("an answer to a client with a service's address is no request")
            .state(
                web(&["web-1"])
                    .sctp(8080)
                    .node_port(NODE_PORT)
                    .external_ips(&[VIP, OTHER_VIP]),
            )
            .step(arrives(Tcp::Syn))
            .step(answers(Tcp::SynAck))
            .step(arrives(Tcp::Ack))
            .step(answers(Tcp::Ack))
            .step(arrives(Tcp::Ack))
    })
}
