//! The sets of source ranges: `SOURCE_RANGES` as the maps hold it.
//!
//! A set is immutable, like a run of slots: other ranges are another set, written before a frontend points at it. The
//! former one rests and then goes, since a packet may have read the old frontend just before the swap. So no frontend ever
//! points at half a set; one without ranges lets nobody in.
//!
//! Ids are not used again by the same run of the agent. There are enough of them, and what a failed plan has not removed
//! must never become part of a new set.

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{RangeSetId, SlotRun};

use crate::model::Cidr;

use super::draft::Draft;
use super::space::Space;

/// A set and what is in it.
pub(super) type RangeSet = (RangeSetId, BTreeSet<Cidr>);

/// Which ids are free, and how full the map is.
#[derive(Clone, Debug)]
pub(super) struct Ranges {
    capacity: u32,
    /// Entries of the map, those included that wait for their removal.
    used: usize,
    ids: Space,
    /// Adopted, and not taken over by a service yet.
    found: BTreeMap<RangeSetId, BTreeSet<Cidr>>,
}

impl Ranges {
    /// What was found in the map.
    pub(super) fn new(capacity: u32, found: BTreeMap<RangeSetId, BTreeSet<Cidr>>) -> Self {
        let mut ids = Space::new(1..u32::MAX);
        for set in found.keys() {
            ids.reserve(one(*set));
        }
        Self {
            capacity,
            used: found.values().map(BTreeSet::len).sum(),
            ids,
            found,
        }
    }

    /// Entries of the map.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// Takes over the set that an adopted frontend points at; `None` if another service has it.
    pub(super) fn adopt(&mut self, set: RangeSetId) -> Option<RangeSet> {
        if let Some(ranges) = self.found.remove(&set) {
            return Some((set, ranges));
        }
        // Not in the map: nobody is let in, which is what an empty set says.
        self.ids.reserve(one(set)).then(|| (set, BTreeSet::new()))
    }

    /// Adopted sets that no frontend points at.
    pub(super) fn take_unclaimed(&mut self) -> impl Iterator<Item = RangeSet> + use<> {
        std::mem::take(&mut self.found).into_iter()
    }

    /// The set with exactly these ranges: one of those present, else a new one. `None` if there is no room for it.
    pub(super) fn find_or_take(&mut self, wanted: &BTreeSet<Cidr>, present: &[RangeSet]) -> Option<RangeSet> {
        if let Some(present) = present.iter().find(|(_, ranges)| ranges == wanted) {
            return Some(present.clone());
        }
        let used = self.used + wanted.len();
        if used > self.capacity as usize {
            return None;
        }
        let id = self.ids.take_one()?;
        self.used = used;
        Some((RangeSetId(id), wanted.clone()))
    }

    /// Removes a set that no packet looks at any more.
    pub(super) fn remove(&mut self, (set, ranges): RangeSet, draft: &mut Draft) {
        self.used = self.used.saturating_sub(ranges.len());
        draft
            .gone_ranges
            .extend(ranges.into_iter().map(|range| (set, range)));
    }
}

fn one(RangeSetId(number): RangeSetId) -> SlotRun {
    SlotRun {
        base: number,
        count: 1,
    }
}
