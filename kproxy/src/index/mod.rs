//! What the cluster's objects add up to, and which services have changed.
//!
//! Synchronous and without I/O: [`Index::apply`] takes one event, [`Index::take_changes`] compiles the services that
//! events have touched since the last time and gives those whose outcome differs from what was given before. The cost
//! of an event follows what it changes; only a change of the node's zone looks at every service.

mod claims;
mod entry;
mod listing;
mod names;
mod reports;
mod triggers;
mod unread;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::compile::Place;
use crate::model::{Kind, Node, ObjectName, Parsed, Problem, Service, ServiceCidr, Slice};
use crate::plan::{ServicePortName, WantedService};
use crate::source::{Change, Event, News};

use claims::Claims;
use entry::Entry;
use listing::Listings;
use names::Names;
use reports::{Reports, Topic};
use triggers::Triggers;
use unread::Unread;

pub use triggers::Triggered;

/// The cluster as this node sees it.
#[derive(Debug)]
pub struct Index {
    place: Place,
    node: Option<Node>,
    /// Services by name; also those of which only slices are known yet (semantics 2.03).
    services: BTreeMap<ObjectName, Entry>,
    /// The service that each slice was last seen to belong to.
    owners: BTreeMap<ObjectName, ObjectName>,
    service_cidrs: BTreeMap<ObjectName, ServiceCidr>,
    claims: Claims,
    dirty: BTreeSet<ObjectName>,
    listings: Listings,
    unread: Unread,
    reports: Reports,
    names: Names,
    triggers: Triggers,
}

impl Index {
    /// An empty index for the node of this name.
    #[must_use]
    pub fn new(node_name: &str) -> Self {
        Self {
            place: Place {
                node: node_name.into(),
                zone: None,
            },
            node: None,
            services: BTreeMap::new(),
            owners: BTreeMap::new(),
            service_cidrs: BTreeMap::new(),
            claims: Claims::default(),
            dirty: BTreeSet::new(),
            listings: Listings::default(),
            unread: Unread::default(),
            reports: Reports::default(),
            names: Names::default(),
            triggers: Triggers::since_now(),
        }
    }

    /// Takes one event into account.
    pub fn apply(&mut self, event: Event) {
        match event.news {
            News::Service(change) => {
                if let Some((name, service)) = self.unpack(Kind::Service, change) {
                    self.change_service(name, service);
                }
            }
            News::Slice(change) => {
                if let Some((name, slice)) = self.unpack(Kind::EndpointSlice, change) {
                    self.change_slice(&name, slice);
                }
            }
            News::Node(change) => {
                if let Some((_, Some(node))) = self.unpack(Kind::Node, change) {
                    self.change_node(node);
                }
            }
            News::ServiceCidr(change) => {
                if let Some((name, cidr)) = self.unpack(Kind::ServiceCidr, change) {
                    self.change_service_cidr(name, cidr);
                }
            }
            News::Unread(manifests) => self.unread.manifests = manifests,
            News::Listing(kind) => self.listings.begin(kind, self.known(kind)),
            News::Listed(kind) => {
                for name in self.listings.complete(kind) {
                    self.remove(kind, name);
                }
            }
        }
    }

    /// Whether every kind has been listed once. Before that nothing may be programmed (semantics 11.01).
    #[must_use]
    pub fn synced(&self) -> bool {
        self.listings.synced()
    }

    /// How many manifests and objects are there without ever having been readable. What an earlier run has programmed
    /// for them must stay.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.unread.count()
    }

    /// What has become different since the last call; `None` is a service port that is gone.
    ///
    /// Empty as long as the index is not [synced](Self::synced). One frontend may move from one service port to another
    /// within one answer: a renamed port, or a claim that is handed over.
    pub fn take_changes(&mut self) -> BTreeMap<ServicePortName, Option<WantedService>> {
        let mut changes = BTreeMap::new();
        if !self.synced() {
            return changes;
        }
        for name in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.services.get_mut(&name) else {
                continue;
            };
            let conflicts = entry.take_changes(&name, &self.place, &self.claims, &mut changes);
            self.reports
                .set(Kind::Service, &name, Topic::Conflicts, conflicts);
            if entry.is_empty() {
                self.services.remove(&name);
            }
        }
        self.names.tidy();
        changes
    }

    /// Problems that nobody was told about yet. Each is given once, and again only after it was gone.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        self.reports.take()
    }

    /// How many problems there are, told or not.
    #[must_use]
    pub fn problems(&self) -> usize {
        self.reports.count()
    }

    /// The moments of change that slices have told of since the last call. To be taken when everything that was applied
    /// is in force; before, they wait.
    pub fn take_triggers(&mut self) -> Vec<Triggered> {
        self.triggers.take()
    }

    /// This node's object, as soon as it has been seen.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// The ranges that ClusterIPs come from.
    pub fn service_cidrs(&self) -> impl Iterator<Item = &ServiceCidr> {
        self.service_cidrs.values()
    }

    /// Keeps the books of one change. Nothing is returned for an object that can not be read: what was known of it stays.
    fn unpack<T>(&mut self, kind: Kind, change: Change<T>) -> Option<(ObjectName, Option<T>)> {
        match change {
            Change::Applied(Parsed {
                name,
                object,
                problems,
            }) => {
                self.listings.saw(kind, &name);
                self.unread.is_readable(kind, &name);
                self.reports.set(kind, &name, Topic::Fields, problems);
                Some((name, object))
            }
            Change::Removed(name) => {
                self.listings.saw(kind, &name);
                self.unread.is_readable(kind, &name);
                self.reports.set(kind, &name, Topic::Fields, Vec::new());
                Some((name, None))
            }
            Change::Rejected(problem) => {
                self.listings.saw(kind, &problem.name);
                let name = problem.name.clone();
                if !self.is_known(kind, &name) {
                    self.unread.is_not_readable(kind, name.clone());
                }
                self.reports.set(kind, &name, Topic::Fields, vec![problem]);
                None
            }
        }
    }

    fn change_service(&mut self, name: ObjectName, service: Option<Service>) {
        let service = service.map(|service| self.names.share_service(service));
        let name = service.as_ref().map_or(name, |service| service.name.clone());
        if service.is_none() && !self.services.contains_key(&name) {
            return;
        }
        let entry = self.services.entry(name.clone()).or_default();
        if entry.service == service {
            return;
        }
        let touched = self.claims.replace(entry.service.as_ref(), service.as_ref());
        entry.service = service;
        self.dirty.extend(touched);
        self.dirty.insert(name);
    }

    fn change_slice(&mut self, name: &ObjectName, slice: Option<Slice>) {
        let slice = slice.map(|slice| self.names.share_slice(slice));
        let owner = slice.as_ref().map(|slice| slice.service.clone());
        let previous = match &owner {
            Some(owner) => self.owners.insert(name.clone(), owner.clone()),
            None => self.owners.remove(name),
        };
        if let Some(previous) = previous.filter(|previous| Some(previous) != owner.as_ref())
            && let Some(entry) = self.services.get_mut(&previous)
            && entry.remove_slice(name)
        {
            self.triggers.discard(&previous);
            self.dirty.insert(previous);
        }
        if let (Some(owner), Some(slice)) = (owner, slice) {
            let entry = self.services.entry(owner.clone()).or_default();
            self.triggers.add(&owner, &slice, entry.slice(&slice.name));
            if entry.put_slice(slice) {
                self.dirty.insert(owner);
            }
        }
    }

    /// A node that vanishes is only a gap: it stays where it was (semantics 10.21).
    fn change_node(&mut self, node: Node) {
        if node.name != self.place.node {
            return;
        }
        if node.zone != self.place.zone {
            self.place.zone.clone_from(&node.zone);
            let hinted = self.services.iter().filter(|(_, entry)| entry.has_zone_hints());
            self.dirty.extend(hinted.map(|(name, _)| name.clone()));
        }
        self.node = Some(node);
    }

    fn change_service_cidr(&mut self, name: ObjectName, cidr: Option<ServiceCidr>) {
        match cidr {
            Some(cidr) => self.service_cidrs.insert(name, cidr),
            None => self.service_cidrs.remove(&name),
        };
    }

    fn remove(&mut self, kind: Kind, name: ObjectName) {
        self.reports.set(kind, &name, Topic::Fields, Vec::new());
        self.unread.is_readable(kind, &name);
        match kind {
            Kind::Service => self.change_service(name, None),
            Kind::EndpointSlice => self.change_slice(&name, None),
            Kind::ServiceCidr => self.change_service_cidr(name, None),
            Kind::Node => {}
        }
    }

    fn is_known(&self, kind: Kind, name: &ObjectName) -> bool {
        match kind {
            Kind::Service => self
                .services
                .get(name)
                .is_some_and(|entry| entry.service.is_some()),
            Kind::EndpointSlice => self.owners.contains_key(name),
            Kind::Node | Kind::ServiceCidr => true,
        }
    }

    fn known(&self, kind: Kind) -> BTreeSet<ObjectName> {
        let mut names = self.reports.names(kind);
        match kind {
            Kind::Service => {
                let present = self.services.iter().filter(|(_, entry)| entry.service.is_some());
                names.extend(present.map(|(name, _)| name.clone()));
            }
            Kind::EndpointSlice => names.extend(self.owners.keys().cloned()),
            Kind::ServiceCidr => names.extend(self.service_cidrs.keys().cloned()),
            Kind::Node => {}
        }
        names
    }
}
