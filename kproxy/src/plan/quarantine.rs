//! What a plan gave up and nobody may reuse yet.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use kproxy_common::{BackendIndex, ServiceId, SlotRun};

use super::ranges::RangeSet;

/// How long slots, records, ids and source ranges rest before they are reused. A packet holds on to a frontend that it has read for
/// microseconds; a second is generous.
pub const GRACE: Duration = Duration::from_secs(1);

/// Things that can be used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Freed {
    pub(super) services: Vec<ServiceId>,
    pub(super) backends: Vec<BackendIndex>,
    pub(super) runs: Vec<SlotRun>,
    pub(super) ranges: Vec<RangeSet>,
}

impl Freed {
    fn is_empty(&self) -> bool {
        let Self {
            services,
            backends,
            runs,
            ranges,
        } = self;
        services.is_empty() && backends.is_empty() && runs.is_empty() && ranges.is_empty()
    }
}

/// The waiting room. Time comes from outside: the clock of a thing starts at the first release after it was given up.
#[derive(Clone, Debug, Default)]
pub(super) struct Quarantine {
    pub(super) fresh: Freed,
    resting: VecDeque<(Instant, Freed)>,
}

impl Quarantine {
    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.resting.is_empty()
    }

    /// Everything that has rested for [`GRACE`].
    pub(super) fn release(&mut self, now: Instant) -> Vec<Freed> {
        let mut released = Vec::new();
        while let Some((since, freed)) = self.resting.pop_front() {
            if now.saturating_duration_since(since) < GRACE {
                self.resting.push_front((since, freed));
                break;
            }
            released.push(freed);
        }
        if !self.fresh.is_empty() {
            self.resting.push_back((now, std::mem::take(&mut self.fresh)));
        }
        released
    }
}
