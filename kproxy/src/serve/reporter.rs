//! The agent's end of [`Status`]: what its task tells while it works.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use k8s_openapi::jiff::Timestamp;
use kproxy_common::Family;

use super::events::Notice;
use super::metrics::DeviceDoor;
use super::moment::Moment;
use super::no_local::{NoLocal, Policy};
use super::service_health::Addresses;
use super::status::{FAMILIES, Status};
use crate::index::HealthChecks;
use crate::model::{Node, Problem};
use crate::plan::{Fill, ServicePortName, WantedService};
use crate::source::News;

/// Owned by the agent's task.
#[derive(Debug)]
pub struct Reporter {
    status: Status,
    /// When the agent began to work.
    since: Timestamp,
    no_local: NoLocal,
}

/// How much a sync looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything: at the start, when left-overs go, and after a failure.
    Full,
    /// What has changed.
    Partial,
}

/// A sync that has begun.
#[derive(Debug)]
#[must_use]
pub struct Sync {
    extent: Extent,
    families: BTreeSet<Family>,
    began: Instant,
}

impl Reporter {
    /// The agent begins to work, which counts as an update of both families (semantics 9.05).
    #[must_use]
    pub fn new(status: Status) -> Self {
        let reporter = Self {
            status,
            since: Timestamp::now(),
            no_local: NoLocal::default(),
        };
        reporter.update_both();
        reporter
    }

    /// When the agent began to work: triggers before it are no measure of its speed (semantics 9.20).
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// An event is about to be taken into account.
    pub fn saw(&self, news: &News) {
        let counted = self.status.counted();
        match news {
            News::Service(_) => counted.service_change(),
            News::Slice(_) => counted.slice_change(),
            News::Node(_) | News::ServiceCidr(_) | News::Unread(_) | News::Listing(_) | News::Listed(_) => {}
        }
    }

    /// What is known of this node, if anything is. A node that is unknown now, but was known, stays as it was.
    pub fn node(&self, node: Option<&Node>) {
        if let Some(node) = node {
            self.status.locked_health().node(node.is_eligible());
        }
    }

    /// A problem that nobody was told about yet.
    pub fn problem(&self, problem: &Problem) {
        self.status.events().send(Notice::of(problem));
    }

    /// How many problems there are now.
    pub fn problems(&self, count: usize) {
        self.status.counted().problems(count);
    }

    /// These changes are to be applied now; `began` is when it was begun to find out what has changed.
    pub fn begin(
        &mut self,
        extent: Extent,
        changes: &BTreeMap<ServicePortName, Option<WantedService>>,
        began: Instant,
    ) -> Sync {
        self.no_local.change(changes);
        for policy in Policy::ALL {
            for family in FAMILIES {
                let count = self.no_local.count(policy, family);
                self.status.counted().no_local(policy, family, count);
            }
        }
        let families: BTreeSet<_> = match extent {
            Extent::Full => FAMILIES.into(),
            Extent::Partial => changes.keys().map(|name| name.family).collect(),
        };
        let now = Moment::now();
        let mut health = self.status.locked_health();
        for family in &families {
            health.queued(*family, now);
        }
        Sync {
            extent,
            families,
            began,
        }
    }

    /// A sync has ended. It counts as an update if nothing of it or of an earlier one is left to be tried again
    /// (semantics 9.06, 9.07).
    pub fn ended(&self, sync: Sync, complete: bool) {
        let Sync {
            extent,
            families,
            began,
        } = sync;
        let took = began.elapsed();
        for family in families {
            self.status.counted().sync(family, extent, took);
        }
        if complete {
            self.update_both();
        }
    }

    /// All that an event has changed is in the maps; `arrived` is when its bytes had come.
    pub fn programmed(&self, arrived: Instant) {
        self.status.counted().programmed(arrived.elapsed());
    }

    /// So many entries of maps were written.
    pub fn wrote(&self, writes: usize) {
        self.status.counted().wrote(writes);
    }

    /// Everything that was taken in is in force, also what these triggers have led to (semantics 9.20).
    pub fn in_force(&self, triggers: impl IntoIterator<Item = (Family, Timestamp)>) {
        let now = Timestamp::now();
        for (family, trigger) in triggers {
            let seconds = now.duration_since(trigger).as_secs_f64().max(0.0);
            self.status.counted().network_programming(family, seconds);
        }
        self.status.counted().nothing_pending();
    }

    /// How full the tables are that the plan fills.
    pub fn fill(&self, fill: impl IntoIterator<Item = Fill>) {
        self.status.set_fill(fill);
    }

    /// How many devices have this door, and how many of them could not be given it.
    pub fn devices(&self, door: DeviceDoor, open: usize, failed: usize) {
        self.status.counted().devices(door, open, failed);
    }

    /// Which health-check node ports shall be open, and what they shall say. To be told after each sync: a port that
    /// could not be opened is tried again then (semantics 3.59).
    pub fn health_checks(&self, wanted: &HealthChecks) {
        self.status.want_health_checks(wanted);
    }

    /// Where health-check node ports shall be open: where NodePorts are served (semantics 3.49).
    pub fn health_checks_at(&self, addresses: Addresses) {
        self.status.want_health_checks_at(addresses);
    }

    fn update_both(&self) {
        let now = Moment::now();
        let mut health = self.status.locked_health();
        for family in FAMILIES {
            health.updated(family, now);
        }
    }
}
