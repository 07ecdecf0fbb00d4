//! What pods and services that go leave behind.

use super::{for_all, for_each, reaches};
use crate::acceptance::row::{Expect, Row, Then, Via};
use crate::acceptance::state::{PORT, Protocol, SHOP, State, shop, web};
use crate::acceptance::world::{self, Vip};
use crate::host::frame::Tcp;

const NODE_PORT: u16 = 30_084;

pub(super) fn rows() -> Vec<Row> {
    let tcp = [Protocol::Tcp];
    let packet = [Via::Packet];
    let all = [
        for_all(|case| {
            Row::new("new connections avoid a pod that left")
                .state(web(&["web-1", "web-2"]))
                .step(case.ask().times(5).by(&["web-1", "web-2"]))
                .state(web(&["web-2"]))
                .step(case.ask().times(20).by(&["web-2"]))
        }),
        for_each(&Via::ALL, &tcp, |case| {
            Row::new("4.02, 7.02 a connection outlives its pod's place in the service")
                .state(web(&["web-1"]))
                .step(case.ask().kept("a").by(&["web-1"]))
                .state(web(&["web-2"]))
                .step(case.ask().kept("a").times(3).expect(Expect::Same))
                .step(case.ask().by(&["web-2"]))
                .step(case.ask().kept("a").times(3).by(&["web-1"]))
        }),
        for_each(&Via::ALL, &tcp, |case| {
            Row::new("4.02 a connection outlives the service's last pod")
                .state(web(&["web-1"]))
                .step(case.ask().kept("a").by(&["web-1"]))
                .state(web(&[]))
                .step(case.ask().expect(Expect::Refused))
                .step(case.ask().kept("a").times(3).by(&["web-1"]))
        }),
        for_each(&Via::ALL, &tcp, |case| {
            Row::new("a connection outlives its service")
                .state(web(&["web-1"]))
                .step(case.ask().kept("a").by(&["web-1"]))
                .state(shop(&["web-2"]))
                .step(case.ask().expect(Expect::Untouched))
                .step(case.ask().kept("a").times(3).by(&["web-1"]))
        }),
        for_each(&packet, &[Protocol::Udp], |case| {
            Row::new("7.03 a flow leaves a pod that left")
                .state(web(&["web-1"]))
                .step(case.ask().kept("a").times(2).by(&["web-1"]))
                .state(web(&["web-2"]))
                .step(case.ask().kept("a").times(5).by(&["web-2"]))
        }),
        for_each(&packet, &[Protocol::Udp], |case| {
            let served = |pod| web(&[pod]).node_port(NODE_PORT);
            let ask = case.ask().to(Vip::Node.port(NODE_PORT, case.family)).kept("a");
            Row::new("7.04 a flow through a NodePort leaves a pod that left")
                .state(served("web-1"))
                .step(ask.clone().times(2).by(&["web-1"]))
                .state(served("web-2"))
                .step(ask.times(5).by(&["web-2"]))
        }),
        for_each(&Via::ALL, &[Protocol::Udp], |case| {
            Row::new("7.03 a sendto socket leaves a pod that left")
                .state(web(&["web-1"]))
                .step(case.ask().sendto().kept("a").times(2).by(&["web-1"]))
                .state(web(&["web-2"]))
                .step(case.ask().sendto().kept("a").times(5).by(&["web-2"]))
        }),
        for_each(&packet, &[Protocol::Udp], |case| {
            Row::new("7.06, 7.07 a flow is refused when the last pod left")
                .state(web(&["web-1"]))
                .step(case.ask().kept("a").by(&["web-1"]))
                .state(web(&[]))
                .step(case.ask().kept("a").expect(Expect::Refused))
                .state(web(&["web-2"]))
                .step(case.ask().kept("a").by(&["web-2"]))
        }),
        for_each(&packet, &[Protocol::Udp], |case| {
            Row::new("7.09 a flow ends with its service")
                .state(web(&["web-1"]))
                .step(case.ask().kept("a").by(&["web-1"]))
                .state(State::default())
                .step(case.ask().kept("a").expect(Expect::Untouched))
        }),
        for_all(|case| {
            Row::new("4.07 a service that is gone is left alone")
                .state(State::of([web(&["web-1"]), shop(&["web-2"])]))
                .step(case.ask().by(&["web-1"]))
                .state(shop(&["web-2"]))
                .step(case.ask().expect(Expect::Untouched))
                .step(
                    case.ask()
                        .to(world::service(SHOP, PORT, case.family))
                        .by(&["web-2"]),
                )
        }),
        for_each(&packet, &tcp, |case| {
            let talk = case.talk(25_011);
            Row::new("a SYN to a pod that left starts anew")
                .state(web(&["web-1"]))
                .step(talk.sends(Tcp::Syn, reaches(&["web-1"])))
                .state(web(&["web-2"]))
                .step(talk.sends(Tcp::Syn, reaches(&["web-2"])))
                .step(talk.answers(Tcp::SynAck))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
        }),
    ];
    all.concat()
}
