//! External addresses: `externalIPs` and those of load balancers (semantics 3e, 4b, 4.14).

use super::{for_all, for_each, for_every, reaches};
use crate::acceptance::row::{Expect, Row, Then, Via};
use crate::acceptance::service::Service;
use crate::acceptance::state::{PORT, Protocol, web};
use crate::acceptance::world::Vip;
use crate::host::frame::Tcp;

const THREE: [&str; 3] = ["web-1", "web-2", "web-3"];
const VIP: Vip = Vip::Number(7);

/// Gives a service an address.
type Dressed = fn(Service) -> Service;

/// The two kinds, which differ in nothing here.
const KINDS: [(&str, Dressed); 2] = [
    ("an external address", |service| service.external_ips(&[VIP])),
    // Without a NodePort (semantics 3.39).
    ("a load balancer's address", |service| {
        service.load_balancer(&[VIP])
    }),
];

pub(super) fn rows() -> Vec<Row> {
    let mut rows = for_every(|case| {
        Row::new("1.21 the address of a load balancer that is a proxy is left alone")
            .state(web(&["web-1"]).load_balancer(&[VIP]).behind_a_proxy())
            .step(
                case.ask()
                    .to(VIP.port(PORT, case.family))
                    .expect(Expect::Untouched),
            )
    });
    for (kind, with) in KINDS {
        rows.extend(of_kind(kind, with));
    }
    rows
}

fn of_kind(kind: &str, with: fn(Service) -> Service) -> Vec<Row> {
    let name = |what: &str| format!("{what}: {kind}");
    let all = [
        for_every(|case| {
            let ask = case.ask().to(VIP.port(PORT, case.family));
            Row::new(name(
                "3.01, 3.31, 3.39 clients inside are served without leaving the cluster",
            ))
            .state(with(web(&THREE)))
            .step(ask.clone().times(300).expect(Expect::Spread(THREE.to_vec())))
            .step(ask.kept("a").times(5).expect(Expect::Same))
            .step(case.ask().by(&THREE))
        }),
        for_every(|case| {
            let ask = case.ask().to(VIP.port(PORT, case.family));
            Row::new(name(
                "3.35, 3.36 external policy Local: clients inside use every pod",
            ))
            .state(with(web(&["web-2"]).external_local()))
            .step(ask.clone().times(5).by(&["web-2"]))
            .state(with(web(&["web-2"]).external_local().local()))
            .step(ask.times(5).by(&["web-2"]))
            .step(case.ask().expect(case.dropped()))
        }),
        for_every(|case| {
            let ask = case.ask().to(VIP.port(PORT, case.family));
            Row::new(name("4.01, 4.06 without pods it refuses"))
                .state(with(web(&[])))
                .step(ask.clone().expect(Expect::Refused))
                .state(with(web(&[]).external_local()))
                .step(ask.clone().expect(Expect::Refused))
                .state(with(web(&["web-1"])))
                .step(ask.by(&["web-1"]))
        }),
        for_every(|case| {
            Row::new(name("4.14 other ports are left alone"))
                .state(with(web(&["web-1"])))
                .step(
                    case.ask()
                        .to(VIP.port(PORT + 1, case.family))
                        .expect(Expect::Untouched),
                )
        }),
        for_every(|case| {
            let ask = case.ask().to(VIP.port(PORT, case.family));
            Row::new(name("1.29 it is left alone once the service has lost it"))
                .state(with(web(&["web-1"])))
                .step(ask.clone().by(&["web-1"]))
                .state(web(&["web-1"]))
                .step(ask.expect(Expect::Untouched))
                .step(case.ask().by(&["web-1"]))
        }),
        for_all(|case| {
            let (client, ask) = (case.via.client(), case.ask().to(VIP.port(PORT, case.family)));
            Row::new(name("5.06 a client may be its own backend"))
                .state(with(web(&[client])))
                .step(ask.clone().times(3).by(&[client]))
                .step(ask.kept("a").times(5).by(&[client]))
        }),
        for_each(&[Via::Packet], &[Protocol::Tcp], |case| {
            let talk = case.talk(25_210).at(VIP.port(PORT, case.family));
            Row::new(name("4.02 a connection stays when its last pod leaves"))
                .state(with(web(&["web-1"])))
                .step(talk.sends(Tcp::Syn, reaches(&["web-1"])))
                .step(talk.answers(Tcp::SynAck))
                .state(with(web(&[])))
                .step(talk.sends(Tcp::Ack, Then::ReachesSame))
                .step(talk.answers(Tcp::Ack))
        }),
    ];
    all.concat()
}
