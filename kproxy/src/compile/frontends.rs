//! The addresses a service port is served under, and which set of endpoints serves whom (semantics 3b, 4a, 4b).
//!
//! Other kinds of frontends (`NodePort`, external and load-balancer addresses) are further items of [`keys`], with
//! [`BackendSet::Cluster`] for inside clients and the external traffic policy for the others.

use std::collections::BTreeMap;

use kproxy_common::{Address, Family, FrontendFlags, FrontendKey};

use super::select::Selected;
use crate::model::{Service, ServicePort, TrafficPolicy};
use crate::plan::{BackendSet, WantedFrontend};

/// Which sets of endpoints the frontends of a service use. A set that none uses is not computed (semantics 2.29).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) cluster: bool,
    pub(super) local: bool,
}

pub(super) fn needs(service: &Service) -> Needs {
    let set = set_of(service.internal_policy);
    Needs {
        cluster: set == BackendSet::Cluster,
        local: set == BackendSet::Local,
    }
}

/// Every frontend that a service asks for, in all families. It may lose some of them to an older service.
pub fn keys(service: &Service) -> impl Iterator<Item = FrontendKey> {
    let ports = service.ports.iter();
    ports.flat_map(|port| {
        service
            .cluster_ips
            .iter()
            .map(|address| cluster_ip_key(*address, port))
    })
}

pub(super) fn frontends(
    service: &Service,
    port: &ServicePort,
    family: Family,
    selected: &Selected,
) -> BTreeMap<FrontendKey, WantedFrontend> {
    let addresses = service
        .cluster_ips
        .iter()
        .filter(|address| address.family() == family);
    addresses
        .map(|address| (cluster_ip_key(*address, port), cluster_ip(service, selected)))
        .collect()
}

fn cluster_ip_key(address: Address, port: &ServicePort) -> FrontendKey {
    FrontendKey::new(address, port.port, port.protocol)
}

/// The internal policy holds for everybody who asks a ClusterIP, wherever they are (semantics 3.12, 3.13).
fn cluster_ip(service: &Service, selected: &Selected) -> WantedFrontend {
    let set = set_of(service.internal_policy);
    frontend(
        FrontendFlags::CLUSTER_IP,
        service.affinity_seconds,
        set,
        set,
        selected,
    )
}

fn frontend(
    mut flags: FrontendFlags,
    affinity_seconds: u32,
    inside: BackendSet,
    outside: BackendSet,
    selected: &Selected,
) -> WantedFrontend {
    flags.set(FrontendFlags::DROP_INSIDE, selected.drops(inside));
    flags.set(FrontendFlags::DROP_OUTSIDE, selected.drops(outside));
    WantedFrontend {
        flags,
        affinity_seconds,
        inside,
        outside,
        restricted: false,
    }
}

fn set_of(policy: TrafficPolicy) -> BackendSet {
    match policy {
        TrafficPolicy::Cluster => BackendSet::Cluster,
        TrafficPolicy::Local => BackendSet::Local,
    }
}
