//! The plan against a model of the maps.

mod any;
mod cases;
mod maglev;
mod model;
mod node;
mod random;
mod ranges;
mod served;
mod stays;
mod unserved;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use kproxy_common::{Address, BackendFlags, Family, FrontendFlags, FrontendKey, Port, Protocol};

use super::wanted::{BackendSet, Endpoint, ServicePortName, WantedFrontend, WantedService};
use super::{Capacity, Plan, WantedNode};
use crate::model::{Cidr, parse_cidr};

const ROOMY: Capacity = Capacity {
    addresses: 64,
    frontends: 64,
    slots: 256,
    backends: 256,
    source_ranges: 64,
};

fn name(name: &str) -> ServicePortName {
    ServicePortName {
        namespace: "test".into(),
        name: name.into(),
        port: "".into(),
        protocol: Protocol::TCP,
        family: Family::V4,
    }
}

fn key(address: u8, port: u16) -> FrontendKey {
    FrontendKey::new(
        Address::from(Ipv4Addr::new(10, 96, 0, address)),
        Port::new(port),
        Protocol::TCP,
    )
}

fn endpoint(number: u8) -> Endpoint {
    Endpoint {
        address: Address::from(Ipv4Addr::new(10, 1, 0, number)),
        port: Port::new(8080),
    }
}

/// A `ClusterIP` with these endpoints; odd ones are on this node.
fn service(address: u8, endpoints: &[u8]) -> WantedService {
    let frontend = WantedFrontend {
        flags: FrontendFlags::CLUSTER_IP,
        affinity_seconds: 0,
        inside: BackendSet::Cluster,
        outside: BackendSet::Cluster,
        restricted: false,
    };
    let sorted: BTreeSet<u8> = endpoints.iter().copied().collect();
    let local = |number: &u8| number % 2 == 1;
    WantedService {
        frontends: [(key(address, 80), frontend)].into(),
        endpoints: sorted
            .iter()
            .map(|n| {
                (
                    endpoint(*n),
                    if local(n) {
                        BackendFlags::LOCAL
                    } else {
                        BackendFlags::empty()
                    },
                )
            })
            .collect(),
        cluster: sorted.iter().copied().map(endpoint).collect(),
        local: sorted.iter().copied().filter(local).map(endpoint).collect(),
        source_ranges: BTreeSet::new(),
        left_alone: None,
    }
}

fn address(host: u8) -> Address {
    key(host, 0).address
}

fn cidr(text: &str) -> Cidr {
    parse_cidr(text).unwrap()
}

/// Ports of no service, of one, and of a `NodePort`, on addresses that are services', the node's or nobody's.
fn probes() -> impl Iterator<Item = FrontendKey> {
    (0..16).flat_map(|address| [9, 1000, 30_002].map(|port| key(address, port)))
}

fn wanted<const N: usize>(services: [(&str, WantedService); N]) -> BTreeMap<ServicePortName, WantedService> {
    services
        .into_iter()
        .map(|(text, service)| (name(text), service))
        .collect()
}

fn one(text: &str, service: Option<WantedService>) -> BTreeMap<ServicePortName, Option<WantedService>> {
    [(name(text), service)].into()
}

fn texts(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| step.action.to_string()).collect()
}
