//! What a health-check node port answers (semantics 3g).

use std::collections::BTreeSet;

use kproxy_common::{Family, Protocol};

use super::merge::merge;
use super::{Place, select};
use crate::model::{Name, Service, Slice};

/// What the load balancer of a service is told in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The node port that it asks.
    pub port: u16,
    /// How many endpoints this node has.
    pub local_endpoints: u32,
}

/// What to tell, if the service asks for it.
///
/// Addresses are counted that are ready and on this node, over all ports (semantics 3.56). Hints are none of the load
/// balancer's business (2.41), and neither are endpoints that are shutting down.
#[must_use]
pub fn health_check(
    service: &Service,
    family: Family,
    slices: &[Slice],
    place: &Place,
) -> Option<HealthCheck> {
    let port = service.health_check_port()?.number();
    let of_family = |slice: &&Slice| slice.family == family;
    let ports: BTreeSet<(&Name, Protocol)> = slices
        .iter()
        .filter(of_family)
        .flat_map(|slice| &slice.ports)
        .map(|port| (&port.name, port.protocol))
        .collect();
    let mut addresses = BTreeSet::new();
    for (name, protocol) in ports {
        let merged = merge(name, protocol, family, slices);
        let counted = merged
            .iter()
            .filter(|(_, candidate)| select::is_local(candidate, place) && select::is_ready(candidate));
        addresses.extend(counted.map(|(endpoint, _)| endpoint.address));
    }
    Some(HealthCheck {
        port,
        local_endpoints: u32::try_from(addresses.len()).unwrap_or(u32::MAX),
    })
}
