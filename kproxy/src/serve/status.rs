//! What the agent's task tells, and what servers read: one handle for both.
//!
//! The agent writes through a [`Reporter`](super::Reporter); servers only read. Nothing here waits for the agent, so
//! that a probe is answered also when the agent hangs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kproxy_common::Family;
use tokio::sync::watch;

use super::events::Events;
use super::health::{Health, Report};
use super::metrics::Counted;
use super::moment::Moment;
use super::service_health::Addresses;
use crate::index::HealthChecks;
use crate::plan::Fill;

/// Both families, in order: one plan serves both.
pub(super) const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// The agent's state as servers see it. Clones share it.
#[derive(Clone, Debug)]
pub struct Status(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Written by the agent, read by probes and scrapes; held for a few assignments only, never while waiting.
    health: Mutex<Health>,
    /// The same.
    fill: Mutex<BTreeMap<&'static str, Fill>>,
    counted: Counted,
    health_checks: watch::Sender<(HealthChecks, Addresses)>,
    events: Events,
}

impl Status {
    /// Nothing has happened yet. `sync_period` is the period of full syncs, of which two may pass before the proxy is
    /// unhealthy; `needs_node` says whether the cluster has Node objects.
    ///
    /// # Errors
    /// A metric's definition is wrong, which tests find.
    pub fn new(sync_period: Duration, needs_node: bool, events: Events) -> prometheus::Result<Self> {
        Ok(Self(Arc::new(Shared {
            health: Mutex::new(Health::new(sync_period, needs_node)),
            fill: Mutex::default(),
            counted: Counted::new()?,
            health_checks: watch::Sender::default(),
            events,
        })))
    }

    /// The judgement at this moment.
    #[must_use]
    pub fn health(&self) -> Report {
        self.locked_health().report(Moment::now())
    }

    /// Notes a sweep of sockets that held on to UDP backends that are gone: how long it took, for both families, and
    /// how many of which family were ended.
    pub fn swept(&self, took: Duration, ended: &BTreeMap<Family, u64>) {
        for family in FAMILIES {
            let ended = ended.get(&family).copied().unwrap_or_default();
            self.counted().swept(family, took, ended);
        }
    }

    /// Where notices for people go.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// Which health-check node ports are wanted, now and later.
    #[must_use]
    pub(super) fn health_checks(&self) -> watch::Receiver<(HealthChecks, Addresses)> {
        self.0.health_checks.subscribe()
    }

    /// Tells it also when nothing has changed: what could not be opened is tried again.
    pub(super) fn want_health_checks(&self, wanted: &HealthChecks) {
        self.0.health_checks.send_modify(|(told, _)| {
            if told != wanted {
                told.clone_from(wanted);
            }
        });
    }

    pub(super) fn want_health_checks_at(&self, addresses: Addresses) {
        self.0.health_checks.send_if_modified(|(_, told)| {
            let differ = *told != addresses;
            *told = addresses;
            differ
        });
    }

    pub(super) fn counted(&self) -> &Counted {
        &self.0.counted
    }

    pub(super) fn locked_health(&self) -> MutexGuard<'_, Health> {
        self.0.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tables that the plan fills.
    pub(super) fn fill(&self) -> Vec<Fill> {
        self.locked_fill().values().copied().collect()
    }

    pub(super) fn set_fill(&self, fill: impl IntoIterator<Item = Fill>) {
        self.locked_fill()
            .extend(fill.into_iter().map(|fill| (fill.map, fill)));
    }

    fn locked_fill(&self) -> MutexGuard<'_, BTreeMap<&'static str, Fill>> {
        self.0.fill.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
