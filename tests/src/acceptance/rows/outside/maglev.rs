//! Clients outside that are balanced by Maglev hashing: who serves them depends on who they are and not on chance.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::{Case, for_each, reaches};
use super::uplink;
use crate::acceptance::hashed::{by_client, by_flow};
use crate::acceptance::row::{End, Expect, Row, Step, Then, Via};
use crate::acceptance::service::Service;
use crate::acceptance::state::{PORT, Protocol, web};
use crate::acceptance::world::{OUTSIDE, OUTSIDERS, Pod, Vip};

const NODE_PORT: u16 = 30_183;
const TARGET: u16 = 8080;
const THREE: [&str; 3] = ["web-1", "web-2", "web-3"];
const TWO: [&str; 2] = ["web-1", "web-2"];
const VIPS: [Vip; 2] = [Vip::Number(61), Vip::Number(62)];

pub(super) fn rows() -> Vec<Row> {
    [tables(), affinity(), inside()].concat()
}

fn hashed(case: Case, pods: &[&'static str]) -> Service {
    web(pods)
        .sctp(TARGET)
        .only(case.protocol)
        .node_port(NODE_PORT)
        .external_ips(&VIPS[..1])
        .load_balancer(&VIPS[1..])
        .maglev()
}

/// Who serves this client at this port.
fn owner(case: Case, pods: &[&'static str], (client, port): (Pod, u16), to: u16) -> &'static str {
    let client = SocketAddr::new(client.address(case.family), port);
    by_flow(pods, client, (to, case.protocol), TARGET)
}

fn tables() -> Vec<Row> {
    let at_node = |case: Case| Vip::Node.port(NODE_PORT, case.family);
    let all = [
        uplink(&Protocol::EVERY, |case| {
            let addresses = [
                at_node(case),
                VIPS[0].port(PORT, case.family),
                VIPS[1].port(PORT, case.family),
            ];
            let row =
                Row::new("Maglev: a client outside reaches the pod that its hash means, at every address")
                    .state(hashed(case, &THREE));
            (41_000..41_024)
                .zip(addresses.iter().cycle())
                .fold(row, |row, (port, to)| {
                    let client = OUTSIDERS[usize::from(port % 2)];
                    let pod = owner(case, &THREE, (client, port), to.port());
                    row.step(
                        case.talk(port)
                            .from(client)
                            .at(*to)
                            .opens(case.protocol, reaches(&[pod])),
                    )
                })
        }),
        uplink(&Protocol::EVERY, |case| {
            let row =
                Row::new("Maglev: when a pod goes, flows stay and new ones reach whom the new table means")
                    .state(hashed(case, &THREE));
            let talk = |port| case.talk(port).at(at_node(case));
            let open = |row: Row, ports: std::ops::Range<u16>, pods: &[&'static str]| {
                ports.fold(row, |row, port| {
                    let pod = owner(case, pods, (OUTSIDE, port), NODE_PORT);
                    row.step(talk(port).opens(case.protocol, reaches(&[pod])))
                        .step(talk(port).is_opened(case.protocol))
                })
            };
            let row = open(row, 41_100..41_106, &THREE).state(hashed(case, &TWO));
            let row = (41_100..41_106).fold(row, |row, port| {
                let stays = owner(case, &THREE, (OUTSIDE, port), NODE_PORT) != "web-3";
                if stays || case.protocol != Protocol::Udp {
                    row.step(talk(port).goes_on(case.protocol, Then::ReachesSame))
                } else {
                    row
                }
            });
            let row = open(row, 41_110..41_122, &TWO).state(hashed(case, &THREE));
            open(row, 41_130..41_136, &THREE)
        }),
        uplink(&Protocol::ALL, |case| {
            let row = Row::new("Maglev: sockets of a client reach the pods that their hashes mean")
                .state(hashed(case, &THREE));
            (18_050..18_058).fold(row, |row, port| {
                let pod = owner(case, &THREE, (OUTSIDE, port), NODE_PORT);
                row.step(case.ask().to(at_node(case)).source_port(port).by(&[pod]))
            })
        }),
        uplink(&Protocol::ALL, |case| {
            Row::new("Maglev: hashes treat all pods alike")
                .state(hashed(case, &THREE))
                .step(
                    case.ask()
                        .to(at_node(case))
                        .times(300)
                        .expect(Expect::Spread(THREE.to_vec())),
                )
        }),
        uplink(&Protocol::ALL, |case| {
            Row::new("Maglev: one pod, and none, need no table")
                .state(hashed(case, &["web-2"]))
                .step(
                    case.talk(41_200)
                        .at(at_node(case))
                        .opens(case.protocol, reaches(&["web-2"])),
                )
                .state(hashed(case, &[]))
                .step(
                    case.talk(41_201)
                        .at(at_node(case))
                        .opens(case.protocol, Then::Unreachable),
                )
        }),
    ];
    all.concat()
}

fn affinity() -> Vec<Row> {
    uplink(&Protocol::ALL, |case| {
        let row = Row::new(
            "Maglev: with affinity every port of a client reaches one pod, which its address alone means",
        )
        .state(hashed(case, &THREE).affinity(Duration::from_secs(100)));
        let ask = |row: Row, ports: std::ops::Range<u16>| {
            ports.fold(row, |row, port| {
                let client = OUTSIDERS[usize::from(port % 2)];
                let pod = by_client(&THREE, client, case.family, TARGET);
                let to = if port % 4 < 2 {
                    Vip::Node.port(NODE_PORT, case.family)
                } else {
                    VIPS[0].port(PORT, case.family)
                };
                row.step(
                    case.talk(port)
                        .from(client)
                        .at(to)
                        .opens(case.protocol, reaches(&[pod])),
                )
            })
        };
        let row = ask(row, 41_300..41_308);
        // Records are forgotten then.
        ask(row.step(Step::Wait(Duration::from_secs(200))), 41_310..41_318)
    })
}

/// A pod asks by its own node alone.
fn inside() -> Vec<Row> {
    for_each(&[Via::Packet], &[Protocol::Tcp], |case| {
        let ask = case.ask().source_port(18_060).by(&TWO);
        Row::new("Maglev: pods are balanced by chance all the same")
            .state(hashed(case, &TWO))
            .step(Step::Reuse { ask, end: End::Reset })
    })
}
