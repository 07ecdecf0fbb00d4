//! Headers that are unusual but right.

use super::{for_each, reaches};
use crate::acceptance::row::{Dress, Row, Step, Then, Via};
use crate::acceptance::state::{PORT, Protocol, WEB, web};
use crate::acceptance::world::{CLIENT, Pod, Vip, service};
use crate::host::extensions::{self, Extension};
use crate::host::frame::{Frame, Tcp, Transport};
use kproxy_common::{Counter, Family};

pub(super) fn rows() -> Vec<Row> {
    let dressed = |name: &str, protocols: &[Protocol], dress| {
        for_each(&Via::PACKETS, protocols, |case| {
            let talk = case.talk(25_080).dress(dress);
            Row::new(name)
                .state(web(&["web-1"]).sctp(8080))
                .step(talk.opens(case.protocol, reaches(&["web-1"])))
                .step(talk.is_opened(case.protocol))
                .step(talk.goes_on(case.protocol, Then::ReachesSame))
        })
    };
    let rejected = |name: &str, protocols: &[Protocol], dress| {
        for_each(&Via::PACKETS, protocols, |case| {
            let talk = case.talk(25_081).dress(dress);
            Row::new(name)
                .state(web(&[]).sctp(8080))
                .step(talk.opens(case.protocol, Then::Unreachable))
        })
    };
    let v4 = |mut rows: Vec<Row>| {
        rows.retain(|row| row.name.contains(&Family::V4.to_string()));
        rows
    };
    let (tcp, udp) = ([Protocol::Tcp], [Protocol::Udp]);
    let all = [
        dressed(
            "IPv4 options and IPv6 extension headers are carried along",
            &Protocol::EVERY,
            Dress::Options,
        ),
        rejected(
            "a request with IPv4 options or IPv6 extension headers is rejected",
            &Protocol::EVERY,
            Dress::Options,
        ),
        vec![hidden()],
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

/// IPv6 headers behind which addresses or ports are not what they seem, and more of them than are walked.
fn hidden() -> Row {
    let row = Row::new("what IPv6 extension headers hide is left alone, and counted").state(web(&["web-1"]));
    let long = |kind, length: u8, start: &[u8]| -> Vec<Extension> {
        let mut header = start.to_vec();
        header.resize((usize::from(length) + 1) * 8, 0);
        header[1] = length;
        vec![(kind, header)]
    };
    let padding = || long(60, 0, &[0, 0, 1, 4]);
    let chains = [
        // A segment is left to visit.
        long(43, 2, &[0, 0, 4, 1]),
        // The home address of a mobile node.
        long(60, 2, &[0, 0, 1, 2, 0, 0, 201, 16]),
        // Authenticated with the addresses that it has, in words of four bytes.
        vec![(51, [&[0, 4][..], &[0; 22]].concat())],
        [extensions::harmless(), padding()].concat(),
        long(60, 7, &[0, 0, 1, 60]),
        [long(60, 5, &[0, 0, 1, 44]), padding(), padding()].concat(),
    ];
    chains.iter().fold(row, |row, chain| {
        let client = Pod::named(CLIENT).address(Family::V6);
        let to = service(WEB, PORT, Family::V6);
        let frame = Frame::new((client, 25_083).into(), to, Transport::Tcp(Tcp::Syn));
        let mut bytes = frame.bytes().unwrap_or_default();
        extensions::insert(&mut bytes, chain);
        row.step(Step::Raw(bytes, Then::Untouched).counted(Counter::OtherProtocol))
    })
}
