//! Flows through the node to backends elsewhere, packet by packet: what a port means, and what ends or outlives what.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::{Case, Talk, reaches};
use super::uplink;
use crate::acceptance::row::{Dress, Expect, Kind, Row, Side, Step, Then};
use crate::acceptance::state::{PORT, Protocol, State, shop, web};
use crate::acceptance::world::{HOST, OUTSIDERS, Pod, Vip};
use crate::host::frame::Tcp;

const NODE_PORT: u16 = 30_181;
const THREE: [&str; 3] = ["web-1", "web-2", "web-3"];
const ELSEWHERE: [&str; 2] = ["web-2", "web-3"];
const HOUR: Duration = Duration::from_hours(1);
/// Longer than a connection is remembered (`Settings::DEFAULT.tcp_idle`).
const LONG: Duration = Duration::from_secs(86_401);

pub(super) fn rows() -> Vec<Row> {
    [ports(), own(), beginnings(), lives(), policies()].concat()
}

fn at_node(case: Case, port: u16) -> Talk {
    case.talk(port).at(Vip::Node.port(NODE_PORT, case.family))
}

fn by_another_port(pods: &[&'static str]) -> Then {
    Then::ReachesByAnotherPort(pods.to_vec())
}

/// A conversation from its first packet to an answered second.
fn converse(row: Row, talk: &Talk, protocol: Protocol, first: Then) -> Row {
    row.step(talk.opens(protocol, first))
        .step(talk.is_opened(protocol))
        .step(talk.goes_on(protocol, Then::ReachesSame))
        .step(talk.is_opened(protocol))
}

fn ports() -> Vec<Row> {
    let all = [
        uplink(&Protocol::EVERY, |case| {
            let talks = OUTSIDERS.map(|client| at_node(case, 40_000).from(client));
            let row =
                Row::new("5.12 two clients ask one backend elsewhere from one port, and both are served")
                    .state(web(&["web-2"]).sctp(8080).node_port(NODE_PORT));
            let row = converse(row, &talks[0], case.protocol, reaches(&["web-2"]));
            converse(row, &talks[1], case.protocol, by_another_port(&["web-2"]))
                .step(talks[0].goes_on(case.protocol, Then::ReachesSame))
                .step(talks[0].is_opened(case.protocol))
                .step(talks[1].goes_on(case.protocol, Then::ReachesSame))
                .step(talks[1].is_opened(case.protocol))
        }),
        uplink(&Protocol::EVERY, |case| {
            let (one, other) = (Vip::Number(42), Vip::Number(43));
            let talks = [one, other].map(|vip| case.talk(40_001).at(vip.port(PORT, case.family)));
            let row =
                Row::new("5.12 one client port asks two services of one backend elsewhere, and both answer (story G62)").state(
                    State::of([
                        web(&["web-2"]).sctp(8080).external_ips(&[one]),
                        shop(&["web-2"]).sctp(8080).external_ips(&[other]),
                    ]),
                );
            let row = converse(row, &talks[0], case.protocol, reaches(&["web-2"]));
            converse(row, &talks[1], case.protocol, by_another_port(&["web-2"]))
                .step(talks[0].goes_on(case.protocol, Then::ReachesSame))
                .step(talks[0].is_opened(case.protocol))
        }),
        uplink(&Protocol::EVERY, |case| {
            let talk = at_node(case, NODE_PORT);
            let row = Row::new(
                "5.11 a client port that is a NodePort here is not used for the node's own (story B10)",
            )
            .state(web(&["web-2"]).sctp(8080).node_port(NODE_PORT));
            converse(row, &talk, case.protocol, by_another_port(&["web-2"]))
        }),
    ];
    all.concat()
}

/// The node's own sockets know nothing of the ports that it uses for clients.
fn own() -> Vec<Row> {
    let backend = |case: Case| SocketAddr::new(Pod::named("web-2").address(case.family), 8080);
    let all = [
        uplink(&Protocol::EVERY, |case| {
            let client = at_node(case, 40_040);
            let own = |port| case.talk(port).from(HOST).at(backend(case));
            let row = Row::new(
                "5.12 the node itself speaks to a client's backend elsewhere from the client's port, and both are served",
            )
            .state(web(&["web-2"]).sctp(8080).node_port(NODE_PORT));
            let row = converse(row, &client, case.protocol, reaches(&["web-2"]));
            let row = converse(row, &own(40_040), case.protocol, by_another_port(&["web-2"]));
            let row = row
                .step(client.goes_on(case.protocol, Then::ReachesSame))
                .step(client.is_opened(case.protocol))
                .step(own(40_040).goes_on(case.protocol, Then::ReachesSame))
                .step(own(40_040).is_opened(case.protocol))
                // From any other port it is nobody's business.
                .step(own(40_041).opens(case.protocol, Then::Untouched));
            row.state(State::default())
                .step(own(40_040).goes_on(case.protocol, Then::ReachesSame))
                .step(own(40_040).is_opened(case.protocol))
        }),
        uplink(&Protocol::EVERY, |case| {
            // A port by which the node answers as well, so that all its packets are looked at.
            let [served, client] = [40_044, 8080].map(|port| at_node(case, port));
            let served = served.port(NODE_PORT + 1);
            let own = case.talk(8080).from(HOST).at(backend(case));
            let row =
                Row::new("what is sent on for a client is not taken for what the node says from that port")
                    .state(State::of([
                        web(&["web-2"]).sctp(8080).node_port(NODE_PORT),
                        shop(&[HOST.name]).sctp(8080).node_port(NODE_PORT + 1),
                    ]));
            let row = converse(row, &served, case.protocol, reaches(&[HOST.name]));
            let row = converse(row, &client, case.protocol, reaches(&["web-2"]));
            converse(row, &own, case.protocol, by_another_port(&["web-2"]))
                .step(client.goes_on(case.protocol, Then::ReachesSame))
                .step(client.is_opened(case.protocol))
        }),
        uplink(&[Protocol::Tcp], |case| {
            let client = at_node(case, 40_042);
            let own = case.talk(40_042).from(HOST).at(backend(case));
            let row = Row::new("a client's port that is free again is the node's own as it is")
                .state(web(&["web-2"]).node_port(NODE_PORT));
            converse(row, &client, case.protocol, reaches(&["web-2"]))
                .step(client.sends(Tcp::Rst, Then::ReachesSame))
                .step(own.sends(Tcp::Syn, Then::Untouched))
        }),
        uplink(&Protocol::ALL, |case| {
            let asks = case.ask().source_port(18_043);
            Row::new("5.12 sockets of a client and of the node with one port ask one backend elsewhere")
                .state(web(&["web-2"]).node_port(NODE_PORT))
                .step(
                    asks.clone()
                        .to(Vip::Node.port(NODE_PORT, case.family))
                        .kept("the client")
                        .by(&["web-2"]),
                )
                .step(
                    asks.clone()
                        .from(HOST.name)
                        .to(backend(case))
                        .kept("the node")
                        .times(3)
                        .by(&["web-2"]),
                )
                .step(
                    asks.to(Vip::Node.port(NODE_PORT, case.family))
                        .kept("the client")
                        .times(3)
                        .expect(Expect::Same),
                )
        }),
    ];
    all.concat()
}

fn beginnings() -> Vec<Row> {
    let all = [
        uplink(&[Protocol::Tcp, Protocol::Sctp], |case| {
            let talk = at_node(case, 40_010);
            let row = Row::new("8.03 a retransmitted beginning stays with its backend elsewhere (story K94)")
                .state(web(&ELSEWHERE).sctp(8080).node_port(NODE_PORT))
                .step(talk.opens(case.protocol, reaches(&ELSEWHERE)));
            (0..20).fold(row, |row, _| {
                row.step(talk.opens(case.protocol, Then::ReachesSame))
            })
        }),
        uplink(&[Protocol::Tcp], |case| {
            let talk = at_node(case, 40_011);
            Row::new("3.05 the middle of a connection to the node itself is left alone")
                .state(web(&ELSEWHERE).node_port(NODE_PORT))
                .step(talk.sends(Tcp::Ack, Then::Untouched))
                .step(talk.sends(Tcp::Fin, Then::Untouched))
                .step(talk.sends(Tcp::Rst, Then::Untouched))
                .step(talk.sends(Tcp::SynAck, Then::Untouched))
                .step(talk.sends(Tcp::Syn, reaches(&ELSEWHERE)))
        }),
        uplink(&[Protocol::Tcp], |case| {
            let talk = at_node(case, 40_012);
            let row =
                Row::new("a port is used again right after both sides are done, towards another backend")
                    .state(web(&["web-2"]).node_port(NODE_PORT));
            converse(row, &talk, case.protocol, reaches(&["web-2"]))
                .step(talk.sends(Tcp::Fin, Then::ReachesSame))
                .step(talk.answers(Tcp::Fin))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
                .step(talk.sends(Tcp::Syn, reaches(&["web-2"])))
                .step(talk.answers(Tcp::SynAck))
                .step(talk.sends(Tcp::Fin, Then::ReachesSame))
                .step(talk.answers(Tcp::Fin))
                .state(web(&["web-3"]).node_port(NODE_PORT))
                .step(talk.sends(Tcp::Syn, reaches(&["web-3"])))
                .step(talk.answers(Tcp::SynAck))
        }),
        uplink(&[Protocol::Tcp], |case| {
            let talk = at_node(case, 40_013);
            let row = Row::new("a port is used again right after a reset, towards another backend")
                .state(web(&["web-2"]).node_port(NODE_PORT));
            converse(row, &talk, case.protocol, reaches(&["web-2"]))
                .step(talk.sends(Tcp::Rst, Then::ReachesSame))
                .state(web(&["web-3"]).node_port(NODE_PORT))
                .step(talk.sends(Tcp::Syn, reaches(&["web-3"])))
                .step(talk.answers(Tcp::SynAck))
        }),
        uplink(&[Protocol::Tcp], |case| {
            let talk = at_node(case, 40_014);
            Row::new("a reset of a backend elsewhere reaches the client, and the next try starts anew")
                .state(web(&["web-2"]).node_port(NODE_PORT))
                .step(talk.sends(Tcp::Syn, reaches(&["web-2"])))
                .step(talk.answers(Tcp::Rst))
                .state(web(&["web-3"]).node_port(NODE_PORT))
                .step(talk.sends(Tcp::Syn, reaches(&["web-3"])))
                .step(talk.answers(Tcp::SynAck))
        }),
    ];
    all.concat()
}

/// Connections that are silent for so long, and live on; and such as are forgotten, since nothing was heard for so long.
#[must_use]
pub fn silent(short: Duration, long: Duration) -> Vec<Row> {
    let all = [
        uplink(&[Protocol::Tcp], |case| {
            let talk = at_node(case, 40_020);
            let row = Row::new("a half-closed connection that is idle for an hour goes on")
                .state(web(&["web-2"]).node_port(NODE_PORT));
            converse(row, &talk, case.protocol, reaches(&["web-2"]))
                .step(talk.sends(Tcp::Fin, Then::ReachesSame))
                .step(talk.answers(Tcp::Ack))
                .step(Step::Wait(short))
                .step(talk.answers(Tcp::Ack))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
                .step(talk.answers(Tcp::Fin))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
        }),
        uplink(&[Protocol::Tcp, Protocol::Sctp], |case| {
            let talk = at_node(case, 40_024);
            let row = Row::new("a connection that was silent for longer than a day is forgotten")
                .state(web(&["web-2"]).sctp(8080).node_port(NODE_PORT));
            converse(row, &talk, case.protocol, reaches(&["web-2"]))
                .state(
                    web(&["web-3"])
                        .terminating(&["web-2"])
                        .sctp(8080)
                        .node_port(NODE_PORT),
                )
                .step(Step::Wait(short))
                .step(talk.opens(case.protocol, Then::ReachesSame))
                .step(Step::Wait(long))
                .step(talk.opens(case.protocol, reaches(&["web-3"])))
                .step(talk.is_opened(case.protocol))
        }),
    ];
    all.concat()
}

fn lives() -> Vec<Row> {
    let all = [
        silent(HOUR, LONG),
        uplink(&[Protocol::Tcp, Protocol::Sctp], |case| {
            let talk = at_node(case, 40_021);
            let row = Row::new("3.08, 4.02 a connection to a backend elsewhere outlives its service")
                .state(web(&["web-2"]).sctp(8080).node_port(NODE_PORT));
            converse(row, &talk, case.protocol, reaches(&["web-2"]))
                .state(web(&[]).sctp(8080).node_port(NODE_PORT))
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
                .state(State::default())
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
                .step(talk.packet(
                    Side::Server,
                    match case.protocol {
                        Protocol::Tcp => Kind::Tcp(Tcp::Ack),
                        Protocol::Udp | Protocol::Sctp => Kind::Sctp(Tcp::Ack),
                    },
                    Then::IsAnswer,
                ))
        }),
        uplink(&[Protocol::Udp], |case| {
            let talk = at_node(case, 40_022);
            let row = Row::new(
                "7.03, 7.04 datagrams leave a backend elsewhere at once when it is gone (story D27)",
            )
            .state(web(&["web-2"]).node_port(NODE_PORT));
            converse(row, &talk, case.protocol, reaches(&["web-2"]))
                .state(web(&["web-3"]).node_port(NODE_PORT))
                .step(talk.datagram(reaches(&["web-3"])))
                .step(talk.answer())
                .state(web(&[]).node_port(NODE_PORT))
                .step(talk.datagram(Then::Unreachable))
                .state(web(&["web-2"]).node_port(NODE_PORT))
                .step(talk.datagram(reaches(&["web-2"])))
                .step(talk.answer())
        }),
        uplink(&[Protocol::Udp], |case| {
            let talk = at_node(case, 40_023).dress(Dress::NoChecksum);
            let row = Row::new("a datagram without checksum stays without, past the stack (story I78)")
                .state(web(&["web-2"]).node_port(NODE_PORT));
            converse(row, &talk, case.protocol, reaches(&["web-2"]))
        }),
    ];
    let mut rows = all.concat();
    // UDP over IPv6 has a checksum, always (RFC 8200 section 8.1).
    rows.retain(|row| !row.name.starts_with("a datagram without checksum") || row.name.contains("IPv4"));
    rows
}

fn policies() -> Vec<Row> {
    let all = [
        uplink(&Protocol::EVERY, |case| {
            let talk = at_node(case, 40_030);
            let later = at_node(case, 40_031);
            let row = Row::new("4.02 external policy Local: a flow goes on when the last pod here is gone (stories F48, F49)")
                .state(web(&THREE).sctp(8080).node_port(NODE_PORT).external_local());
            let row = converse(row, &talk, case.protocol, reaches(&["web-1"]));
            let row = row
                .state(
                    web(&ELSEWHERE)
                        .terminating(&["web-1"])
                        .sctp(8080)
                        .node_port(NODE_PORT)
                        .external_local(),
                )
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
                .step(later.opens(case.protocol, reaches(&["web-1"])))
                .state(web(&ELSEWHERE).sctp(8080).node_port(NODE_PORT).external_local());
            let row = match case.protocol {
                Protocol::Tcp | Protocol::Sctp => row.step(talk.goes_on(case.protocol, Then::ReachesSame)),
                Protocol::Udp => row.step(talk.datagram(Then::Dropped)),
            };
            row.step(at_node(case, 40_032).opens(case.protocol, Then::Dropped))
        }),
        uplink(&Protocol::EVERY, |case| {
            let (vip, other) = (Vip::Number(44), Vip::Number(45));
            let talk = |port, vip: Vip| case.talk(port).at(vip.port(PORT, case.family));
            let service = web(&["web-2"])
                .sctp(8080)
                .load_balancer(&[vip])
                .external_ips(&[other]);
            let [allowed, refused] = OUTSIDERS;
            Row::new("3.40, 3.41 source ranges are held against the client, whatever becomes of its address (story F53)")
                .state(service.source_ranges(&["172.30.0.100/32", "fd30::64/128"]))
                .step(talk(40_033, vip).from(allowed).opens(case.protocol, reaches(&["web-2"])))
                .step(talk(40_033, vip).from(refused).opens(case.protocol, Then::Dropped))
                .step(talk(40_034, other).from(refused).opens(case.protocol, reaches(&["web-2"])))
        }),
    ];
    all.concat()
}
