//! From one service port and its slices to what the data plane shall do for it on this node.
//!
//! Pure: the same objects give the same answer, in a fixed order. The steps, one file each:
//! `merge` unites the slices, `topology` reads the hints, `select` finds the two sets of usable endpoints,
//! [`frontends`] says under which addresses they are served and what happens when a set is empty, `ranges` who may ask
//! load-balancer addresses, `health` what a load balancer is told that asks for local endpoints.
//! Everything is decided for one port in one family, never for a whole Service (semantics 2.11).

pub mod frontends;
mod health;
mod merge;
mod node;
mod place;
mod ranges;
mod select;
mod topology;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kproxy_common::{BackendFlags, Family};

use crate::model::{Conditions, Service, ServicePort, Slice};
use crate::plan::WantedService;

pub use health::{HealthCheck, health_check};
pub use node::NodeFacts;
pub use place::Place;

/// What the data plane shall do for one port of a service in one family.
///
/// `slices` are those of this service, in any fixed order; slices of the other family are passed over.
pub fn compile<'a>(
    service: &Service,
    port: &ServicePort,
    family: Family,
    slices: impl IntoIterator<Item = &'a Slice>,
    place: &Place,
) -> WantedService {
    let needs = frontends::needs(service, port, family);
    let merged = merge::merge(&port.name, port.protocol, family, slices);
    let selected = select::select(&merged, needs, place);
    let frontends = frontends::frontends(service, port, family, &selected, place);

    let mut endpoints = BTreeMap::new();
    for (endpoint, candidate) in &merged {
        // Flows stay with whoever can still answer (semantics 7.05); new ones go where the sets say, and those may
        // hold endpoints that are ready without serving.
        let usable = selected.contains(endpoint);
        if usable || candidate.conditions.contains(Conditions::SERVING) {
            let mut flags = BackendFlags::empty();
            flags.set(BackendFlags::LOCAL, select::is_local(candidate, place));
            endpoints.insert(*endpoint, flags);
        }
    }
    WantedService {
        frontends,
        endpoints,
        cluster: selected.cluster,
        local: selected.local,
        source_ranges: ranges::source_ranges(service, family, place),
        left_alone: None,
    }
}
