//! What users of other implementations complain about, where no other row tells it.

use std::time::Duration;

use super::super::{Case, Talk, reaches};
use super::uplink;
use crate::acceptance::row::{Arrival, Half, Kind, Packet, Row, Side, Step, Then};
use crate::acceptance::state::{PORT, Protocol, State, web};
use crate::acceptance::world::{OUTSIDE, Vip};
use crate::host::extensions;
use crate::host::frame::{Frame, Tcp, Transport};

const NODE_PORT: u16 = 30_184;

pub(super) fn rows() -> Vec<Row> {
    [ports(), evictions(), datagrams(), extension_headers()].concat()
}

fn at_node(case: Case, port: u16) -> Talk {
    case.talk(port).at(Vip::Node.port(NODE_PORT, case.family))
}

fn answers(talk: &Talk, protocol: Protocol) -> Packet {
    let kind = match protocol {
        Protocol::Tcp => Kind::Tcp(Tcp::Ack),
        Protocol::Udp => Kind::Udp,
        Protocol::Sctp => Kind::Sctp(Tcp::Ack),
    };
    talk.packet(Side::Server, kind, Then::IsAnswer)
}

fn ports() -> Vec<Row> {
    let all = [
        uplink(&[Protocol::Udp], |case| {
            let talk = at_node(case, 53);
            Row::new("5.11 a peer that insists on its port keeps it (story B14)")
                .state(web(&["web-2"]).node_port(NODE_PORT))
                .step(talk.datagram(reaches(&["web-2"])))
                .step(talk.answer())
                .step(talk.datagram(Then::ReachesSame))
        }),
        uplink(&[Protocol::Udp], |case| {
            Row::new("1.12 the same NodePort of another protocol is the node's own (story K95)")
                .state(web(&["web-2"]).only(Protocol::Tcp).node_port(NODE_PORT))
                .step(at_node(case, 42_001).datagram(Then::Untouched))
                .step(at_node(case, 42_001).sends(Tcp::Syn, reaches(&["web-2"])))
        }),
        uplink(&[Protocol::Tcp], |case| {
            let vip = Vip::Number(49);
            let talk = case.talk(42_002).at(vip.port(PORT, case.family));
            Row::new("3.32 an external address that is the node's comes before a NodePort, for clients outside (story F55)")
                .state(State::from(
                    web(&["web-2"])
                        .node_port(NODE_PORT)
                        .external_ips(&[vip, Vip::Node]),
                ))
                .step(talk.sends(Tcp::Syn, reaches(&["web-2"])))
                .step(talk.answers(Tcp::SynAck))
                .step(case.talk(42_003).at(Vip::Node.port(PORT, case.family)).sends(Tcp::Syn, reaches(&["web-2"])))
        }),
    ];
    all.concat()
}

fn evictions() -> Vec<Row> {
    let all = [
        uplink(&Protocol::EVERY, |case| {
            let talk = at_node(case, 42_010);
            Row::new("an answer is translated when the entry for requests is lost (story B16)")
                .state(web(&["web-2"]).sctp(8080).node_port(NODE_PORT))
                .step(talk.opens(case.protocol, reaches(&["web-2"])))
                .step(Step::Evict(Half::Requests))
                .step(talk.is_opened(case.protocol))
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
                .step(answers(&talk, case.protocol))
        }),
        uplink(&Protocol::EVERY, |case| {
            let talk = at_node(case, 42_011);
            Row::new("a request restores the entry for answers that is lost (story B16)")
                .state(web(&["web-2"]).sctp(8080).node_port(NODE_PORT))
                .step(talk.opens(case.protocol, reaches(&["web-2"])))
                .step(talk.is_opened(case.protocol))
                .step(Step::Wait(Duration::from_secs(2)))
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
                .step(Step::Evict(Half::Answers))
                .step(Step::Wait(Duration::from_secs(2)))
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
                .step(answers(&talk, case.protocol))
        }),
    ];
    all.concat()
}

fn datagrams() -> Vec<Row> {
    let all = [
        uplink(&[Protocol::Udp], |case| {
            let talk = at_node(case, 42_020);
            Row::new("7.09 datagrams of a deleted service end with it (stories D28, D34)")
                .state(web(&["web-2"]).node_port(NODE_PORT))
                .step(talk.datagram(reaches(&["web-2"])))
                .step(talk.answer())
                .state(State::default())
                .step(talk.datagram(Then::Untouched))
                .state(web(&["web-3"]).node_port(NODE_PORT))
                .step(talk.datagram(reaches(&["web-3"])))
                .step(talk.answer())
        }),
        uplink(&[Protocol::Udp], |case| {
            let talk = at_node(case, 42_021);
            Row::new("7.08 datagrams follow a target port that changes (story D29)")
                .state(web(&["web-2"]).node_port(NODE_PORT))
                .step(talk.datagram(reaches(&["web-2"])))
                .step(talk.answer())
                .state(web(&["web-2"]).target(8081).node_port(NODE_PORT))
                .step(talk.datagram(reaches(&["web-2"])))
                .step(talk.answer())
        }),
    ];
    all.concat()
}

/// What has segments left to visit is addressed to somebody else, and its checksums are about his address.
fn extension_headers() -> Vec<Row> {
    let rows = uplink(&Protocol::ALL, |case| {
        let transport = match case.protocol {
            Protocol::Tcp => Transport::Tcp(Tcp::Syn),
            Protocol::Udp | Protocol::Sctp => Transport::Udp,
        };
        let client = (OUTSIDE.address(case.family), 42_030).into();
        let row = Row::new("IPv6 packets with segments left are passed untouched").state(
            web(&["web-2"])
                .node_port(NODE_PORT)
                .external_ips(&[Vip::Number(49)]),
        );
        let targets = [
            Vip::Node.port(NODE_PORT, case.family),
            Vip::Number(49).port(PORT, case.family),
        ];
        targets.into_iter().fold(row, |row, to| {
            let mut bytes = Frame::new(client, to, transport).bytes().unwrap_or_default();
            extensions::insert(&mut bytes, &[(43, vec![0, 0, 4, 1, 0, 0, 0, 0])]);
            row.step(Arrival {
                bytes,
                segment_size: 0,
                then: Then::Untouched,
            })
        })
    });
    rows.into_iter()
        .filter(|row| row.name.contains("IPv6 TCP") || row.name.contains("IPv6 UDP"))
        .collect()
}
