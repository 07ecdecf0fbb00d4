//! What the agent says about its decisions: in the log, to probes and in metrics.

use std::collections::BTreeSet;

use crate::dataplane::DeviceDoor as Kind;
use crate::node::forwarding;
use crate::plan::{Plan, Problem};
use crate::serve::{DeviceDoor, Sync};

use super::super::kernel::Kernel;
use super::Agent;

/// The problems of plans that last.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeSet<Problem>);

impl Known {
    /// Answers which are new. What a plan has looked at and does not repeat is gone; the problems of the node are in
    /// every plan as long as they last.
    fn take_in<'a>(&mut self, plan: &'a Plan) -> Vec<&'a Problem> {
        let is_considered = |problem: &Problem| match &problem.service {
            Some(service) => plan.considered.contains(service),
            None => true,
        };
        self.0
            .retain(|problem| !is_considered(problem) || plan.problems.contains(problem));
        let problems = plan.problems.iter();
        problems
            .filter(|problem| self.0.insert((*problem).clone()))
            .collect()
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}

impl<K: Kernel> Agent<K> {
    /// Each problem once, until it was gone.
    pub(super) fn tell_problems(&mut self, plan: &Plan) {
        for problem in self.known.take_in(plan) {
            tracing::warn!("{problem}");
        }
        self.tell_how_many_problems();
    }

    pub(super) fn tell_how_many_problems(&self) {
        self.reporter
            .problems(self.index.problems().count() + self.known.count());
    }

    pub(super) fn tell_devices(&mut self) {
        self.tell_if_not_forwarding();
        let kinds = [
            (DeviceDoor::Pod, &[Kind::Pod][..]),
            (DeviceDoor::Uplink, &[Kind::Uplink, Kind::BareUplink]),
        ];
        for (door, kinds) in kinds {
            let (open, failed) = self.doors.count(kinds);
            self.reporter.devices(door, open, failed);
        }
    }

    /// Clients outside whose backend is on another node need it.
    fn tell_if_not_forwarding(&mut self) {
        let (uplinks, _) = self.doors.count(&[Kind::Uplink, Kind::BareUplink]);
        if uplinks == 0 || self.told_forwarding {
            return;
        }
        let off = forwarding::switched_off();
        if !off.is_empty() {
            self.told_forwarding = true;
            tracing::warn!(
                "this node does not forward: {} is 0; clients outside do not reach backends on other nodes, and their \
                 packets are counted as dropped_forwarding; set it to 1",
                off.join(" and ")
            );
        }
    }

    pub(super) fn tell_end(&mut self, sync: Sync) {
        self.reporter.ended(sync, self.retry.at().is_none());
    }

    /// What was taken in counts as done when nothing of it is left to be tried again.
    pub(super) fn tell_what_is_in_force(&mut self) {
        if self.programmed && self.retry.at().is_none() {
            let triggers = self.index.take_triggers(self.reporter.since());
            self.reporter.in_force(triggers);
        }
    }

    pub(super) fn tell_when_ready(&mut self) {
        if !self.ready
            && self.programmed
            && self.placing.is_placed()
            && self.retry.at().is_none()
            && self.doors.listed()
        {
            self.ready = true;
            tracing::info!("ready");
        }
    }

    pub(super) fn tell_what_is_left_over(&self, unread: usize, settle: bool) {
        match (self.programmed, settle) {
            (false, false) if !self.applied.settled() => tracing::warn!(
                unread,
                "some manifests or objects can not be read, see above; everything else is served, and what an earlier \
                 run has programmed stays in the kernel until they are corrected or removed"
            ),
            (true, true) => {
                tracing::info!(
                    "everything can be read; what an earlier run has left and nobody wants is removed"
                );
            }
            (true | false, _) => {}
        }
    }
}
