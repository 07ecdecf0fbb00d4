//! Session affinity by client address (semantics section 6).

use std::time::Duration;

use super::{Case, for_each, for_every, reaches};
use crate::acceptance::row::{Ask, Expect, Row, Then, Via};
use crate::acceptance::service::Service;
use crate::acceptance::state::{PORT, Protocol, SHOP, State, shop, web};
use crate::acceptance::world::{STICKY, Vip, service};

const THREE: [&str; 3] = ["web-1", "web-2", "web-3"];
const NODE_PORT: u16 = 30_082;
const VIPS: [Vip; 2] = [Vip::Number(10), Vip::Number(11)];
const TIMEOUT: Duration = Duration::from_secs(100);
/// A little less than the timeout, and more.
const SHORT: Duration = Duration::from_secs(90);
const LONG: Duration = Duration::from_secs(101);
const TWO: [&str; 2] = ["web-1", "web-2"];
/// Of so many choices between two each comes up, but for a probability of 2 * (1/2)^24, about 1e-7.
const CHOICES: usize = 24;

pub(super) fn rows() -> Vec<Row> {
    [clients(), times(), sets(), changes()].concat()
}

/// A client whose sockets wait for an address has its flows at its door.
fn client(case: Case) -> &'static str {
    match case.via {
        Via::Socket => STICKY,
        Via::Packet | Via::Node | Via::Uplink => case.via.client(),
    }
}

fn ask(case: Case) -> Ask {
    case.ask().from(client(case))
}

fn kept(service: Service) -> Service {
    service.affinity(TIMEOUT)
}

fn clients() -> Vec<Row> {
    let all = [
        for_every(|case| {
            Row::new("6.01 a client stays with its pod, from whatever port it asks")
                .state(kept(web(&THREE)))
                .step(ask(case).times(20).expect(Expect::One("a")))
                .step(ask(case).kept("b").times(3).expect(Expect::One("a")))
                .step(ask(case).times(20).expect(Expect::One("a")))
        }),
        for_every(|case| {
            Row::new("6.02 all addresses of a service share what a client has")
                .state(
                    kept(web(&THREE))
                        .node_port(NODE_PORT)
                        .external_ips(&VIPS[..1])
                        .load_balancer(&VIPS[1..]),
                )
                .step(
                    ask(case)
                        .to(Vip::Node.port(NODE_PORT, case.family))
                        .times(3)
                        .expect(Expect::One("a")),
                )
                .step(ask(case).times(10).expect(Expect::One("a")))
                .step(
                    ask(case)
                        .to(VIPS[0].port(PORT, case.family))
                        .times(10)
                        .expect(Expect::One("a")),
                )
                .step(
                    ask(case)
                        .to(VIPS[1].port(PORT, case.family))
                        .times(10)
                        .expect(Expect::One("a")),
                )
                .step(
                    ask(case)
                        .to(Vip::Node.port(NODE_PORT, case.family))
                        .times(10)
                        .expect(Expect::One("a")),
                )
        }),
        for_every(|case| {
            let row = Row::new("6.02 two ports of a service share nothing");
            (0..CHOICES).fold(row, |row, _| {
                row.state(kept(web(&["web-1"]).port(PORT + 1, 8080)))
                    .step(ask(case).by(&["web-1"]))
                    .state(kept(web(&TWO).port(PORT + 1, 8080)))
                    .step(ask(case).port(PORT + 1).expect(Expect::Varied(TWO.to_vec())))
                    .step(ask(case).by(&["web-1"]))
                    .state(State::default())
            })
        }),
        // A datagram from a port that was used before belongs to the flow of that time (6.11).
        for_each(&Via::EVERY, &[Protocol::Tcp], |case| {
            let other = (service(SHOP, PORT, case.family), Expect::Spread(THREE.to_vec()));
            Row::new("6.08 another service without affinity is not concerned")
                .state(State::of([kept(web(&THREE)), shop(&THREE)]))
                .step(ask(case).times(10).expect(Expect::One("a")))
                .step(ask(case).to(other.0).times(300).expect(other.1))
                .step(ask(case).times(10).expect(Expect::One("a")))
        }),
        for_each(&Via::ALL, &Protocol::ALL, |case| {
            Row::new("6.01 each client has a pod of its own")
                .state(kept(web(&["web-1"])))
                .step(ask(case).by(&["web-1"]))
                .state(kept(web(&["web-2"]).terminating(&["web-1"])))
                .step(ask(case).from("other").by(&["web-2"]))
                .state(kept(web(&THREE)))
                .step(ask(case).from("other").times(20).by(&["web-2"]))
        }),
        for_each(&Via::EVERY, &[Protocol::Udp], |case| {
            Row::new("6.11 sockets that send without connecting stay with their client's pod")
                .state(kept(web(&THREE)))
                .step(ask(case).sendto().times(20).expect(Expect::One("a")))
                .step(ask(case).sendto().kept("b").times(5).expect(Expect::One("a")))
        }),
        for_each(&Via::ALL, &Protocol::ALL, |case| {
            let client = client(case);
            Row::new("6.01 a client may stay with itself")
                .state(kept(web(&[client])))
                .step(ask(case).by(&[client]))
                .state(kept(web(&[client, "web-1", "web-2"])))
                .step(ask(case).times(20).by(&[client]))
        }),
    ];
    all.concat()
}

fn times() -> Vec<Row> {
    let all = [
        for_every(|case| {
            Row::new("6.03 the time begins anew with every connection")
                .state(kept(web(&THREE)))
                .step(ask(case).pause(SHORT).times(20).expect(Expect::One("a")))
        }),
        for_every(|case| {
            Row::new("6.04 when the time is over the next connection is free")
                .state(kept(web(&THREE)))
                .step(
                    ask(case)
                        .pause(LONG)
                        .times(300)
                        .expect(Expect::Spread(THREE.to_vec())),
                )
        }),
        for_each(&[Via::Packet], &[Protocol::Tcp], |case| {
            let row = Row::new("6.03 packets within a connection do not begin the time anew")
                .state(kept(web(&["web-1"])))
                .step(ask(case).kept("a").by(&["web-1"]));
            (0..CHOICES).fold(row, |row, _| {
                row.state(kept(web(&["web-1"])))
                    .step(ask(case).by(&["web-1"]))
                    .state(kept(web(&TWO)))
                    .step(ask(case).kept("a").pause(SHORT).by(&["web-1"]))
                    .step(ask(case).kept("a").pause(SHORT).by(&["web-1"]))
                    .step(ask(case).expect(Expect::Varied(TWO.to_vec())))
            })
        }),
    ];
    all.concat()
}

fn sets() -> Vec<Row> {
    let all = [
        for_every(|case| {
            let node_port = |service: Service| kept(service.local()).node_port(NODE_PORT);
            Row::new("6.05 a pod that is not in the set of this address is not used, and another remembered")
                .state(node_port(web(&["web-2"])))
                .step(
                    ask(case)
                        .to(Vip::Node.port(NODE_PORT, case.family))
                        .by(&["web-2"]),
                )
                .state(node_port(web(&["web-1", "web-2"])))
                .step(ask(case).times(5).by(&["web-1"]))
                .step(
                    ask(case)
                        .to(Vip::Node.port(NODE_PORT, case.family))
                        .times(20)
                        .by(&["web-1"]),
                )
        }),
        for_every(|case| {
            Row::new("6.06 a pod that left is not used, whether it still serves or is gone")
                .state(kept(web(&["web-1"])))
                .step(ask(case).by(&["web-1"]))
                .state(kept(web(&["web-2"]).terminating(&["web-1"])))
                .step(ask(case).times(3).by(&["web-2"]))
                .state(kept(web(&["web-3"])))
                .step(ask(case).times(3).by(&["web-3"]))
        }),
        returning("6.06 a pod that comes back has lost its clients", |_| {
            kept(web(&["web-2"]))
        }),
        returning("6.06 a pod that is ready again has lost its clients", |_| {
            kept(web(&["web-3"]).terminating(&["web-1"]))
        }),
        for_every(|case| {
            Row::new("6.06 pods that come beside it change nothing")
                .state(kept(web(&["web-1"])))
                .step(ask(case).by(&["web-1"]))
                .state(kept(web(&THREE)))
                .step(ask(case).times(20).by(&["web-1"]))
                .state(kept(web(&["web-1", "web-3"])))
                .step(ask(case).times(20).by(&["web-1"]))
        }),
    ];
    all.concat()
}

/// A pod that a client has is away for a while, and nobody asks meanwhile.
fn returning(name: &str, away: impl Fn(Case) -> Service) -> Vec<Row> {
    for_every(|case| {
        (0..CHOICES).fold(Row::new(name), |row, _| {
            row.state(kept(web(&["web-1"])))
                .step(ask(case).by(&["web-1"]))
                .state(away(case))
                .state(kept(web(&TWO)))
                .step(ask(case).expect(Expect::Varied(TWO.to_vec())))
                .state(State::default())
        })
    })
}

fn changes() -> Vec<Row> {
    let all = [
        for_each(&Via::EVERY, &[Protocol::Tcp], |case| {
            Row::new("6.08 affinity that is switched on and off holds for the next connection")
                .state(web(&THREE))
                .step(ask(case).times(300).expect(Expect::Spread(THREE.to_vec())))
                .state(kept(web(&THREE)))
                .step(ask(case).times(20).expect(Expect::One("a")))
                .state(web(&THREE))
                .step(ask(case).times(300).expect(Expect::Spread(THREE.to_vec())))
        }),
        for_each(&[Via::Packet], &[Protocol::Tcp], |case| {
            Row::new("6.07 connections stay where they are when affinity changes")
                .state(web(&["web-2"]))
                .step(ask(case).kept("a").by(&["web-2"]))
                .state(kept(web(&["web-1"]).terminating(&["web-2"])))
                .step(ask(case).by(&["web-1"]))
                .step(ask(case).kept("a").times(3).by(&["web-2"]))
        }),
        for_each(&[Via::Packet], &Protocol::ALL, |case| {
            let talk = case.talk(25_230);
            Row::new("6.11 a flow stays with its pod, whatever its client has now")
                .state(kept(web(&["web-1"])))
                .step(talk.opens(case.protocol, reaches(&["web-1"])))
                .step(talk.is_opened(case.protocol))
                .state(kept(web(&["web-2"]).terminating(&["web-1"])))
                .step(ask(case).by(&["web-2"]))
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
        }),
    ];
    all.concat()
}
