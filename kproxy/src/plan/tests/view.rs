//! What packets meet in the maps: the data plane's decisions, as far as the plan answers for them.

use std::collections::BTreeSet;

use kproxy_common::{
    Address, AddressRole, Backend, BackendFlags, Frontend, FrontendFlags, FrontendKey, ServiceId, SlotRun,
};

use super::super::MapContents;
use super::super::wanted::Endpoint;
use crate::model::Cidr;

/// What becomes of a new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Served(Box<View>),
    /// An undefined port of an active `ClusterIP`.
    Rejected,
    /// An unallocated `ClusterIP`.
    Dropped,
    LeftAlone,
}

/// A frontend and everything behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) flags: FrontendFlags,
    pub(super) affinity_seconds: u32,
    /// `None` for everybody.
    pub(super) allowed: Option<BTreeSet<Cidr>>,
    pub(super) inside: BTreeSet<Endpoint>,
    pub(super) outside: BTreeSet<Endpoint>,
}

impl MapContents {
    /// The decision about a destination. Fails if it leads to something that is not there.
    pub(super) fn verdict(&self, key: FrontendKey) -> Verdict {
        let role = if key.address.is_unspecified() {
            AddressRole::SERVICE
        } else {
            self.role(key.address)
        };
        let exact = role.contains(AddressRole::SERVICE).then_some(key);
        let keys = [exact, role.contains(AddressRole::NODE).then(|| node_port(key))];
        let found = keys
            .into_iter()
            .flatten()
            .find_map(|key| Some((key, *self.frontends.get(&key)?)));
        if let Some((key, frontend)) = found {
            return Verdict::Served(Box::new(self.view(key, frontend)));
        }
        if role.contains(AddressRole::CLUSTER_IP) {
            Verdict::Rejected
        } else if role.intersects(AddressRole::NODE | AddressRole::EXEMPT | AddressRole::OWN) {
            Verdict::LeftAlone
        } else if self.is_in_a_service_cidr(key.address) {
            Verdict::Dropped
        } else {
            Verdict::LeftAlone
        }
    }

    pub(super) fn role(&self, address: Address) -> AddressRole {
        let role = self.addresses.get(&address).copied();
        role.unwrap_or(AddressRole::empty())
    }

    pub(super) fn is_in_a_service_cidr(&self, address: Address) -> bool {
        let mut list = self.service_cidrs.iter().take_while(|range| !range.is_unset());
        list.any(|range| range.contains(&address))
    }

    fn view(&self, key: FrontendKey, frontend: Frontend) -> View {
        View {
            flags: frontend.flags,
            affinity_seconds: frontend.affinity_seconds,
            allowed: (frontend.ranges.0 != 0).then(|| {
                self.source_ranges
                    .get(&frontend.ranges)
                    .cloned()
                    .unwrap_or_default()
            }),
            inside: self.endpoints(key, frontend.service, frontend.inside),
            outside: self.endpoints(key, frontend.service, frontend.outside),
        }
    }

    fn endpoints(&self, key: FrontendKey, service: ServiceId, run: SlotRun) -> BTreeSet<Endpoint> {
        let slots = &self.slots[run.base as usize..(run.base + run.count) as usize];
        let endpoints = slots.iter().map(|index| {
            let backend = self.backends[index.0 as usize];
            assert!(
                backend.flags.contains(BackendFlags::ALIVE),
                "{key:?} points at a dead record"
            );
            assert_eq!(
                backend.service, service,
                "{key:?} points at another service's record"
            );
            endpoint_of(&backend)
        });
        endpoints.collect()
    }
}

/// The key of a `NodePort` with this port.
pub(super) fn node_port(key: FrontendKey) -> FrontendKey {
    FrontendKey {
        address: Address::unspecified(key.address.family()),
        ..key
    }
}

pub(super) fn endpoint_of(backend: &Backend) -> Endpoint {
    Endpoint {
        address: backend.address,
        port: backend.port,
    }
}
