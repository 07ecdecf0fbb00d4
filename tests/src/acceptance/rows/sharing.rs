//! Pods, ports and clients that are shared.

use super::{for_all, for_each, reaches};
use crate::acceptance::row::{Expect, Row, Step, Then, Via};
use crate::acceptance::state::{PORT, Protocol, SHOP, State, WEB, shop, web};
use crate::acceptance::world;
use crate::host::frame::Tcp;

pub(super) fn rows() -> Vec<Row> {
    let two = || State::of([web(&["web-2"]), shop(&["web-2"])]);
    let all = [
        for_all(|case| {
            let to = world::service(SHOP, PORT, case.family);
            Row::new("two services share a pod")
                .state(two())
                .step(case.ask().kept("a").by(&["web-2"]))
                .step(case.ask().to(to).kept("b").by(&["web-2"]))
                .step(case.ask().kept("a").by(&["web-2"]))
                .step(case.ask().to(to).kept("b").by(&["web-2"]))
        }),
        for_each(&[Via::Packet], &Protocol::ALL, |case| {
            let to = world::service(SHOP, PORT, case.family);
            Row::new("5.12 two services share a pod and a client's port")
                .state(two())
                .step(case.ask().source_port(25_000).kept("a").by(&["web-2"]))
                .step(case.ask().to(to).source_port(25_000).kept("b").by(&["web-2"]))
                .step(case.ask().kept("a").times(3).by(&["web-2"]))
                .step(case.ask().to(to).kept("b").times(3).by(&["web-2"]))
        }),
        for_each(&[Via::Packet], &[Protocol::Tcp], |case| {
            let (first, second) = (case.talk(25_001), case.talk(25_001).to(SHOP));
            Row::new("a closed connection gives its port towards a pod back")
                .state(two())
                .step(first.sends(Tcp::Syn, reaches(&["web-2"])))
                .step(first.answers(Tcp::SynAck))
                .step(first.sends(Tcp::Rst, Then::ReachesSame))
                .step(second.sends(Tcp::Syn, reaches(&["web-2"])))
                .step(second.answers(Tcp::SynAck))
                .step(second.sends(Tcp::Ack, Then::ReachesSame))
                .step(second.answers(Tcp::Ack))
        }),
        for_all(|case| {
            Row::new("5.06 a client may be its own backend")
                .state(web(&[case.via.client()]))
                .step(case.ask().times(3).by(&[case.via.client()]))
                .step(case.ask().kept("a").times(5).by(&[case.via.client()]))
        }),
        for_all(|case| {
            let pods = [case.via.client(), "web-1", "web-2"];
            Row::new("a client may be one of the backends")
                .state(web(&pods))
                .step(case.ask().times(300).expect(Expect::Spread(pods.to_vec())))
        }),
        for_all(|case| {
            Row::new("5.12 two clients with the same port do not meet")
                .state(web(&["web-1"]))
                .step(case.ask().source_port(25_002).kept("a").by(&["web-1"]))
                .step(
                    case.ask()
                        .from("other")
                        .source_port(25_002)
                        .kept("b")
                        .by(&["web-1"]),
                )
                .step(case.ask().kept("a").by(&["web-1"]))
                .step(case.ask().from("other").kept("b").by(&["web-1"]))
        }),
        for_each(&Via::ALL, &[Protocol::Udp], |case| {
            let to = [WEB, SHOP].map(|number| world::service(number, PORT, case.family));
            let alternate = |name, ask| {
                Row::new(name)
                    .state(State::of([web(&["web-1"]), shop(&["web-2"])]))
                    .step(Step::Alternate { ask, to })
            };
            alternate(
                "one sendto socket asks two services in turn",
                case.ask().sendto().by(&["web-1", "web-2"]),
            )
        }),
        for_each(&Via::ALL, &[Protocol::Udp], |case| {
            let to = [WEB, SHOP].map(|number| world::service(number, PORT, case.family));
            Row::new("two connected sockets ask two services in turn")
                .state(State::of([web(&["web-1"]), shop(&["web-2"])]))
                .step(Step::Alternate {
                    ask: case.ask().by(&["web-1", "web-2"]),
                    to,
                })
        }),
        for_each(&Via::ALL, &[Protocol::Udp], |case| {
            let to = [WEB, SHOP].map(|number| world::service(number, PORT, case.family));
            Row::new("one sendto socket asks two services of one pod in turn")
                .state(two())
                .step(Step::Alternate {
                    ask: case.ask().sendto().by(&["web-2"]),
                    to,
                })
        }),
    ];
    all.concat()
}
