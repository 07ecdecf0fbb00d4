//! Maps that are short of room.

use std::time::Duration;

use super::{for_each, reaches};
use crate::acceptance::row::{Half, Row, Step, Then, Via};
use crate::acceptance::state::{Protocol, web};
use crate::host::frame::Tcp;

/// After this an entry is written again (`Settings::DEFAULT.touch_after`).
const TOUCH: Duration = Duration::from_secs(1);

pub(super) fn rows() -> Vec<Row> {
    let by_packet = |make: &dyn Fn(super::Case) -> Row| for_each(&[Via::Packet], &Protocol::ALL, make);
    let open = |case: super::Case, name: &str| {
        let talk = case.talk(25_060);
        let row = Row::new(name)
            .state(web(&["web-2"]))
            .step(talk.opens(case.protocol, reaches(&["web-2"])))
            .step(talk.is_opened(case.protocol))
            .step(talk.goes_on(case.protocol, Then::ReachesSame));
        (talk, row)
    };
    let goes_on = |case: super::Case, talk: &super::Talk, row: Row| match case.protocol {
        Protocol::Tcp => row
            .step(talk.sends(Tcp::Ack, Then::ReachesSame))
            .step(talk.answers(Tcp::Ack))
            .step(talk.sends(Tcp::Fin, Then::ReachesSame))
            .step(talk.answers(Tcp::Fin)),
        Protocol::Udp | Protocol::Sctp => row.step(talk.datagram(Then::ReachesSame)).step(talk.answer()),
    };
    let all = [
        by_packet(&|case| {
            let (talk, row) = open(case, "a flow that was forgotten is found again by its client");
            goes_on(case, &talk, row.step(Step::Evict(Half::Both)))
        }),
        by_packet(&|case| {
            let (talk, row) = open(
                case,
                "half a flow that was forgotten is found again by its client",
            );
            goes_on(case, &talk, row.step(Step::Evict(Half::Requests)))
        }),
        by_packet(&|case| {
            let (talk, row) = open(case, "the other half is written again by the client's packets");
            let row = row.step(Step::Evict(Half::Answers)).step(Step::Wait(TOUCH));
            goes_on(case, &talk, row)
        }),
        by_packet(&|case| {
            let (talk, row) = open(case, "the first half is written again by the pod's packets");
            let row = row
                .step(Step::Evict(Half::Requests))
                .step(Step::Wait(TOUCH))
                .step(match case.protocol {
                    Protocol::Tcp => talk.answers(Tcp::Ack),
                    Protocol::Udp | Protocol::Sctp => talk.answer(),
                })
                // Now the service has other pods: only a flow leads to the old one.
                .state(web(&["web-1"]).terminating(&["web-2"]));
            goes_on(case, &talk, row)
        }),
        by_packet(&|case| {
            let talk = case.talk(25_061);
            Row::new("one refused write is tried again")
                .state(web(&["web-2"]))
                .step(Step::RefuseInserts(1))
                .step(talk.opens(case.protocol, reaches(&["web-2"])))
                .step(talk.is_opened(case.protocol))
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
        }),
        by_packet(&|case| {
            let talk = case.talk(25_062);
            Row::new("a flow that can not be recorded is dropped, and its next try succeeds")
                .state(web(&["web-2"]))
                .step(Step::RefuseInserts(2))
                .step(talk.opens(case.protocol, Then::Dropped))
                .step(talk.opens(case.protocol, reaches(&["web-2"])))
                .step(talk.is_opened(case.protocol))
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
        }),
        by_packet(&|case| {
            let (talk, row) = open(case, "a flow in use needs no write to go on");
            let row = row.step(Step::Wait(TOUCH)).step(Step::RefuseInserts(u32::MAX));
            goes_on(case, &talk, row)
        }),
    ];
    all.concat()
}
