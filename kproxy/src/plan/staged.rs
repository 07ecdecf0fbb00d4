//! What has to be allocated before a service port can change.

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{BackendFlags, BackendIndex, Epoch, FrontendFlags, SlotRun};

use super::maglev;
use super::ranges::{RangeSet, Ranges};
use super::service::{AppliedService, Record, Records, Run};
use super::space::Space;
use super::wanted::{BackendSet, Endpoint, WantedFrontend, WantedService};

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
    /// How many slots a table would need that there is no room for. A plain run stands in.
    pub(super) no_room_for: Option<u32>,
    by_use: [SlotRun; Use::COUNT],
}

/// What a run is for: which endpoints are behind it, and whether clients' hashes find them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Use {
    hashed: bool,
    set: BackendSet,
}

impl Use {
    const COUNT: usize = 4;

    fn index(self) -> usize {
        let set = match self.set {
            BackendSet::Cluster => 0,
            BackendSet::Local => 1,
        };
        2 * usize::from(self.hashed) + set
    }

    pub(super) fn inside(frontend: &WantedFrontend) -> Self {
        Self {
            hashed: false,
            set: frontend.inside,
        }
    }

    pub(super) fn outside(frontend: &WantedFrontend) -> Self {
        Self {
            hashed: frontend.flags.contains(FrontendFlags::MAGLEV),
            set: frontend.outside,
        }
    }
}

impl Staged {
    /// The run that was found for a use.
    pub(super) fn run(&self, run: Use) -> SlotRun {
        self.by_use[run.index()]
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
            no_room_for: None,
            by_use: [SlotRun::default(); Use::COUNT],
        };
        let uses: BTreeSet<Use> = wanted
            .frontends
            .values()
            .flat_map(|frontend| [Use::inside(frontend), Use::outside(frontend)])
            .collect();
        let mut taken = Vec::new();
        let mut full = None;
        for run in uses {
            if !staged.place(run, wanted, present, slots, &mut taken) {
                full = Some(Full::Slots);
                break;
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

    /// Finds the run for a use; false if there is no room.
    fn place(
        &mut self,
        run: Use,
        wanted: &WantedService,
        present: Option<&AppliedService>,
        slots: &mut Space,
        taken: &mut Vec<SlotRun>,
    ) -> bool {
        let set = wanted.set(run.set);
        debug_assert!(set.iter().all(|endpoint| self.endpoints.contains_key(endpoint)));
        // A set may only name endpoints; a slot that points nowhere would be worse than a missing one.
        let mut members = Vec::with_capacity(set.len());
        let indices = set
            .iter()
            .filter_map(|endpoint| self.endpoints.get(endpoint))
            .map(|record| record.index);
        members.extend(indices);
        let existing = present.map_or(&[][..], |service| &service.runs);
        let known = |count| {
            let mut runs = self.runs.iter().chain(existing);
            let found = runs.find(|(run, held)| run.count == count && *held == members)?;
            Some(found.0)
        };
        let mut new = |free: Option<SlotRun>| {
            taken.extend(free);
            free
        };
        let table = maglev::size(members.len()).filter(|_| run.hashed);
        let mut found = table.and_then(|size| known(size).or_else(|| new(slots.take_spare(size))));
        if let (Some(size), None) = (table, found) {
            self.no_room_for = Some(size);
        }
        if found.is_none() {
            let Ok(count) = u32::try_from(members.len()) else {
                return false;
            };
            found = known(count).or_else(|| new(slots.take(count)));
        }
        let Some(found) = found else {
            return false;
        };
        self.by_use[run.index()] = found;
        if found.count > 0 && self.runs.iter().all(|(run, _)| *run != found) {
            self.runs.reserve_exact(1);
            self.runs.push((found, members));
        }
        true
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
