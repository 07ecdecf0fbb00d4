//! Headers that are unusual but right.

use super::{for_each, reaches};
use crate::acceptance::row::{Dress, Row, Then, Via};
use crate::acceptance::state::{Protocol, web};
use crate::acceptance::world::Vip;
use crate::host::frame::Tcp;
use kproxy_common::Family;

pub(super) fn rows() -> Vec<Row> {
    let dressed = |name: &str, protocols: &[Protocol], dress| {
        for_each(&Via::PACKETS, protocols, |case| {
            let talk = case.talk(25_080).dress(dress);
            Row::new(name)
                .state(web(&["web-1"]))
                .step(talk.opens(case.protocol, reaches(&["web-1"])))
                .step(talk.is_opened(case.protocol))
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
        })
    };
    let rejected = |name: &str, protocols: &[Protocol], dress| {
        for_each(&Via::PACKETS, protocols, |case| {
            let talk = case.talk(25_081).dress(dress);
            Row::new(name)
                .state(web(&[]))
                .step(talk.opens(case.protocol, Then::Unreachable))
        })
    };
    let v4 = |mut rows: Vec<Row>| {
        rows.retain(|row| row.name.contains(&Family::V4.to_string()));
        rows
    };
    let (tcp, udp) = ([Protocol::Tcp], [Protocol::Udp]);
    let all = [
        v4(dressed(
            "IPv4 options are carried along",
            &Protocol::ALL,
            Dress::Ipv4Options,
        )),
        v4(rejected(
            "a request with IPv4 options is rejected",
            &Protocol::ALL,
            Dress::Ipv4Options,
        )),
        dressed("TCP options are carried along", &tcp, Dress::TcpOptions),
        rejected("a request with TCP options is rejected", &tcp, Dress::TcpOptions),
        v4(dressed(
            "a datagram without checksum stays without",
            &udp,
            Dress::NoChecksum,
        )),
        v4(rejected(
            "a datagram without checksum is rejected",
            &udp,
            Dress::NoChecksum,
        )),
        for_each(&Via::PACKETS, &tcp, |case| {
            let vip = Vip::Number(13);
            let talk = case.talk(25_082).at(vip.port(81, case.family));
            Row::new("a SYN to another port of an external address keeps every byte")
                .state(web(&["web-1"]).external_ips(&[vip]))
                .step(talk.sends(Tcp::Syn, Then::Untouched))
        }),
    ];
    all.concat()
}
