//! Which runner can play what.

use super::{Ask, End, Expect, Row, Runner, Step, Via};
use crate::acceptance::state::{Protocol, State};
use crate::acceptance::world;

impl Row {
    /// Whether a runner can play it.
    #[must_use]
    pub fn fits(&self, runner: Runner) -> bool {
        self.steps.iter().all(|step| step.fits(runner))
    }

    /// Whether a runner would play it, had it sockets for SCTP.
    #[must_use]
    pub fn is_left_out_for_sctp(&self, runner: Runner) -> bool {
        let is_sctp = |step: &Step| matches!(step, Step::Ask(ask) if ask.protocol == Protocol::Sctp);
        let others = self.steps.iter().filter(|step| !is_sctp(step));
        !self.fits(runner)
            && self.steps.iter().any(is_sctp)
            && others.into_iter().all(|step| step.fits(runner))
    }

    /// The state it plays in, if it has but one and only asks.
    #[must_use]
    pub fn only_state(&self) -> Option<&State> {
        let (Step::State(state), asks) = self.steps.split_first()? else {
            return None;
        };
        let is_plain =
            |step: &Step| matches!(step, Step::Ask(ask) if ask.kept.is_none() && ask.source_port.is_none());
        asks.iter().all(is_plain).then_some(state)
    }

    /// Whether both may be played at the same time.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        let state = self.only_state();
        state.is_some() && state == other.only_state()
    }

    /// Its requests.
    pub fn asks(&self) -> impl Iterator<Item = &Ask> {
        self.steps.iter().filter_map(|step| match step {
            Step::Ask(ask) => Some(ask),
            Step::State(_)
            | Step::Alternate { .. }
            | Step::Reuse { .. }
            | Step::Packet(_)
            | Step::Raw(..)
            | Step::Arrival(_)
            | Step::Counted(..)
            | Step::Bystander(_)
            | Step::Wait(_)
            | Step::Evict(_)
            | Step::RefuseInserts(_) => None,
        })
    }
}

impl Step {
    fn fits(&self, runner: Runner) -> bool {
        match (self, runner) {
            (Self::Counted(_, step), runner) => runner != Runner::Netns && step.fits(runner),
            (Self::Ask(ask) | Self::Alternate { ask, .. } | Self::Reuse { ask, .. }, Runner::Kernel) => {
                matches!(ask.via, Via::Packet | Via::Uplink) && ask.pause.is_zero()
            }
            // No kernel without the SCTP module has sockets for it, and whether one has it is not the table's business.
            (Self::Ask(ask) | Self::Alternate { ask, .. } | Self::Reuse { ask, .. }, Runner::Netns)
                if ask.protocol == Protocol::Sctp =>
            {
                false
            }
            // A pod elsewhere meets the doors of its own node first, which serve all addresses but the other node's.
            (Self::Ask(ask), Runner::Netns)
                if ask.via == Via::Uplink && !ask.from.node.is_empty() && !world::has_kernel(ask.to.ip()) =>
            {
                false
            }
            // What varies shows only after many changes, for which agents take their time.
            (Self::Ask(ask), Runner::Netns) => {
                ask.pause.is_zero() && !matches!(ask.expect, Expect::Varied(_))
            }
            (Self::Wait(_) | Self::RefuseInserts(_), Runner::Kernel)
            | (
                Self::Packet(_)
                | Self::Raw(..)
                | Self::Arrival(_)
                | Self::Bystander(_)
                | Self::Wait(_)
                | Self::Evict(_)
                | Self::RefuseInserts(_)
                // The port stays in TIME_WAIT.
                | Self::Reuse { end: End::Fin, .. },
                Runner::Netns,
            ) => false,
            (_, Runner::Host)
            | (
                Self::State(_)
                | Self::Packet(_)
                | Self::Raw(..)
                | Self::Arrival(_)
                | Self::Bystander(_)
                | Self::Evict(_),
                Runner::Kernel,
            )
            | (
                Self::State(_)
                | Self::Alternate { .. }
                | Self::Reuse {
                    end: End::Reset, ..
                },
                Runner::Netns,
            ) => true,
        }
    }
}
