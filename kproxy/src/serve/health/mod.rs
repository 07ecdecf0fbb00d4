//! Whether this node's proxy keeps up (semantics 9.02 to 9.10).
//!
//! State and judgement, without a clock: every method that needs the time is given it. [`server`] answers with it.

pub(super) mod server;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use kproxy_common::Family;

use super::moment::Moment;

/// What is known of both families' updates and of the node.
#[derive(Clone, Debug)]
pub struct Health {
    /// How long an update may be queued: twice the period of full syncs (9.04).
    patience: Duration,
    families: BTreeMap<Family, Updates>,
    /// Whether the node may get traffic from load balancers, once that is known.
    node_eligible: Option<bool>,
    needs_node: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Updates {
    /// `None` until the family's loop was entered (9.05).
    done: Option<Timestamp>,
    /// Since when something waits; a failure leaves it as it is (9.07).
    waiting_since: Option<Instant>,
    queued: Option<Timestamp>,
}

/// A judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// When it was made.
    pub now: Timestamp,
    /// Whether no family is late.
    pub healthy: bool,
    /// Whether load balancers may send to this node.
    pub node_eligible: bool,
    /// The newest update of any family.
    pub last_updated: Option<Timestamp>,
    /// Every family whose loop was entered.
    pub families: BTreeMap<Family, FamilyReport>,
}

/// A judgement on one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyReport {
    /// Its last update.
    pub last_updated: Timestamp,
    /// Whether nothing waits for too long.
    pub healthy: bool,
}

impl Health {
    /// Nothing known yet. Where there is no Node object (`needs_node` false), the node is eligible until one says
    /// otherwise.
    #[must_use]
    pub fn new(sync_period: Duration, needs_node: bool) -> Self {
        Self {
            patience: sync_period.saturating_mul(2),
            families: BTreeMap::new(),
            node_eligible: None,
            needs_node,
        }
    }

    /// Everything that was queued is in force; also said when the family's loop is entered.
    pub fn updated(&mut self, family: Family, now: Moment) {
        let updates = self.families.entry(family).or_default();
        updates.done = Some(now.wall);
        updates.waiting_since = None;
    }

    /// Something is to be done.
    pub fn queued(&mut self, family: Family, now: Moment) {
        let updates = self.families.entry(family).or_default();
        updates.queued = Some(now.wall);
        updates.waiting_since.get_or_insert(now.instant);
    }

    /// What the Node object says. Not to be called when it vanishes: the last word holds (9.10).
    pub fn node(&mut self, eligible: bool) {
        self.node_eligible = Some(eligible);
    }

    /// When the family was updated last.
    #[must_use]
    pub fn last_updated(&self, family: Family) -> Option<Timestamp> {
        self.families.get(&family)?.done
    }

    /// When something was queued for the family last.
    #[must_use]
    pub fn last_queued(&self, family: Family) -> Option<Timestamp> {
        self.families.get(&family)?.queued
    }

    /// The judgement at this moment.
    #[must_use]
    pub fn report(&self, now: Moment) -> Report {
        let judged = |updates: &Updates| {
            let late = updates
                .waiting_since
                .is_some_and(|since| now.instant.saturating_duration_since(since) >= self.patience);
            Some(FamilyReport {
                last_updated: updates.done?,
                healthy: !late,
            })
        };
        let families: BTreeMap<_, _> = self
            .families
            .iter()
            .filter_map(|(family, updates)| Some((*family, judged(updates)?)))
            .collect();
        Report {
            now: now.wall,
            healthy: families.values().all(|family| family.healthy),
            node_eligible: self.node_eligible.unwrap_or(!self.needs_node),
            last_updated: families.values().map(|family| family.last_updated).max(),
            families,
        }
    }
}

#[cfg(test)]
mod tests;
