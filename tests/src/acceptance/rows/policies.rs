//! Who may be used: traffic policy and pods that shut down.

use super::{for_all, for_each, reaches};
use crate::acceptance::row::{Expect, Row, Then, Via};
use crate::acceptance::state::{Protocol, web};
use crate::host::frame::Tcp;

pub(super) fn rows() -> Vec<Row> {
    let all = [
        for_all(|case| {
            Row::new("1.10 internal policy Local uses the pods of this node")
                .state(web(&["web-1", "web-2", "web-3"]).local())
                .step(case.ask().times(20).by(&["web-1"]))
        }),
        for_all(|case| {
            Row::new("2.28 internal policy Local without a pod here is silent")
                .state(web(&["web-2", "web-3"]).local())
                .step(case.ask().expect(Expect::Silence))
        }),
        for_all(|case| {
            Row::new("2.28 internal policy Local without any pod refuses")
                .state(web(&[]).local())
                .step(case.ask().expect(Expect::Refused))
        }),
        for_each(&[Via::Packet], &[Protocol::Tcp], |case| {
            let talk = case.talk(25_020);
            Row::new("4.02 internal policy Local keeps connections when its last pod here is gone")
                .state(web(&["web-1", "web-2"]).local())
                .step(talk.sends(Tcp::Syn, reaches(&["web-1"])))
                .step(talk.answers(Tcp::SynAck))
                .state(web(&["web-2"]).local())
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
                .step(talk.answers(Tcp::Ack))
                .step(case.talk(25_021).sends(Tcp::Syn, Then::Dropped))
        }),
        for_all(|case| {
            Row::new("2.22 a pod that shuts down is not used while others are ready")
                .state(web(&["web-2"]).terminating(&["web-1"]))
                .step(case.ask().times(20).by(&["web-2"]))
        }),
        for_all(|case| {
            Row::new("2.23 pods that shut down are used when no other is left")
                .state(web(&[]).terminating(&["web-1", "web-2"]))
                .step(case.ask().times(20).by(&["web-1", "web-2"]))
        }),
        for_all(|case| {
            Row::new("2.24 a pod here that shuts down is used under internal policy Local")
                .state(web(&["web-2"]).terminating(&["web-1"]).local())
                .step(case.ask().times(5).by(&["web-1"]))
        }),
        for_each(&[Via::Packet], &Protocol::ALL, |case| {
            Row::new("7.05 a flow stays with a pod that shuts down")
                .state(web(&["web-1"]))
                .step(case.ask().kept("a").by(&["web-1"]))
                .state(web(&["web-2"]).terminating(&["web-1"]))
                .step(case.ask().kept("a").times(3).by(&["web-1"]))
                .step(case.ask().by(&["web-2"]))
        }),
    ];
    all.concat()
}
