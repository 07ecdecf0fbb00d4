//! Services and pods that come and go.

use super::{for_all, for_each, reaches};
use crate::acceptance::row::{Expect, Row, Via};
use crate::acceptance::state::{Protocol, State, web};

pub(super) fn rows() -> Vec<Row> {
    let packet = [Via::Packet];
    let all = [
        for_all(|case| {
            Row::new("a pod that came is used")
                .state(web(&["web-1"]))
                .step(case.ask().by(&["web-1"]))
                .state(web(&["web-1", "web-2", "web-3"]))
                .step(
                    case.ask()
                        .times(300)
                        .expect(Expect::Spread(vec!["web-1", "web-2", "web-3"])),
                )
        }),
        for_all(|case| {
            Row::new("a service is recreated with other pods")
                .state(web(&["web-1"]))
                .step(case.ask().by(&["web-1"]))
                .state(State::default())
                .state(web(&["web-3"]))
                .step(case.ask().times(5).by(&["web-3"]))
        }),
        for_all(|case| {
            Row::new("1.28 a port is added and removed")
                .state(web(&["web-1"]))
                .step(case.ask().port(90).expect(Expect::Refused))
                .state(web(&["web-1"]).port(90, 8081))
                .step(case.ask().port(90).by(&["web-1"]))
                .step(case.ask().by(&["web-1"]))
                .state(web(&["web-1"]))
                .step(case.ask().port(90).expect(Expect::Refused))
                .step(case.ask().by(&["web-1"]))
        }),
        for_each(&Via::ALL, &[Protocol::Tcp], |case| {
            Row::new("2.10 new connections follow a changed target port")
                .state(web(&["web-1"]).target(9999))
                .step(case.ask().expect(Expect::Refused))
                .state(web(&["web-1"]).target(8081))
                .step(case.ask().times(3).by(&["web-1"]))
        }),
        for_each(&packet, &[Protocol::Udp], |case| {
            Row::new("7.08 a flow follows a changed target port")
                .state(web(&["web-1"]).target(9999))
                .step(case.talk(25_010).datagram(reaches(&["web-1"])))
                .state(web(&["web-1"]).target(8081))
                .step(case.talk(25_010).datagram(reaches(&["web-1"])))
                .step(case.talk(25_010).answer())
        }),
        for_all(|case| {
            Row::new("4.06 pods come after their service, and go before it")
                .state(web(&[]))
                .step(case.ask().expect(Expect::Refused))
                .state(web(&["web-1"]))
                .step(case.ask().by(&["web-1"]))
                .state(web(&[]))
                .step(case.ask().expect(Expect::Refused))
        }),
    ];
    all.concat()
}
