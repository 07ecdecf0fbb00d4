//! Requests of clients outside, with the answers to them: who answers, and as whom it sees the client.

use std::time::Duration;

use super::super::Case;
use super::uplink;
use crate::acceptance::row::{Ask, Expect, Row, Source, Step};
use crate::acceptance::service::Service;
use crate::acceptance::state::{PORT, Protocol, State, WEB, shop, web};
use crate::acceptance::world::{OTHER_NODE, OUTSIDERS, Vip, service};

const NODE_PORT: u16 = 30_183;
const VIP: Vip = Vip::Number(47);
const THREE: [&str; 3] = ["web-1", "web-2", "web-3"];
const AFFINITY: Duration = Duration::from_mins(1);

pub(super) fn rows() -> Vec<Row> {
    [spread(), short_circuit(), affinity(), changes(), vacancies()].concat()
}

fn external(service: Service) -> Service {
    service.node_port(NODE_PORT).load_balancer(&[VIP]).sctp(8080)
}

fn at_vip(case: Case) -> Ask {
    case.ask().to(VIP.port(PORT, case.family))
}

fn at_node(case: Case) -> Ask {
    case.ask().to(Vip::Node.port(NODE_PORT, case.family))
}

/// By a pod, node or client that is not on this node, and that backends elsewhere see as this node.
fn by_way_of(ask: Ask, client: &'static str) -> Ask {
    ask.from(client).seen_as(vec![
        ("web-1", Source::Kept),
        ("web-2", Source::Node),
        ("web-3", Source::Node),
    ])
}

fn spread() -> Vec<Row> {
    let all = [
        uplink(&Protocol::ALL, |case| {
            Row::new("8.01, 8.06 requests from outside spread fairly, over backends here and elsewhere (story F52)")
                .state(external(web(&THREE)))
                .step(at_vip(case).times(300).expect(Expect::Spread(THREE.to_vec())))
                .step(at_node(case).times(300).expect(Expect::Spread(THREE.to_vec())))
        }),
        uplink(&Protocol::ALL, |case| {
            Row::new("3.08 a connection from outside stays with its backend")
                .state(external(web(&THREE)))
                .step(at_vip(case).kept("a").times(10).expect(Expect::Same))
                .step(at_node(case).kept("b").times(10).expect(Expect::Same))
        }),
        uplink(&[Protocol::Udp], |case| {
            Row::new("3.08 a sendto socket outside speaks with two services in turn")
                .state(State::of([
                    web(&["web-2"]).external_ips(&[VIP]),
                    shop(&["web-2", "web-1"]).external_ips(&[Vip::Number(48)]),
                ]))
                .step(Step::Alternate {
                    ask: at_vip(case).sendto().by(&["web-1", "web-2"]),
                    to: [VIP, Vip::Number(48)].map(|vip| vip.port(PORT, case.family)),
                })
        }),
        uplink(&Protocol::ALL, |case| {
            let outsiders = OUTSIDERS.map(|client| client.name);
            let row = Row::new("5.12 clients outside do not meet, from whatever ports they ask")
                .state(external(web(&["web-2", "web-3"])));
            outsiders.iter().fold(row, |row, client| {
                row.step(
                    by_way_of(at_node(case), client)
                        .source_port(20_100)
                        .by(&["web-2", "web-3"]),
                )
            })
        }),
    ];
    all.concat()
}

/// Who is inside is served by every backend, by whatever door.
fn short_circuit() -> Vec<Row> {
    let all = [
        uplink(&Protocol::EVERY, |case| {
            Row::new("3.35, 5.18 external policy Local: a pod elsewhere that comes by the uplink is inside")
                .state(external(web(&["web-2"])).external_local())
                .step(by_way_of(at_vip(case), "web-3").times(3).by(&["web-2"]))
                .step(by_way_of(at_node(case), "web-3").times(3).by(&["web-2"]))
                .step(at_vip(case).expect(Expect::Silence))
                .step(at_node(case).expect(Expect::Silence))
        }),
        uplink(&Protocol::EVERY, |case| {
            Row::new("3.38, 5.18 external policy Local: another node is judged by the address it comes from")
                .state(external(web(&["web-2"])).external_local())
                .step(by_way_of(at_node(case), OTHER_NODE).expect(Expect::Silence))
                .state(external(web(&["web-1", "web-2"])).external_local())
                .step(by_way_of(at_node(case), OTHER_NODE).times(5).by(&["web-1"]))
        }),
        uplink(&Protocol::EVERY, |case| {
            Row::new("5.06 a pod elsewhere may be its own backend (story K91)")
                .state(external(web(&["web-2"])))
                .step(by_way_of(at_node(case), "web-2").times(3).by(&["web-2"]))
                .step(by_way_of(at_vip(case), "web-2").times(3).by(&["web-2"]))
        }),
    ];
    all.concat()
}

fn affinity() -> Vec<Row> {
    let all = [
        uplink(&Protocol::ALL, |case| {
            Row::new("6.01, 6.02 a client outside stays with its backend, at every address of the service")
                .state(external(web(&THREE)).affinity(AFFINITY))
                .step(at_vip(case).times(10).expect(Expect::One("a")))
                .step(at_node(case).times(10).expect(Expect::One("a")))
                .step(case.ask().times(10).expect(Expect::One("a")))
        }),
        uplink(&Protocol::ALL, |case| {
            Row::new("6.05 external policy Local: what a client outside remembers must be here")
                .state(external(web(&["web-2", "web-3"])).affinity(AFFINITY))
                .step(at_vip(case).times(5).by(&["web-2", "web-3"]))
                .state(external(web(&THREE)).affinity(AFFINITY).external_local())
                .step(at_vip(case).times(5).by(&["web-1"]))
        }),
    ];
    all.concat()
}

fn changes() -> Vec<Row> {
    let all = [
        uplink(&Protocol::EVERY, |case| {
            Row::new("4.06, 4.05 from no backends to some and back, for clients outside (story D36)")
                .state(external(web(&[])))
                .step(at_vip(case).expect(Expect::Refused))
                .step(at_node(case).expect(Expect::Refused))
                .state(external(web(&["web-2"])))
                .step(at_vip(case).by(&["web-2"]))
                .step(at_node(case).by(&["web-2"]))
                .state(external(web(&[])))
                .step(at_node(case).expect(Expect::Refused))
        }),
        uplink(&Protocol::ALL, |case| {
            Row::new("3.47, 3.46 source ranges, external policy Local and clients outside")
                .state(external(web(&["web-2"])).external_local().source_ranges(&[
                    "172.30.0.100/32",
                    "fd30::64/128",
                    "10.244.0.0/16",
                    "fd44::/48",
                ]))
                .step(at_vip(case).expect(Expect::Silence))
                .step(by_way_of(at_vip(case), "web-3").by(&["web-2"]))
                .state(external(web(&[])).source_ranges(&["172.30.0.100/32", "fd30::64/128"]))
                .step(at_vip(case).expect(Expect::Refused))
                .step(at_vip(case).from(OUTSIDERS[1].name).expect(Expect::Silence))
        }),
        uplink(&Protocol::EVERY, |case| {
            Row::new("2.23, 2.24, 2.25 backends that shut down serve clients outside when no other is left")
                .state(external(web(&[]).terminating(&["web-2", "web-1"])))
                .step(at_vip(case).times(5).by(&["web-1", "web-2"]))
                .state(external(web(&["web-2"]).terminating(&["web-1"])).external_local())
                .step(at_vip(case).times(5).by(&["web-1"]))
        }),
    ];
    all.concat()
}

fn vacancies() -> Vec<Row> {
    let all = [uplink(&Protocol::EVERY, |case| {
        let port = PORT + 1;
        Row::new("4.08, 4.09, 4.14 ports that are not there, for clients outside")
            .state(State::from(external(web(&["web-2"]))).with_service_cidrs())
            .step(at_vip(case).port(port).expect(Expect::Untouched))
            .step(at_node(case).port(NODE_PORT + 1).expect(Expect::Untouched))
            .step(
                case.ask()
                    .to(service(WEB, port, case.family))
                    .expect(Expect::Refused),
            )
            .step(
                case.ask()
                    .to(service(200, PORT, case.family))
                    .expect(Expect::Silence),
            )
    })];
    all.concat()
}
