//! A request and its answer; services and ports that are not there.

use super::{for_all, for_each};
use crate::acceptance::row::{Expect, Row, Via};
use crate::acceptance::state::{PORT, Protocol, State, web};
use crate::acceptance::world::{HOST, Pod, SERVED, cluster_ip};

const THREE: [&str; 3] = ["web-1", "web-2", "web-3"];

pub(super) fn rows() -> Vec<Row> {
    let all = [
        for_all(|case| {
            Row::new("3.10 a pod on this node answers as the service")
                .state(web(&["web-1"]))
                .step(case.ask().times(3).by(&["web-1"]))
        }),
        for_all(|case| {
            Row::new("3.10 a pod on another node answers as the service")
                .state(web(&["web-2"]))
                .step(case.ask().times(3).by(&["web-2"]))
        }),
        for_all(|case| {
            Row::new("8.01 requests spread fairly over three pods")
                .state(web(&THREE))
                .step(case.ask().times(300).expect(Expect::Spread(THREE.to_vec())))
        }),
        for_each(&[Via::Socket], &Protocol::ALL, |case| {
            Row::new("3.11 a process of the node is served")
                .state(web(&["web-1", "web-2"]))
                .step(case.ask().from(HOST.name).times(10).by(&["web-1", "web-2"]))
        }),
        for_all(|case| {
            let nobody = (cluster_ip(200, case.family), PORT).into();
            Row::new("an address of no service is left alone")
                .state(web(&["web-1"]))
                .step(case.ask().to(nobody).expect(Expect::Untouched))
        }),
        for_all(|case| {
            let direct = (Pod::named("web-1").address(case.family), SERVED[0]).into();
            Row::new("3.05 a pod can be asked directly beside its service")
                .state(web(&["web-1"]))
                .step(case.ask().from("other").to(direct).by(&["web-1"]))
                .step(case.ask().from("other").by(&["web-1"]))
                .step(case.ask().from("other").to(direct).by(&["web-1"]))
        }),
        for_all(|case| {
            Row::new("3.05 without services everything is left alone")
                .state(State::default())
                .step(case.ask().expect(Expect::Untouched))
        }),
        for_all(|case| {
            Row::new("4.01 a service without pods refuses")
                .state(web(&[]))
                .step(case.ask().times(3).expect(Expect::Refused))
        }),
        refusing(&Via::ALL, Protocol::Tcp),
        refusing(&[Via::Socket], Protocol::Udp),
        for_all(|case| {
            Row::new("3.08 one connection asks again and again")
                .state(web(&THREE))
                .step(case.ask().kept("a").times(10).expect(Expect::Same))
        }),
    ];
    all.concat()
}

/// Over UDP that takes an ICMP message, which comes back through the socket door only.
fn refusing(vias: &[Via], protocol: Protocol) -> Vec<Row> {
    for_each(vias, &[protocol], |case| {
        Row::new("8.05 a pod that does not listen refuses")
            .state(web(&["web-1"]).target(9999))
            .step(case.ask().expect(Expect::Refused))
    })
}
