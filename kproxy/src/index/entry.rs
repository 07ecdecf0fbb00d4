//! One service: its object, its slices, and what was given out for it.

use std::hash::{DefaultHasher, Hash, Hasher};

use kproxy_common::{Family, Protocol};

use super::claims::Claims;
use super::conflict::conflict;
use crate::compile::{HealthCheck, Place, compile, health_check};
use crate::model::{Name, ObjectName, Problem, Service, Slice};
use crate::plan::{ServicePortName, WantedFrontend, WantedService};

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) service: Option<Service>,
    /// Sorted by name. A vector, because nearly every service has one slice of each family.
    slices: Vec<Slice>,
    given: Vec<(PortId, Fingerprint)>,
}

/// A service port within its service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PortId {
    name: Name,
    protocol: Protocol,
    family: Family,
}

impl Entry {
    /// Whether nothing is known of the service any more, and nothing given for it.
    pub(super) fn is_empty(&self) -> bool {
        self.service.is_none() && self.slices.is_empty() && self.given.is_empty()
    }

    pub(super) fn has_zone_hints(&self) -> bool {
        let mut endpoints = self.slices.iter().flat_map(|slice| &slice.endpoints);
        endpoints.any(|endpoint| {
            endpoint
                .hints
                .as_ref()
                .is_some_and(|hints| !hints.zones.is_empty())
        })
    }

    /// Whether who may ask depends on what the node's own address is.
    pub(super) fn has_source_ranges(&self) -> bool {
        let service = self.service.as_ref();
        service.is_some_and(|service| !service.source_ranges().is_empty())
    }

    pub(super) fn put_service(&mut self, service: Option<Service>) {
        let given = service
            .as_ref()
            .map_or(0, |service| service.ports.len() * service.cluster_ips.len());
        // Here, beside what stays, and not when it is needed: then it would lie among what does not.
        self.given.reserve_exact(given.saturating_sub(self.given.len()));
        self.service = service;
    }

    /// Whether it is there just as it is.
    pub(super) fn has_slice(&self, slice: &Slice) -> bool {
        let position = self.slices.binary_search_by(|other| other.name.cmp(&slice.name));
        position.is_ok_and(|position| self.slices[position] == *slice)
    }

    pub(super) fn put_slice(&mut self, slice: Slice) {
        match self.slices.binary_search_by(|other| other.name.cmp(&slice.name)) {
            Ok(position) => self.slices[position] = slice,
            Err(position) => {
                self.slices.reserve_exact(1);
                self.slices.insert(position, slice);
            }
        }
    }

    /// Gives whether it was there.
    pub(super) fn remove_slice(&mut self, name: &ObjectName) -> bool {
        let position = self.slices.binary_search_by(|other| other.name.cmp(name));
        position.map(|position| self.slices.remove(position)).is_ok()
    }

    /// Compiles the service and adds what differs from what was given before. Gives the frontends that it does not get.
    pub(super) fn take_changes(
        &mut self,
        name: &ObjectName,
        place: &Place,
        claims: &Claims,
        changes: &mut Vec<(ServicePortName, Option<WantedService>)>,
    ) -> Vec<Problem> {
        let mut conflicts = Vec::new();
        let before = self.given.clone();
        self.given.clear();
        for (id, mut wanted) in self.compile(place) {
            wanted
                .frontends
                .retain(|key, frontend| match claims.holder(*key) {
                    Some(holder) if holder != name => {
                        conflicts.push(conflict(name, *key, frontend.flags, holder));
                        false
                    }
                    Some(_) | None => true,
                });
            if wanted.frontends.is_empty() && wanted.left_alone.is_none() {
                continue;
            }
            let fingerprint = Fingerprint::of(&wanted);
            let unchanged = before
                .iter()
                .any(|(given, print)| *given == id && *print == fingerprint);
            if !unchanged {
                changes.push((id.full(name), Some(wanted)));
            }
            self.given.push((id, fingerprint));
        }
        let gone = before
            .into_iter()
            .filter(|(id, _)| !self.given.iter().any(|(given, _)| given == id));
        changes.extend(gone.map(|(id, _)| (id.full(name), None)));
        self.given.shrink_to_fit();
        conflicts
    }

    /// What a load balancer is told that asks for endpoints of this node.
    pub(super) fn health_check(&self, family: Family, place: &Place) -> Option<HealthCheck> {
        let service = self.service.as_ref()?;
        let has_family = service
            .cluster_ips
            .iter()
            .any(|address| address.family() == family);
        has_family
            .then(|| health_check(service, family, &self.slices, place))
            .flatten()
    }

    fn compile(&self, place: &Place) -> Vec<(PortId, WantedService)> {
        let Some(service) = &self.service else {
            return Vec::new();
        };
        if service.foreign {
            let left_alone = service.cluster_ips.iter().map(|address| {
                let id = PortId {
                    name: Name::from(""),
                    protocol: Protocol::TCP,
                    family: address.family(),
                };
                (id, WantedService::left_alone(*address))
            });
            return left_alone.collect();
        }
        let mut compiled = Vec::with_capacity(service.ports.len() * service.cluster_ips.len());
        for port in &service.ports {
            for family in service.cluster_ips.iter().map(|address| address.family()) {
                let id = PortId {
                    name: port.name.clone(),
                    protocol: port.protocol,
                    family,
                };
                compiled.push((id, compile(service, port, family, &self.slices, place)));
            }
        }
        compiled
    }
}

impl PortId {
    fn full(&self, service: &ObjectName) -> ServicePortName {
        let Self {
            name,
            protocol,
            family,
        } = self;
        ServicePortName {
            namespace: service.namespace.clone(),
            name: service.name.clone(),
            port: name.clone(),
            protocol: *protocol,
            family: *family,
        }
    }
}

/// Stands for a [`WantedService`] that was given out. It is kept instead of a second copy of every endpoint; 128 bits
/// make it certain for all practical purposes that different content has a different one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint(u64, u64);

impl Fingerprint {
    fn of(wanted: &WantedService) -> Self {
        let halves = [0_u8, 1].map(|half| {
            let mut hasher = DefaultHasher::new();
            half.hash(&mut hasher);
            feed(wanted, &mut hasher);
            hasher.finish()
        });
        Self(halves[0], halves[1])
    }
}

fn feed(wanted: &WantedService, hasher: &mut impl Hasher) {
    let WantedService {
        frontends,
        endpoints,
        cluster,
        local,
        source_ranges,
        left_alone,
    } = wanted;
    frontends.len().hash(hasher);
    for (key, frontend) in frontends {
        let WantedFrontend {
            flags,
            affinity_seconds,
            inside,
            outside,
            restricted,
        } = frontend;
        (key, flags, affinity_seconds, inside, outside, restricted).hash(hasher);
    }
    (endpoints, cluster, local, source_ranges, left_alone).hash(hasher);
}
