//! SCTP (semantics 1.13), whose checksum covers the ports and not the addresses.

use super::{Talk, reaches};
use crate::acceptance::row::{Kind, Packet, Row, Side, Then};
use crate::acceptance::state::{Protocol, web};
use crate::acceptance::world::{CLIENT, FAMILIES};
use crate::host::frame::Tcp;
use kproxy_common::Family;

const THREE: [&str; 3] = ["web-1", "web-2", "web-3"];
/// Another port than the service's, and the service's own.
const TARGETS: [u16; 2] = [3_868, 80];

pub(super) fn rows() -> Vec<Row> {
    let all = FAMILIES.map(|family| {
        let translated = TARGETS.map(|target| {
            let talk = talk(family, 25_080);
            named(
                family,
                &format!("1.13: an association through a service, port {target} of its pods"),
            )
            .state(web(&THREE).sctp(target))
            .step(sends(&talk, Tcp::Syn, reaches(&THREE)))
            .step(sends(&talk, Tcp::Syn, Then::ReachesSame))
            .step(answers(&talk, Tcp::SynAck))
            .step(sends(&talk, Tcp::Ack, Then::ReachesSame))
            .step(answers(&talk, Tcp::Ack))
            .step(sends(&talk, Tcp::Fin, Then::ReachesSame))
            .step(answers(&talk, Tcp::Fin))
            .step(sends(&talk, Tcp::Fin, Then::ReachesSame))
        });
        [&translated[..], &others(family)[..]].concat()
    });
    all.concat()
}

fn others(family: Family) -> [Row; 5] {
    let talk = talk(family, 25_081);
    [
        named(family, "1.12: SCTP and TCP under one port are independent")
            .state(web(&["web-1"]).only(Protocol::Udp).sctp(3_868))
            .step(sends(&talk, Tcp::Syn, reaches(&["web-1"]))),
        named(
            family,
            "4.01: an association without endpoints is rejected by port unreachable",
        )
        .state(web(&[]).sctp(3_868))
        .step(sends(&talk, Tcp::Syn, Then::Unreachable)),
        named(
            family,
            "7.02: an association stays when its pod leaves the service, a new one does not",
        )
        .state(web(&["web-1"]).sctp(3_868))
        .step(sends(&talk, Tcp::Syn, reaches(&["web-1"])))
        .step(answers(&talk, Tcp::SynAck))
        .state(web(&["web-2"]).sctp(3_868))
        .step(sends(&talk, Tcp::Ack, reaches(&["web-1"])))
        .step(sends(&talk, Tcp::Syn, reaches(&["web-2"]))),
        named(
            family,
            "an ABORT ends an association, and the port begins another",
        )
        .state(web(&["web-1"]).sctp(3_868))
        .step(sends(&talk, Tcp::Syn, reaches(&["web-1"])))
        .step(answers(&talk, Tcp::SynAck))
        .step(sends(&talk, Tcp::Rst, reaches(&["web-1"])))
        .state(web(&["web-2"]).sctp(3_868))
        .step(sends(&talk, Tcp::Syn, reaches(&["web-2"])))
        .step(answers(&talk, Tcp::SynAck)),
        named(
            family,
            "5.06: an SCTP client that is its own backend talks to the service",
        )
        .state(web(&[CLIENT]).sctp(3_868))
        .step(sends(&talk, Tcp::Syn, reaches(&[CLIENT])))
        .step(answers(&talk, Tcp::SynAck)),
    ]
}

fn named(family: Family, name: &str) -> Row {
    Row::new(format!("{name} ({family} SCTP by packet)"))
}

fn talk(family: Family, port: u16) -> Talk {
    super::Case {
        family,
        protocol: Protocol::Udp,
        via: crate::acceptance::row::Via::Packet,
    }
    .talk(port)
}

/// The client sends a chunk that means what the TCP segment does.
fn sends(talk: &Talk, chunk: Tcp, then: Then) -> Packet {
    talk.packet(Side::Client, Kind::Sctp(chunk), then)
}

/// The pod answers with one, which the client sees as the service's.
fn answers(talk: &Talk, chunk: Tcp) -> Packet {
    talk.packet(Side::Server, Kind::Sctp(chunk), Then::IsAnswer)
}
