//! What is not forwarded, and what is forwarded as it is: hops, sizes, headers.

use kproxy_common::Family;
use kproxy_ebpf::packet::BY_FRAGS;

use super::super::{Case, Talk, reaches};
use super::uplink;
use crate::acceptance::row::{Arrival, Dress, Row, Then};
use crate::acceptance::state::{Protocol, web};
use crate::acceptance::uplink::{MTU, NARROW};
use crate::acceptance::world::{OUTSIDE, Vip};
use crate::host::frame::{Frame, Tcp, Transport};

const NODE_PORT: u16 = 30_182;

pub(super) fn rows() -> Vec<Row> {
    [hops(), sizes(), headers()].concat()
}

fn at_node(case: Case, port: u16) -> Talk {
    case.talk(port).at(Vip::Node.port(NODE_PORT, case.family))
}

fn hops() -> Vec<Row> {
    let all = [
        uplink(&Protocol::EVERY, |case| {
            let service = web(&["web-2"]).sctp(8080).node_port(NODE_PORT);
            Row::new("a packet whose hops are used up ends at the node, and says so")
                .state(service)
                .step(at_node(case, 41_000).hops(1).opens(case.protocol, Then::Expired))
                .step(
                    at_node(case, 41_001)
                        .hops(2)
                        .opens(case.protocol, reaches(&["web-2"])),
                )
                .step(
                    at_node(case, 41_001)
                        .hops(1)
                        .goes_on(case.protocol, Then::Expired),
                )
                .step(at_node(case, 41_001).goes_on(case.protocol, Then::ReachesSame))
        }),
        uplink(&Protocol::EVERY, |case| {
            Row::new("to a backend here the node is no router")
                .state(web(&["web-1"]).sctp(8080).node_port(NODE_PORT))
                .step(
                    at_node(case, 41_002)
                        .hops(1)
                        .opens(case.protocol, reaches(&["web-1"])),
                )
        }),
    ];
    all.concat()
}

/// What goes before the payload: the network's header and the transport's.
fn headers_of(case: Case) -> usize {
    let network = match case.family {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    network
        + match case.protocol {
            Protocol::Udp => 8,
            // SCTP's with its chunk's.
            Protocol::Tcp | Protocol::Sctp => 20,
        }
}

fn usize_of(mtu: u32) -> usize {
    usize::try_from(mtu).unwrap_or(usize::MAX)
}

fn sizes() -> Vec<Row> {
    let all = [
        uplink(&Protocol::EVERY, |case| {
            let (pod, mtu) = NARROW;
            let fits = usize_of(mtu) - headers_of(case);
            let talk = at_node(case, 41_010);
            Row::new("3.09 what does not fit on its way comes back with the size that does, and no byte less is refused (story G58)")
                .state(web(&[pod]).sctp(8080).node_port(NODE_PORT))
                .step(talk.opens(case.protocol, reaches(&[pod])))
                .step(talk.is_opened(case.protocol))
                .step(talk.clone().payload(fits + 1).goes_on(case.protocol, Then::TooBig(mtu)))
                .step(talk.clone().payload(fits).goes_on(case.protocol, Then::ReachesSame))
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
        }),
        uplink(&[Protocol::Udp], |case| {
            let (pod, mtu) = NARROW;
            let fits = usize_of(mtu) - headers_of(case);
            Row::new("3.09 a first datagram that does not fit begins nothing that lasts")
                .state(web(&[pod]).node_port(NODE_PORT))
                .step(
                    at_node(case, 41_011)
                        .payload(fits + 1)
                        .datagram(Then::TooBig(mtu)),
                )
                .step(at_node(case, 41_011).payload(fits).datagram(reaches(&[pod])))
        }),
        uplink(&[Protocol::Tcp], |case| {
            let (pod, mtu) = NARROW;
            let narrow = mtu - u32::try_from(headers_of(case)).unwrap_or(0);
            let wide = MTU - u32::try_from(headers_of(case)).unwrap_or(0);
            let many = |segment_size: u32, then| Arrival {
                bytes: Frame::new(
                    (OUTSIDE.address(case.family), 41_012).into(),
                    Vip::Node.port(NODE_PORT, case.family),
                    Transport::Tcp(Tcp::Ack),
                )
                .payload(&[0x5a; 3_000])
                .bytes()
                .unwrap_or_default(),
                segment_size,
                then,
            };
            let talk = at_node(case, 41_012);
            Row::new("3.09 many packets in one are as long as each of them will be (story G59)")
                .state(web(&[pod]).node_port(NODE_PORT))
                .step(talk.sends(Tcp::Syn, reaches(&[pod])))
                .step(talk.answers(Tcp::SynAck))
                .step(many(narrow, reaches(&[pod])))
                .step(many(narrow + 1, Then::TooBig(mtu)))
                .step(many(wide, Then::TooBig(mtu)))
                .step(many(1_000, reaches(&[pod])))
        }),
        uplink(&[Protocol::Sctp], |case| {
            let (pod, _) = NARROW;
            let many = |chunk, then| Arrival {
                bytes: Frame::new(
                    (OUTSIDE.address(case.family), 41_013).into(),
                    Vip::Node.port(NODE_PORT, case.family),
                    Transport::Sctp(chunk),
                )
                .payload(&[0x5a; 3_000])
                .bytes()
                .unwrap_or_default(),
                segment_size: BY_FRAGS,
                then,
            };
            let talk = at_node(case, 41_013);
            Row::new("3.09 many packets in one that their sender has cut are none too big")
                .state(web(&[pod]).sctp(8080).node_port(NODE_PORT))
                .step(talk.opens(case.protocol, reaches(&[pod])))
                .step(talk.is_opened(case.protocol))
                .step(many(Tcp::Ack, reaches(&[pod])))
        }),
    ];
    all.concat()
}

fn headers() -> Vec<Row> {
    let mut rows = uplink(&Protocol::EVERY, |case| {
        let talk = at_node(case, 41_020).dress(Dress::Options);
        Row::new("IPv4 options and IPv6 extension headers are carried along, past the stack")
            .state(web(&["web-2"]).sctp(8080).node_port(NODE_PORT))
            .step(talk.opens(case.protocol, reaches(&["web-2"])))
            .step(talk.is_opened(case.protocol))
            .step(talk.goes_on(case.protocol, Then::ReachesSame))
    });
    rows.extend(uplink(&[Protocol::Tcp], |case| {
        let talk = at_node(case, 41_021).dress(Dress::TcpOptions);
        Row::new("TCP options are carried along, past the stack")
            .state(web(&["web-2"]).node_port(NODE_PORT))
            .step(talk.opens(case.protocol, reaches(&["web-2"])))
            .step(talk.is_opened(case.protocol))
            .step(talk.goes_on(case.protocol, Then::ReachesSame))
    }));
    rows
}
