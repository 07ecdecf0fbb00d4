//! The addresses a service port is served under, and which set of endpoints serves whom (semantics 3, 4a, 4b).

use std::collections::BTreeMap;

use kproxy_common::{Address, Family, FrontendFlags, FrontendKey};

use super::Place;
use super::select::Selected;
use crate::model::{LoadBalancing, Service, ServicePort, TrafficPolicy};
use crate::plan::{BackendSet, WantedFrontend};

/// Which sets of endpoints the frontends of a service port use. A set that none uses is not computed (semantics 2.29).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) cluster: bool,
    pub(super) local: bool,
}

pub(super) fn needs(service: &Service, port: &ServicePort, family: Family) -> Needs {
    let internal = set_of(service.internal_policy);
    let external = offers(service, port)
        .any(|(key, kind)| key.address.family() == family && kind != FrontendFlags::CLUSTER_IP);
    Needs {
        // Clients inside use the Cluster set of an external frontend whatever its policy (2.30).
        cluster: internal == BackendSet::Cluster || external,
        local: internal == BackendSet::Local
            || external && set_of(service.external_policy) == BackendSet::Local,
    }
}

/// Every frontend that a service asks for, in all families. It may lose some of them to an older service.
pub fn keys(service: &Service) -> impl Iterator<Item = FrontendKey> {
    let ports = service.ports.iter();
    ports.flat_map(|port| offers(service, port).map(|(key, _)| key))
}

pub(super) fn frontends(
    service: &Service,
    port: &ServicePort,
    family: Family,
    selected: &Selected,
    place: &Place,
) -> BTreeMap<FrontendKey, WantedFrontend> {
    let restricted = service
        .source_ranges()
        .iter()
        .any(|range| range.family() == family);
    let mut frontends = BTreeMap::new();
    for (key, kind) in offers(service, port).filter(|(key, _)| key.address.family() == family) {
        frontends
            .entry(key)
            .or_insert_with(|| frontend(service, kind, restricted, selected, place));
    }
    frontends
}

/// The frontends of one port, each with its kind. An address that has two kinds has the first one: a ClusterIP stays
/// one, and source ranges hold for a load-balancer address that is an external one as well (semantics 3.48).
fn offers(service: &Service, port: &ServicePort) -> impl Iterator<Item = (FrontendKey, FrontendFlags)> {
    let ServicePort {
        name: _,
        protocol,
        port: number,
        node_port,
    } = *port;
    let kinds: [(&[Address], FrontendFlags); 3] = [
        (&service.cluster_ips, FrontendFlags::CLUSTER_IP),
        (service.load_balancer_ips(), FrontendFlags::LOAD_BALANCER),
        (service.external_ips(), FrontendFlags::EXTERNAL_IP),
    ];
    let by_address = kinds.into_iter().flat_map(move |(addresses, kind)| {
        let keys = addresses
            .iter()
            .map(move |address| FrontendKey::new(*address, number, protocol));
        keys.map(move |key| (key, kind))
    });
    let by_node_port = node_port.into_iter().flat_map(move |number| {
        let families = service.cluster_ips.iter().map(|address| address.family());
        let keys =
            families.map(move |family| FrontendKey::new(Address::unspecified(family), number, protocol));
        keys.map(|key| (key, FrontendFlags::NODE_PORT))
    });
    by_address.chain(by_node_port)
}

fn frontend(
    service: &Service,
    kind: FrontendFlags,
    restricted: bool,
    selected: &Selected,
    place: &Place,
) -> WantedFrontend {
    let (inside, outside) = if kind == FrontendFlags::CLUSTER_IP {
        // The internal policy holds for everybody who asks a ClusterIP, wherever they are (semantics 3.12, 3.13).
        let set = set_of(service.internal_policy);
        (set, set)
    } else {
        // Clients inside the cluster need not leave it to find all endpoints (semantics 3.35, 3.36, 3.38).
        (BackendSet::Cluster, set_of(service.external_policy))
    };
    let mut flags = kind;
    flags.set(FrontendFlags::INSIDE_LOCAL, inside == BackendSet::Local);
    flags.set(FrontendFlags::OUTSIDE_LOCAL, outside == BackendSet::Local);
    flags.set(FrontendFlags::DROP_INSIDE, selected.drops(inside));
    flags.set(FrontendFlags::DROP_OUTSIDE, selected.drops(outside));
    let balancing = load_balancing(service, kind, place);
    flags.set(FrontendFlags::MAGLEV, balancing == LoadBalancing::Maglev);
    WantedFrontend {
        flags,
        affinity_seconds: service.affinity_seconds,
        inside,
        outside,
        // Source ranges are a matter of load-balancer addresses alone (semantics 3.40).
        restricted: restricted && kind == FrontendFlags::LOAD_BALANCER,
    }
}

/// Hardly anybody outside asks a ClusterIP, and every Service has one: their tables would be many, so only a Service
/// that says so itself has them there too.
fn load_balancing(service: &Service, kind: FrontendFlags, place: &Place) -> LoadBalancing {
    service
        .load_balancing
        .unwrap_or(if kind == FrontendFlags::CLUSTER_IP {
            LoadBalancing::Random
        } else {
            place.load_balancing
        })
}

fn set_of(policy: TrafficPolicy) -> BackendSet {
    match policy {
        TrafficPolicy::Cluster => BackendSet::Cluster,
        TrafficPolicy::Local => BackendSet::Local,
    }
}
