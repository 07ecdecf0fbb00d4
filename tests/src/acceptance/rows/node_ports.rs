//! `NodePorts` (semantics 3.02, 3.03, 3.14 to 3.30, 3.38, 4b).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use kproxy_common::Family;

use super::{for_all, for_each, for_every, reaches};
use crate::acceptance::row::{Expect, Row, Step, Then, Via};
use crate::acceptance::service::Service;
use crate::acceptance::state::{Protocol, State, shop, web};
use crate::acceptance::world::{HOST, NODES, Pod, SERVED, Vip};
use crate::host::frame::{Frame, Tcp, Transport};

const NODE_PORT: u16 = 30_080;
const THREE: [&str; 3] = ["web-1", "web-2", "web-3"];

pub(super) fn rows() -> Vec<Row> {
    [requests(), policies(), loopback(), neighbours(), flows()].concat()
}

fn node_port(service: Service) -> Service {
    service.node_port(NODE_PORT)
}

fn at_node(family: Family) -> SocketAddr {
    Vip::Node.port(NODE_PORT, family)
}

fn requests() -> Vec<Row> {
    let all = [
        for_every(|case| {
            Row::new("3.03 a NodePort answers under the node's address, to pods and to the node")
                .state(node_port(web(&["web-1", "web-2"])))
                .step(
                    case.ask()
                        .to(at_node(case.family))
                        .times(10)
                        .by(&["web-1", "web-2"]),
                )
                .step(
                    case.ask()
                        .to(at_node(case.family))
                        .kept("a")
                        .times(5)
                        .expect(Expect::Same),
                )
        }),
        for_every(|case| {
            let pods = THREE.to_vec();
            Row::new("8.01, 8.06 requests to a NodePort spread fairly")
                .state(node_port(web(&THREE)))
                .step(
                    case.ask()
                        .to(at_node(case.family))
                        .times(300)
                        .expect(Expect::Spread(pods)),
                )
        }),
        for_each(&Via::EVERY, &[Protocol::Udp], |case| {
            Row::new("3.03 a NodePort answers a sendto socket")
                .state(node_port(web(&["web-2"])))
                .step(
                    case.ask()
                        .to(at_node(case.family))
                        .sendto()
                        .kept("a")
                        .times(5)
                        .by(&["web-2"]),
                )
        }),
        for_every(|case| {
            Row::new("4.05 a NodePort without pods refuses, and serves once there are some (4.06)")
                .state(node_port(web(&[])))
                .step(
                    case.ask()
                        .to(at_node(case.family))
                        .times(3)
                        .expect(Expect::Refused),
                )
                .state(node_port(web(&["web-2"])))
                .step(case.ask().to(at_node(case.family)).times(3).by(&["web-2"]))
                .state(node_port(web(&[])))
                .step(case.ask().to(at_node(case.family)).expect(Expect::Refused))
        }),
        for_all(|case| {
            let client = case.via.client();
            Row::new("5.06 a client may be its own backend through a NodePort")
                .state(node_port(web(&[client])))
                .step(case.ask().to(at_node(case.family)).times(3).by(&[client]))
                .step(
                    case.ask()
                        .to(at_node(case.family))
                        .kept("a")
                        .times(5)
                        .by(&[client]),
                )
        }),
        for_every(|case| {
            Row::new("1.28 a NodePort that changes is gone, and is served where it is now")
                .state(node_port(web(&["web-1"])))
                .step(case.ask().to(at_node(case.family)).by(&["web-1"]))
                .state(web(&["web-1"]).node_port(NODE_PORT + 1))
                .step(case.ask().to(at_node(case.family)).expect(Expect::Untouched))
                .step(
                    case.ask()
                        .to(Vip::Node.port(NODE_PORT + 1, case.family))
                        .by(&["web-1"]),
                )
                .state(web(&["web-1"]))
                .step(
                    case.ask()
                        .to(Vip::Node.port(NODE_PORT + 1, case.family))
                        .expect(Expect::Untouched),
                )
        }),
    ];
    all.concat()
}

fn policies() -> Vec<Row> {
    let all = [
        for_every(|case| {
            Row::new("3.35, 3.36, 3.38 external policy Local: clients inside use every pod")
                .state(node_port(web(&["web-2", "web-3"]).external_local()))
                .step(
                    case.ask()
                        .to(at_node(case.family))
                        .times(10)
                        .by(&["web-2", "web-3"]),
                )
                .state(node_port(web(&THREE).external_local()))
                .step(
                    case.ask()
                        .to(at_node(case.family))
                        .times(300)
                        .expect(Expect::Spread(THREE.to_vec())),
                )
        }),
        for_every(|case| {
            Row::new("4b external policy Local without any pod refuses")
                .state(node_port(web(&[]).external_local()))
                .step(case.ask().to(at_node(case.family)).expect(Expect::Refused))
        }),
        for_every(|case| {
            let pods = ["web-1", "web-2"];
            Row::new("3.13 the internal policy is the ClusterIP's alone, the external one is not")
                .state(node_port(web(&pods).local().external_local()))
                .step(case.ask().times(10).by(&["web-1"]))
                .step(
                    case.ask()
                        .to(at_node(case.family))
                        .times(200)
                        .expect(Expect::Spread(pods.to_vec())),
                )
                .state(node_port(web(&["web-2"]).local()))
                .step(case.ask().expect(case.dropped()))
                .step(case.ask().to(at_node(case.family)).by(&["web-2"]))
        }),
        for_every(|case| {
            Row::new("2.23 pods that shut down serve a NodePort when no other is left")
                .state(node_port(web(&[]).terminating(&["web-1", "web-2"])))
                .step(
                    case.ask()
                        .to(at_node(case.family))
                        .times(10)
                        .by(&["web-1", "web-2"]),
                )
        }),
    ];
    all.concat()
}

fn loopback() -> Vec<Row> {
    let mut rows = for_each(&[Via::Node], &Protocol::ALL, |case| {
        let loopback = at_loopback(case.family);
        Row::new("3.27, 3.29, 3.30 a NodePort answers the node under its loopback address (story K92)")
            .state(node_port(web(&["web-1", "web-2"]).external_local()))
            .step(case.ask().to(loopback).times(10).by(&["web-1", "web-2"]))
            .step(case.ask().to(loopback).kept("a").times(5).expect(Expect::Same))
            .state(node_port(web(&[])))
            .step(case.ask().to(loopback).expect(Expect::Refused))
            .state(web(&["web-1"]))
            .step(case.ask().to(loopback).expect(Expect::Untouched))
    });
    rows.extend(for_each(&[Via::Node], &[Protocol::Udp], |case| {
        Row::new("3.27 a NodePort answers a sendto socket of the node under its loopback address")
            .state(node_port(web(&["web-1"])))
            .step(
                case.ask()
                    .to(at_loopback(case.family))
                    .sendto()
                    .kept("a")
                    .times(5)
                    .by(&["web-1"]),
            )
    }));
    rows.extend(for_each(&[Via::Socket], &Protocol::ALL, |case| {
        Row::new("3.05 a pod's loopback addresses are its own")
            .state(node_port(web(&["web-1"])))
            .step(case.ask().to(at_loopback(case.family)).expect(Expect::Untouched))
    }));
    rows
}

fn at_loopback(family: Family) -> SocketAddr {
    let address: IpAddr = match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    };
    (address, NODE_PORT).into()
}

fn neighbours() -> Vec<Row> {
    let all = [
        for_every(|case| {
            Row::new("3.02, 3.32 an external address that is the node's comes before a NodePort")
                .state(State::of([
                    node_port(web(&["web-1"])),
                    shop(&["web-2"]).port(NODE_PORT, 8080).external_ips(&[Vip::Node]),
                ]))
                .step(case.ask().to(at_node(case.family)).times(5).by(&["web-2"]))
                .state(node_port(web(&["web-1"])))
                .step(case.ask().to(at_node(case.family)).times(5).by(&["web-1"]))
        }),
        for_every(|case| {
            Row::new("4.14 other ports of the node are left alone")
                .state(node_port(web(&["web-1"])))
                .step(
                    case.ask()
                        .to(Vip::Node.port(NODE_PORT + 1, case.family))
                        .expect(Expect::Untouched),
                )
                .step(
                    case.ask()
                        .to(Vip::Node.port(SERVED[0], case.family))
                        .by(&[HOST.name]),
                )
        }),
        for_every(|case| {
            let other = match case.protocol {
                Protocol::Tcp => Protocol::Udp,
                Protocol::Udp | Protocol::Sctp => Protocol::Tcp,
            };
            Row::new("1.12 a NodePort of another protocol is left alone")
                .state(node_port(web(&["web-1"]).only(other)))
                .step(case.ask().to(at_node(case.family)).expect(Expect::Untouched))
        }),
        for_every(|case| {
            let elsewhere = (NODES[1].address(case.family), NODE_PORT).into();
            Row::new("3.25, 4.05 an address of another node is left alone")
                .state(node_port(web(&[])))
                .step(case.ask().to(elsewhere).expect(Expect::Untouched))
        }),
    ];
    all.concat()
}

fn flows() -> Vec<Row> {
    let packets = [Via::Packet];
    let all = [
        for_each(&packets, &[Protocol::Tcp], |case| {
            let talk = case.talk(25_200).at(at_node(case.family));
            Row::new("3.05 a connection to the node that is older than the NodePort goes on")
                .state(node_port(web(&["web-1"])))
                .step(talk.sends(Tcp::Ack, Then::Untouched))
                .step(talk.sends(Tcp::Fin, Then::Untouched))
                .step(talk.sends(Tcp::Rst, Then::Untouched))
                .step(talk.sends(Tcp::SynAck, Then::Untouched))
                .step(talk.sends(Tcp::Syn, reaches(&["web-1"])))
                .step(talk.answers(Tcp::SynAck))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
                .step(talk.answers(Tcp::Ack))
        }),
        for_each(&packets, &[Protocol::Tcp], |case| {
            let talk = case.talk(25_201).at(at_node(case.family));
            Row::new("3.05 an older connection is no NodePort's even without pods")
                .state(node_port(web(&[])))
                .step(talk.sends(Tcp::Ack, Then::Untouched))
                .step(talk.sends(Tcp::Rst, Then::Untouched))
                .step(talk.sends(Tcp::Syn, Then::Unreachable))
        }),
        for_each(&packets, &Protocol::ALL, |case| {
            let talk = case.talk(25_202).at(at_node(case.family));
            Row::new("3.08, 4.02 a flow through a NodePort stays when the NodePort goes")
                .state(node_port(web(&["web-1"])))
                .step(talk.opens(case.protocol, reaches(&["web-1"])))
                .step(talk.is_opened(case.protocol))
                .state(web(&["web-1"]))
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
                .step(talk.is_opened(case.protocol))
        }),
        for_each(&packets, &[Protocol::Tcp], |case| {
            let talk = case.talk(25_203).at(at_node(case.family));
            Row::new("4.02 a connection through a NodePort stays when its last pod leaves")
                .state(node_port(web(&["web-1"])))
                .step(talk.sends(Tcp::Syn, reaches(&["web-1"])))
                .step(talk.answers(Tcp::SynAck))
                .state(node_port(web(&[])))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
                .step(
                    case.talk(25_204)
                        .at(at_node(case.family))
                        .sends(Tcp::Syn, Then::Unreachable),
                )
        }),
        for_each(&packets, &Protocol::ALL, |case| {
            let pod: SocketAddr = (Pod::named("client").address(case.family), 8080).into();
            let host: SocketAddr = (HOST.address(case.family), NODE_PORT + 7).into();
            let transport = match case.protocol {
                Protocol::Tcp => Transport::Tcp(Tcp::SynAck),
                Protocol::Udp | Protocol::Sctp => Transport::Udp,
            };
            let bytes = Frame::new(pod, host, transport).payload(b"answer").bytes();
            Row::new("3.05 what a pod answers the node is left alone")
                .state(node_port(web(&["web-1"])))
                .step(Step::Bystander(bytes.unwrap_or_default()))
        }),
    ];
    all.concat()
}
