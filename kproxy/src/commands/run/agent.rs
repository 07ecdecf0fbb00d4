//! What the agent does about news: decisions without waiting, so that they can be tested.
//!
//! * [`tell`]: what it says about them

mod tell;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::causes::one_line;
use crate::devices;
use crate::index::Index;
use crate::plan::{Applied, GRACE, Plan, ServicePortName, WantedService};
use crate::serve::{Extent, Reporter};
use crate::source::Event;

use super::backoff::Backoff;
use super::doors::Doors;
use super::isolate::isolate;
use super::kernel::Kernel;
use super::placing::Placing;
use tell::Known;

/// The longest pause between attempts to program what could not be programmed.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How many service ports a plan is for while nothing is served yet.
const PART: usize = 1_000;

/// What changed, by service port; `None` for one that is gone.
type Changes = BTreeMap<ServicePortName, Option<WantedService>>;

/// Owns everything: what the cluster looks like, what is programmed, and the data plane.
#[derive(Debug)]
pub(super) struct Agent<K> {
    index: Index,
    applied: Applied,
    kernel: K,
    doors: Doors,
    placing: Placing,
    /// Set once the first full plan was made. Before, nothing is written.
    programmed: bool,
    ready: bool,
    release_at: Option<Instant>,
    retry: Backoff,
    known: Known,
    /// Somebody was told that the node does not forward.
    told_forwarding: bool,
    reporter: Reporter,
}

impl<K: Kernel> Agent<K> {
    pub(super) fn new(
        index: Index,
        applied: Applied,
        kernel: K,
        placing: Placing,
        reporter: Reporter,
    ) -> Self {
        reporter.fill(applied.fill());
        Self {
            index,
            applied,
            kernel,
            doors: Doors::new(),
            placing,
            programmed: false,
            ready: false,
            release_at: None,
            // A plan may be healed only after the grace period.
            retry: Backoff::new(GRACE, LONGEST_PAUSE),
            known: Known::default(),
            told_forwarding: false,
            reporter,
        }
    }

    /// Programs what a batch of events has changed. Until every source is synced the data plane of an earlier run
    /// stays as it is; and nothing of it is removed as long as something is there that could never be read.
    pub(super) fn take_in(&mut self, events: Vec<Event>) {
        let Some(arrived) = events.iter().map(|event| event.arrived).min() else {
            return;
        };
        for event in events {
            self.reporter.saw(&event.news);
            self.index.apply(event);
        }
        self.reporter.node(self.index.node());
        self.index.set_primary(self.placing.primary(&self.index));
        let began = Instant::now();
        let changes = self.index.take_changes();
        // Some problems, as a frontend that two services ask for, show only when changes are compiled.
        for problem in self.index.take_problems() {
            tracing::warn!("{problem}");
            self.reporter.problem(&problem);
        }
        self.tell_how_many_problems();
        if !self.index.synced() {
            return;
        }
        let unread = self.index.unread();
        let settle = unread == 0 && !self.applied.settled();
        if !changes.is_empty() || !self.programmed || settle {
            let extent = if settle || !self.programmed {
                Extent::Full
            } else {
                Extent::Partial
            };
            let sync = self.reporter.begin(extent, &changes, began);
            self.program_changes(changes, unread, arrived);
            self.tell_end(sync);
        }
        // Behind the services: what is no ClusterIP may be dropped now.
        self.place();
        // Also without a sync: a count may change alone, and a port that could not be opened is tried again (3.59).
        self.reporter.health_checks(self.index.health_checks());
        self.tell_what_is_in_force();
        self.tell_when_ready();
    }

    fn program_changes(&mut self, changes: Changes, unread: usize, arrived: Instant) {
        let settle = unread == 0 && !self.applied.settled();
        let now = Instant::now();
        let services = changes.len();
        let (begun, changes) = self.program_first(changes, now);
        let plan = if settle {
            self.applied.settle(changes)
        } else {
            self.applied.change(changes)
        };
        self.tell_what_is_left_over(unread, settle);
        self.programmed = true;
        let ended = self.program(&plan, now);
        if let Some(writes) = begun.zip(ended).map(|(begun, ended)| begun + ended) {
            let micros = u64::try_from(arrived.elapsed().as_micros()).unwrap_or(u64::MAX);
            tracing::info!(services, writes, micros, "programmed");
            self.reporter.programmed(arrived);
        }
    }

    /// Where nothing is served yet, programs services in parts, since a plan for all of them is larger than all that is
    /// kept of it; answers how many writes that took, unless one failed, and what is left to be programmed. What is
    /// served already stays in one plan, in which a frontend can move from one service to another.
    fn program_first(&mut self, mut changes: Changes, now: Instant) -> (Option<usize>, Changes) {
        let mut writes = Some(0);
        if !self.applied.serves_nothing() {
            return (writes, changes);
        }
        while changes.len() > PART {
            let part = std::iter::from_fn(|| changes.pop_first()).take(PART).collect();
            let plan = self.applied.change(part);
            let written = self.program(&plan, now);
            writes = writes.zip(written).map(|(all, some)| all + some);
        }
        (writes, changes)
    }

    /// The node's devices and their addresses now; `None` if they are not known yet.
    pub(super) fn take_in_addresses(&mut self, here: Option<devices::Addresses>) {
        self.placing.take_in(here);
        self.place();
        self.tell_when_ready();
    }

    /// Programs what is known about the node, if that has changed.
    fn place(&mut self) {
        // What an earlier run has programmed of the node stays until then. A ClusterIP whose service could not be written
        // yet would be dropped as unallocated.
        if !self.programmed || self.retry.at().is_some() {
            return;
        }
        let Some(node) = self.placing.changed(&self.index) else {
            return;
        };
        self.reporter
            .health_checks_at(self.placing.health_checks_at(&node));
        let node_ports = node.node_port_addresses.len();
        let plan = self.applied.place(node);
        if let Some(writes) = self.program(&plan, Instant::now()).filter(|writes| *writes > 0) {
            tracing::info!(writes, node_ports, "programmed the node's addresses");
        }
    }

    /// Opens or closes a door.
    pub(super) fn take_in_device(&mut self, event: devices::Event) {
        self.doors.take_in(event, Instant::now(), &mut self.kernel);
        self.tell_devices();
        self.tell_when_ready();
    }

    /// Whether everything has been programmed once and every door is open.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// What the cluster looks like.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// When [`Agent::wake`] wants to be called next.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let times = [
            self.retry.at(),
            self.doors.retry_at(),
            self.next_release(),
            self.placing.gives_up_at(),
        ];
        times.into_iter().flatten().min()
    }

    /// Does what was put off until now.
    pub(super) fn wake(&mut self, now: Instant) {
        self.doors.retry(now, &mut self.kernel);
        self.tell_devices();
        if self.placing.give_up(now, &self.index) {
            tracing::warn!(
                "the Node object of this node still has no addresses; going on without: where NodePorts answer on the \
                 primary address only, they answer on all until it is known"
            );
            self.place();
        }
        if self.retry.is_due(now) {
            self.heal(now);
        }
        if self.next_release().is_some_and(|at| at <= now) {
            self.release_at = None;
            let plan = self.applied.release(now);
            if let Some(writes) = self.program(&plan, now).filter(|writes| *writes > 0) {
                tracing::info!(writes, "programmed what had no room before");
            }
        }
        self.tell_when_ready();
    }

    /// What the mirror holds back must stay untouched until mirror and maps agree again.
    fn next_release(&self) -> Option<Instant> {
        self.release_at.filter(|_| self.retry.at().is_none())
    }

    fn heal(&mut self, now: Instant) {
        let sync = self.reporter.begin(Extent::Full, &BTreeMap::new(), now);
        self.heal_maps(now);
        self.place();
        self.tell_end(sync);
        self.tell_what_is_in_force();
    }

    fn heal_maps(&mut self, now: Instant) {
        let plan = match self.kernel.contents() {
            Ok(contents) => self.applied.heal(contents),
            Err(error) => return self.failed(&error.context("read the maps after a failure"), now),
        };
        if let Some(writes) = self.program(&plan, now) {
            self.retry.succeeded();
            tracing::info!(writes, "programmed again after a failure");
        }
    }

    /// The number of writes, unless one failed.
    fn program(&mut self, plan: &Plan, now: Instant) -> Option<usize> {
        self.tell_problems(plan);
        let outcome = if plan.steps.is_empty() {
            Ok(0)
        } else {
            self.kernel.apply(plan)
        };
        if self.applied.needs_release() && self.release_at.is_none() {
            self.release_at = Some(now + GRACE);
        }
        self.reporter.fill(self.applied.fill());
        match outcome {
            Ok(writes) => {
                self.reporter.wrote(writes);
                Some(writes)
            }
            Err(error) => {
                self.failed(&error, now);
                self.program_others(plan);
                None
            }
        }
    }

    /// One service that can not be written must not keep the others of its plan waiting.
    fn program_others(&mut self, plan: &Plan) {
        for part in isolate(plan) {
            match self.kernel.apply(&part) {
                Ok(writes) => self.reporter.wrote(writes),
                Err(error) => tracing::debug!("{}; left for later", one_line(error.as_ref())),
            }
        }
    }

    fn failed(&mut self, error: &anyhow::Error, now: Instant) {
        let first = self.retry.failed(now);
        let error = one_line(error.as_ref());
        if first {
            tracing::error!("{error}; what is in the kernel stays in force, trying again");
        } else {
            tracing::debug!("{error}; trying again");
        }
    }
}

#[cfg(test)]
mod tests;
