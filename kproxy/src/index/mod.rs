//! What the cluster's objects add up to, and which services have changed.
//!
//! Synchronous and without I/O: [`Index::apply`] takes one event, [`Index::take_changes`] compiles the services that
//! events have touched since the last time and gives those whose outcome differs from what was given before. The cost
//! of an event follows what it changes; only a change of the node's zone or address looks at every service, to compile
//! those that it matters to.

mod apply;
mod claims;
mod conflict;
mod entry;
mod health;
mod listing;
mod names;
mod reports;
mod rules;
mod triggers;
mod unread;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use kproxy_common::{Address, Family};

use crate::compile::Place;
use crate::model::{Cidr, Kind, Node, ObjectName, Problem, ServiceCidr};
use crate::plan::{ServicePortName, WantedService};

use claims::Claims;
use entry::Entry;
use listing::Listings;
use names::Names;
use reports::{Reports, Topic};
use triggers::Triggers;
use unread::Unread;

pub use health::HealthChecks;
pub use rules::Rules;

/// The cluster as this node sees it.
#[derive(Debug)]
pub struct Index {
    rules: Rules,
    place: Place,
    node: Option<Node>,
    /// Services by name; also those of which only slices are known yet (semantics 2.03).
    /// Boxed, since a tree leaves nearly half of its places free.
    services: BTreeMap<ObjectName, Box<Entry>>,
    /// The service that each slice was last seen to belong to.
    owners: BTreeMap<ObjectName, ObjectName>,
    service_cidrs: BTreeMap<ObjectName, ServiceCidr>,
    claims: Claims,
    dirty: BTreeSet<ObjectName>,
    health_checks: HealthChecks,
    triggers: Triggers,
    listings: Listings,
    unread: Unread,
    reports: Reports,
    names: Names,
}

impl Index {
    /// An empty index for the node of this name. Everything counts.
    #[must_use]
    pub fn new(node_name: &str) -> Self {
        Self::with_rules(node_name, Rules::default())
    }

    /// An empty index for the node of this name.
    #[must_use]
    pub fn with_rules(node_name: &str, rules: Rules) -> Self {
        Self {
            place: Place {
                node: node_name.into(),
                load_balancing: rules.load_balancing,
                ..Place::default()
            },
            rules,
            node: None,
            services: BTreeMap::new(),
            owners: BTreeMap::new(),
            service_cidrs: BTreeMap::new(),
            claims: Claims::default(),
            dirty: BTreeSet::new(),
            health_checks: HealthChecks::new(),
            triggers: Triggers::default(),
            listings: Listings::default(),
            unread: Unread::default(),
            reports: Reports::default(),
            names: Names::default(),
        }
    }

    /// Takes into account which address of each family the node has for itself, as far as they are known.
    pub fn set_primary(&mut self, primary: BTreeMap<Family, Address>) {
        if primary != self.place.primary {
            self.place.primary = primary;
            self.touch(Entry::has_source_ranges);
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
        // Sorted in the end: between what is wanted of services, which nobody keeps, a growing tree would leave nodes
        // whose place others take.
        let mut changes = Vec::new();
        if !self.synced() {
            return BTreeMap::new();
        }
        for name in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.services.get_mut(&name) else {
                continue;
            };
            let conflicts = entry.take_changes(&name, &self.place, &self.claims, &mut changes);
            self.reports
                .set(Kind::Service, &name, Topic::Conflicts, conflicts);
            for family in [Family::V4, Family::V6] {
                let check = entry.health_check(family, &self.place);
                health::set(&mut self.health_checks, &name, family, check);
            }
            if entry.is_empty() {
                self.services.remove(&name);
            }
        }
        self.names.tidy();
        changes.into_iter().collect()
    }

    /// Problems that nobody was told about yet. Each is given once, and again only after it was gone.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        self.reports.take()
    }

    /// All problems that there are now.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.reports.current()
    }

    /// What load balancers shall be told that ask for endpoints of this node, as of the last
    /// [`Index::take_changes`].
    #[must_use]
    pub fn health_checks(&self) -> &HealthChecks {
        &self.health_checks
    }

    /// When the changes of endpoints since the last call were triggered, as far as somebody wrote that down. Of those
    /// before `since` nobody knows how long they have waited for this kproxy to start.
    pub fn take_triggers(&mut self, since: Timestamp) -> impl Iterator<Item = (Family, Timestamp)> + use<> {
        self.triggers.take().filter(move |(_, trigger)| *trigger > since)
    }

    /// This node's object, as soon as it has been seen.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// The ranges in which an address that is no Service's is nobody's: those that ClusterIPs come from, in both families.
    /// None, as long as a Service is there that could never be read, since nobody knows its address (semantics 4.09).
    #[must_use]
    pub fn service_cidrs(&self) -> BTreeSet<Cidr> {
        if self.unread.may_hide_services() {
            return BTreeSet::new();
        }
        let cidrs = self.service_cidrs.values().flat_map(|object| &object.cidrs);
        cidrs.copied().collect()
    }
}
