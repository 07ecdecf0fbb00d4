//! Every combination (semantics 3 to 5) of client, frontend, policy, place of the backends, family and protocol. The expectation comes from
//! [`rules`](super::rules).
//!
//! A combination has no meaning, and no row, where a process of the node speaks SCTP: the kernel runs no hooks for its
//! sockets, and a process of the node meets no other door.

use std::net::SocketAddr;

use kproxy_common::Family;

use super::rules::{Client, Frontend, Outcome, Place, Policy, items, outcome, source};
use crate::acceptance::row::{Ask, Expect, Row};
use crate::acceptance::service::Service;
use crate::acceptance::state::{PORT, Protocol, SHOP, shop};
use crate::acceptance::world::{FAMILIES, Vip, service};

const NODE_PORT: u16 = 30_180;
const EXTERNAL: Vip = Vip::Number(40);
const BALANCED: Vip = Vip::Number(41);
/// Often enough for each of three backends to come up, nearly always.
const TIMES: usize = 6;

pub(super) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    // Rows of one state stand together: a runner may play them at the same time.
    for policy in Policy::ALL {
        for place in Place::ALL {
            for client in Client::ALL {
                for frontend in Frontend::ALL {
                    for family in FAMILIES {
                        let protocols = Protocol::EVERY.into_iter();
                        rows.extend(
                            protocols
                                .filter(|protocol| has_meaning(client, *protocol))
                                .map(|protocol| row(client, frontend, policy, place, (family, protocol))),
                        );
                    }
                }
            }
        }
    }
    rows
}

fn has_meaning(client: Client, protocol: Protocol) -> bool {
    protocol != Protocol::Sctp || matches!(client, Client::External | Client::Pod)
}

fn row(
    client: Client,
    frontend: Frontend,
    policy: Policy,
    place: Place,
    (family, protocol): (Family, Protocol),
) -> Row {
    let name = format!(
        "{} {} asks {} with policy {policy:?} and {} ({family} {})",
        items(client, frontend, policy, place),
        client.name(),
        frontend.name(),
        place.name(),
        protocol.name()
    );
    let expect = match outcome(client, frontend, policy, place) {
        Outcome::Served(backends) => Expect::By(backends),
        Outcome::Rejected => Expect::Refused,
        Outcome::Dropped if client == Client::Node => Expect::Denied,
        Outcome::Dropped => Expect::Silence,
    };
    let sources = place.backends().into_iter().map(|it| (it, source(client, it)));
    let ask = Ask::web(client.via(), protocol, family)
        .to(address(frontend, family))
        .seen_as(sources.collect());
    let times = if matches!(expect, Expect::By(_)) { TIMES } else { 1 };
    Row::new(name)
        .state(served(policy, place))
        .step(ask.times(times).expect(expect))
}

/// One service with every kind of frontend.
fn served(policy: Policy, place: Place) -> Service {
    let service = shop(&place.backends())
        .sctp(8080)
        .node_port(NODE_PORT)
        .external_ips(&[EXTERNAL])
        .load_balancer(&[BALANCED]);
    match policy {
        Policy::Cluster => service,
        Policy::Local => service.local().external_local(),
    }
}

fn address(frontend: Frontend, family: Family) -> SocketAddr {
    match frontend {
        Frontend::ClusterIp => service(SHOP, PORT, family),
        Frontend::NodePort => Vip::Node.port(NODE_PORT, family),
        Frontend::ExternalIp => EXTERNAL.port(PORT, family),
        Frontend::LoadBalancerIp => BALANCED.port(PORT, family),
    }
}
