//! UDP flows, which only silence ends.

use std::time::Duration;

use super::{Case, for_each, reaches};
use crate::acceptance::row::{Row, Step, Then, Via};
use crate::acceptance::state::{Protocol, web};
use crate::acceptance::world::{Pod, SERVED};

const THREE: [&str; 3] = ["web-1", "web-2", "web-3"];
/// Longer than a UDP flow lives (`Settings::DEFAULT.udp_idle`) ...
const LONG: Duration = Duration::from_secs(121);
/// ... and a little less.
const SHORT: Duration = Duration::from_secs(119);

pub(super) fn rows() -> Vec<Row> {
    let all = [
        udp_rows(|case| {
            let talk = case.talk(25_042);
            Row::new("4.01 a rejection is port unreachable, with the request in it")
                .state(web(&[]))
                .step(talk.datagram(Then::Unreachable))
        }),
        udp_rows(|case| {
            let talk = case.talk(25_043);
            let row = Row::new("8.03 a flow stays with its pod")
                .state(web(&THREE))
                .step(talk.datagram(reaches(&THREE)));
            (0..20).fold(row, |row, _| {
                row.step(talk.datagram(Then::ReachesSame)).step(talk.answer())
            })
        }),
        udp_rows(|case| {
            let talk = case.talk(25_044);
            Row::new("8.04 a flow that was silent for long chooses anew")
                .state(web(&["web-1"]))
                .step(talk.datagram(reaches(&["web-1"])))
                .step(talk.answer())
                // Both are listed, so only the clock can move the flow.
                .state(web(&["web-1"]))
                .step(Step::Wait(LONG))
                .state(web(&["web-2"]).terminating(&["web-1"]))
                .step(talk.datagram(reaches(&["web-2"])))
                .step(talk.answer())
        }),
        udp_rows(|case| {
            let talk = case.talk(25_045);
            let row = Row::new("8.04 a flow that speaks now and then stays")
                .state(web(&["web-1"]))
                .step(talk.datagram(reaches(&["web-1"])))
                .step(talk.answer())
                .state(web(&["web-2"]).terminating(&["web-1"]));
            (0..3).fold(row, |row, _| {
                row.step(Step::Wait(SHORT))
                    .step(talk.datagram(reaches(&["web-1"])))
            })
        }),
        udp_rows(|case| {
            let talk = case.talk(25_046);
            let row = Row::new("a flow whose pod alone speaks stays")
                .state(web(&["web-1"]))
                .step(talk.datagram(reaches(&["web-1"])))
                .step(talk.answer())
                .state(web(&["web-2"]).terminating(&["web-1"]));
            (0..3)
                .fold(row, |row, _| row.step(Step::Wait(SHORT)).step(talk.answer()))
                .step(talk.datagram(reaches(&["web-1"])))
        }),
        for_each(&Via::ALL, &[Protocol::Udp], |case| {
            Row::new("a sendto socket that was silent for long chooses anew")
                .state(web(&["web-1"]))
                .step(case.ask().sendto().kept("a").by(&["web-1"]))
                .state(web(&["web-2"]).terminating(&["web-1"]))
                .step(Step::Wait(SHORT))
                .step(case.ask().sendto().kept("a").by(&["web-1"]))
                .step(Step::Wait(LONG))
                .step(case.ask().sendto().kept("a").by(&["web-2"]))
        }),
        udp_rows(|case| {
            let direct = (Pod::named("web-1").address(case.family), SERVED[0]).into();
            let ask = case.ask().source_port(25_049);
            Row::new("a port that was used through the service long ago asks the pod directly")
                .state(web(&["web-1"]))
                .step(ask.clone().by(&["web-1"]))
                .step(Step::Wait(LONG))
                .step(ask.clone().to(direct).by(&["web-1"]))
                .step(ask.by(&["web-1"]))
        }),
    ];
    all.concat()
}

fn udp_rows(make: impl Fn(Case) -> Row) -> Vec<Row> {
    for_each(&[Via::Packet], &[Protocol::Udp], make)
}
