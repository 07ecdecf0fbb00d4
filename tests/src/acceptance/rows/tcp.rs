//! TCP from the first packet of a connection to the last, and what may follow on the same port.

use std::time::Duration;

use super::{Case, Talk, for_each, reaches};
use crate::acceptance::row::{End, Expect, Row, Step, Then, Via};
use crate::acceptance::state::{Protocol, web};
use crate::acceptance::world::{Pod, SERVED};
use crate::host::frame::Tcp;

const THREE: [&str; 3] = ["web-1", "web-2", "web-3"];
const HALF_A_DAY: Duration = Duration::from_hours(12);

pub(super) fn rows() -> Vec<Row> {
    [beginnings(), endings()].concat()
}

fn beginnings() -> Vec<Row> {
    let all = [
        tcp_rows(|case| {
            let talk = case.talk(25_030);
            let row = Row::new("8.03 a retransmitted SYN stays with its pod")
                .state(web(&THREE))
                .step(talk.sends(Tcp::Syn, reaches(&THREE)));
            (0..20).fold(row, |row, _| row.step(talk.sends(Tcp::Syn, Then::ReachesSame)))
        }),
        tcp_rows(|case| {
            let talk = case.talk(25_031);
            let row = Row::new("a retransmitted answer reaches the client")
                .state(web(&THREE))
                .step(talk.sends(Tcp::Syn, reaches(&THREE)));
            let row = (0..3).fold(row, |row, _| row.step(talk.answers(Tcp::SynAck)));
            row.step(talk.sends(Tcp::Ack, Then::ReachesSame))
        }),
        tcp_rows(|case| {
            let talk = case.talk(25_039);
            Row::new("a reset without a connection is left alone")
                .state(web(&["web-1"]))
                .step(talk.sends(Tcp::Rst, Then::Untouched))
        }),
        tcp_rows(|case| {
            let talk = case.talk(25_040);
            Row::new("a reset without a connection is not rejected either")
                .state(web(&[]))
                .step(talk.sends(Tcp::Rst, Then::Untouched))
        }),
        tcp_rows(|case| {
            let talk = case.talk(25_041);
            Row::new("4.01 a rejection is port unreachable, with the request in it")
                .state(web(&[]))
                .step(talk.sends(Tcp::Syn, Then::Unreachable))
        }),
        tcp_rows(|case| {
            let (talk, row) = opened(
                case,
                25_047,
                Row::new("a connection stays through a silent night"),
            );
            row.step(Step::Wait(HALF_A_DAY))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
                .step(Step::Wait(HALF_A_DAY))
                .step(talk.answers(Tcp::Ack))
        }),
        // From outside there may be no way to a pod.
        for_each(&[Via::Packet], &[Protocol::Tcp], |case| {
            let direct = (Pod::named("web-1").address(case.family), SERVED[0]).into();
            let ask = case.ask().source_port(25_048);
            Row::new("a port that was used through the service asks the pod directly")
                .state(web(&["web-1"]))
                .step(ask.clone().by(&["web-1"]))
                .step(ask.clone().to(direct).by(&["web-1"]))
                .step(ask.by(&["web-1"]))
        }),
    ];
    all.concat()
}

fn endings() -> Vec<Row> {
    let all = [
        tcp_rows(|case| {
            let ask = case.ask().source_port(25_032).expect(Expect::By(THREE.to_vec()));
            Row::new("a port is used again after a reset")
                .state(web(&THREE))
                .step(Step::Reuse { ask, end: End::Reset })
        }),
        tcp_rows(|case| {
            let ask = case.ask().source_port(25_033).expect(Expect::By(THREE.to_vec()));
            Row::new("a port is used again after both sides are done")
                .state(web(&THREE))
                .step(Step::Reuse { ask, end: End::Fin })
        }),
        tcp_rows(|case| {
            let (talk, row) = opened(case, 25_034, Row::new("a half-closed connection goes on"));
            // Late copies of the first packet change nothing while one side is open.
            let row = (0..20).fold(row, |row, _| {
                row.step(talk.sends(Tcp::Fin, Then::ReachesSame))
                    .step(talk.sends(Tcp::Syn, Then::ReachesSame))
            });
            row.step(talk.answers(Tcp::Ack))
                .step(talk.answers(Tcp::Ack))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
                .step(talk.answers(Tcp::Fin))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
        }),
        tcp_rows(|case| {
            let (talk, row) = opened(case, 25_035, Row::new("a server may be done first"));
            row.step(talk.answers(Tcp::Fin))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
                .step(talk.sends(Tcp::Fin, Then::ReachesSame))
                .step(talk.answers(Tcp::Ack))
        }),
        tcp_rows(|case| {
            let (talk, row) = opened(
                case,
                25_036,
                Row::new("7.22 late packets of a closed connection find their way"),
            );
            row.step(talk.sends(Tcp::Fin, Then::ReachesSame))
                .step(talk.answers(Tcp::Fin))
                .step(talk.answers(Tcp::Fin))
                .step(talk.answers(Tcp::Ack))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
                .step(talk.sends(Tcp::Rst, Then::ReachesSame))
        }),
        tcp_rows(|case| {
            let (talk, row) = opened(case, 25_037, Row::new("a server's reset reaches the client"));
            row.step(talk.answers(Tcp::Rst))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
        }),
        tcp_rows(|case| {
            let talk = case.talk(25_038);
            Row::new("a refusal by the pod reaches the client, and the next try starts anew")
                .state(web(&["web-1"]))
                .step(talk.sends(Tcp::Syn, reaches(&["web-1"])))
                .step(talk.answers(Tcp::Rst))
                .state(web(&["web-2"]))
                .step(talk.sends(Tcp::Syn, reaches(&["web-2"])))
                .step(talk.answers(Tcp::SynAck))
        }),
    ];
    all.concat()
}

fn tcp_rows(make: impl Fn(Case) -> Row) -> Vec<Row> {
    for_each(&Via::PACKETS, &[Protocol::Tcp], make)
}

/// A connection that is open.
fn opened(case: Case, port: u16, row: Row) -> (Talk, Row) {
    let talk = case.talk(port);
    let row = row
        .state(web(&THREE))
        .step(talk.sends(Tcp::Syn, reaches(&THREE)))
        .step(talk.answers(Tcp::SynAck))
        .step(talk.sends(Tcp::Ack, Then::ReachesSame))
        .step(talk.answers(Tcp::Ack));
    (talk, row)
}
