//! What has to be allocated before a service port can change.

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{BackendFlags, BackendIndex, Epoch, SlotRun};

use super::ranges::{RangeSet, Ranges};
use super::service::{AppliedService, Record, Records, Run};
use super::space::Space;
use super::wanted::{BackendSet, Endpoint, WantedService};

/// Which map is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Backends,
    Slots,
    SourceRanges,
}

/// Everything a service port needs for its next state, allocated, nothing of it written.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) endpoints: BTreeMap<Endpoint, Record>,
    pub(super) runs: Vec<Run>,
    /// Who may ask the restricted frontends; `None` if there are none.
    pub(super) ranges: Option<RangeSet>,
    cluster: SlotRun,
    local: SlotRun,
}

impl Staged {
    /// The run behind one of the two sets.
    pub(super) fn run(&self, set: BackendSet) -> SlotRun {
        match set {
            BackendSet::Cluster => self.cluster,
            BackendSet::Local => self.local,
        }
    }

    /// Allocates what `wanted` needs beyond what `present` has; takes nothing if not all of it is to be had.
    pub(super) fn allocate(
        wanted: &WantedService,
        present: Option<&AppliedService>,
        records: &mut Records,
        slots: &mut Space,
        ranges: &mut Ranges,
    ) -> Result<Self, Full> {
        let known = |endpoint: &Endpoint| present.and_then(|service| service.endpoints.get(endpoint));
        let mut new = Vec::new();
        let mut endpoints = BTreeMap::new();
        for (endpoint, flags) in &wanted.endpoints {
            let flags = in_sets(wanted, endpoint, *flags);
            let record = match known(endpoint) {
                Some(record) => record.with(flags),
                None => match records.free.take_one() {
                    Some(number) => {
                        new.push(number);
                        Record {
                            index: BackendIndex(number),
                            flags,
                            // The generation tells it from the record's former endpoints.
                            epoch: Epoch(0),
                        }
                    }
                    None => return Err(give_back(records, new, Full::Backends)),
                },
            };
            endpoints.insert(*endpoint, record);
        }
        let mut staged = Self {
            endpoints,
            runs: Vec::new(),
            ranges: None,
            cluster: SlotRun::default(),
            local: SlotRun::default(),
        };
        let sets: BTreeSet<BackendSet> = wanted
            .frontends
            .values()
            .flat_map(|frontend| [frontend.inside, frontend.outside])
            .collect();
        let mut taken = Vec::new();
        let mut full = None;
        for set in sets {
            let Some(run) = staged.find_run(wanted.set(set), present, slots, &mut taken) else {
                full = Some(Full::Slots);
                break;
            };
            match set {
                BackendSet::Cluster => staged.cluster = run,
                BackendSet::Local => staged.local = run,
            }
        }
        // Last, since it need not be given back then.
        if full.is_none() && wanted.frontends.values().any(|frontend| frontend.restricted) {
            let present = present.map_or(&[][..], |service| &service.ranges);
            staged.ranges = ranges.find_or_take(&wanted.source_ranges, present);
            full = staged.ranges.is_none().then_some(Full::SourceRanges);
        }
        if let Some(full) = full {
            for run in taken {
                slots.free(run);
            }
            return Err(give_back(records, new, full));
        }
        Ok(staged)
    }

    /// A run with exactly these endpoints: one of this plan, else one that exists, else a new one.
    fn find_run(
        &mut self,
        set: &[Endpoint],
        present: Option<&AppliedService>,
        slots: &mut Space,
        taken: &mut Vec<SlotRun>,
    ) -> Option<SlotRun> {
        debug_assert!(set.iter().all(|endpoint| self.endpoints.contains_key(endpoint)));
        // A set may only name endpoints; a slot that points nowhere would be worse than a missing one.
        let mut content = Vec::with_capacity(set.len());
        let indices = set
            .iter()
            .filter_map(|endpoint| self.endpoints.get(endpoint))
            .map(|record| record.index);
        content.extend(indices);
        if content.is_empty() {
            return Some(SlotRun::default());
        }
        let existing = present.map_or(&[][..], |service| &service.runs);
        if let Some((run, _)) = self.runs.iter().find(|(_, held)| *held == content) {
            return Some(*run);
        }
        let run = if let Some((run, _)) = existing.iter().find(|(_, held)| *held == content) {
            *run
        } else {
            let run = slots.take(u32::try_from(content.len()).ok()?)?;
            taken.push(run);
            run
        };
        self.runs.reserve_exact(1);
        self.runs.push((run, content));
        Some(run)
    }
}

/// The flags of a living record: those that are wanted, and the sets that it is in.
fn in_sets(wanted: &WantedService, endpoint: &Endpoint, flags: BackendFlags) -> BackendFlags {
    let mut flags = flags | BackendFlags::ALIVE;
    let mut set = |flag, set: &[Endpoint]| flags.set(flag, set.binary_search(endpoint).is_ok());
    set(BackendFlags::IN_CLUSTER_SET, &wanted.cluster);
    set(BackendFlags::IN_LOCAL_SET, &wanted.local);
    flags
}

fn give_back(records: &mut Records, numbers: Vec<u32>, full: Full) -> Full {
    for number in numbers {
        records.free.free_one(number);
    }
    full
}
