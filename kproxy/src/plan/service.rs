//! One service port as the maps hold it, and what has to be allocated before it can change.

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{
    Backend, BackendFlags, BackendIndex, Epoch, FrontendKey, Generation, ServiceId, SlotRun,
};

use super::ranges::{RangeSet, Ranges};
use super::space::Space;
use super::wanted::{BackendSet, Endpoint, WantedService};

/// A slot run and what it holds.
pub(super) type Run = (SlotRun, Vec<BackendIndex>);

/// One record of `BACKENDS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) index: BackendIndex,
    pub(super) flags: BackendFlags,
    pub(super) epoch: Epoch,
}

impl Record {
    const SETS: BackendFlags = BackendFlags::IN_CLUSTER_SET.union(BackendFlags::IN_LOCAL_SET);
    /// What is not wanted of an endpoint but follows from what is.
    pub(super) const BY_PLAN: BackendFlags = BackendFlags::ALIVE.union(Self::SETS);

    /// The same endpoint with other flags. If it comes back into the sets, affinity of its earlier stay is void
    /// (semantics 6.06).
    fn with(self, flags: BackendFlags) -> Self {
        let comes_in = !self.is_in_a_set() && Self { flags, ..self }.is_in_a_set();
        Self {
            index: self.index,
            flags,
            epoch: Epoch(self.epoch.0.wrapping_add(u32::from(comes_in))),
        }
    }

    fn is_in_a_set(self) -> bool {
        self.flags.intersects(Self::SETS)
    }
}

/// What the maps hold for one service port.
#[derive(Clone, Debug)]
pub(super) struct AppliedService {
    pub(super) id: ServiceId,
    /// The keys it owns in `FRONTENDS`, and whether each is a `ClusterIP`.
    pub(super) keys: Vec<(FrontendKey, bool)>,
    pub(super) endpoints: BTreeMap<Endpoint, Record>,
    /// At most two once settled: equal runs are shared between inside and outside and between frontends.
    pub(super) runs: Vec<Run>,
    /// At most one once settled.
    pub(super) ranges: Vec<RangeSet>,
}

impl AppliedService {
    pub(super) fn new(id: ServiceId) -> Self {
        Self {
            id,
            keys: Vec::new(),
            endpoints: BTreeMap::new(),
            runs: Vec::new(),
            ranges: Vec::new(),
        }
    }
}

/// Keys in a vector: most services have one or two, for which a tree takes ten times the memory.
impl AppliedService {
    pub(super) fn keys(&self) -> &[(FrontendKey, bool)] {
        &self.keys
    }

    /// Whether it owns a key, and as what.
    pub(super) fn owns(&self, key: &FrontendKey) -> Option<bool> {
        let found = self.keys.iter().find(|(owned, _)| owned == key);
        found.map(|(_, cluster_ip)| *cluster_ip)
    }

    pub(super) fn own(&mut self, key: FrontendKey, cluster_ip: bool) {
        self.keys.retain(|(owned, _)| *owned != key);
        self.keys.reserve_exact(1);
        self.keys.push((key, cluster_ip));
    }

    /// Gives up the keys that are gone, in their order.
    pub(super) fn give_up(&mut self, gone: impl Fn(&FrontendKey) -> bool) -> Vec<(FrontendKey, bool)> {
        let mut given: Vec<_> = self.keys.extract_if(.., |(key, _)| gone(key)).collect();
        given.sort_unstable();
        given
    }
}

/// The records of `BACKENDS`: which are free, and the generation that each will have next.
#[derive(Clone, Debug)]
pub(super) struct Records {
    pub(super) free: Space,
    generations: Vec<Generation>,
}

impl Records {
    pub(super) fn new(capacity: u32) -> Self {
        Self {
            free: Space::new(1..capacity.max(1)),
            generations: Vec::new(),
        }
    }

    /// Takes over a generation found in the map.
    pub(super) fn adopt(&mut self, index: BackendIndex, generation: Generation) {
        let position = index.0 as usize;
        if self.generations.len() <= position {
            self.generations.resize(position + 1, Generation(0));
        }
        self.generations[position] = generation;
    }

    pub(super) fn generation(&self, index: BackendIndex) -> Generation {
        self.generations
            .get(index.0 as usize)
            .copied()
            .unwrap_or(Generation(0))
    }

    /// The content of a living record.
    pub(super) fn living(&self, service: ServiceId, endpoint: Endpoint, record: Record) -> Backend {
        let Endpoint { address, port } = endpoint;
        let Record { index, flags, epoch } = record;
        Backend {
            address,
            port,
            flags,
            generation: self.generation(index),
            service,
            epoch,
        }
    }

    /// The content of a record whose endpoint is gone: from here on it has the next generation.
    pub(super) fn retire(&mut self, service: ServiceId, endpoint: Endpoint, record: Record) -> Backend {
        self.adopt(
            record.index,
            Generation(self.generation(record.index).0.wrapping_add(1)),
        );
        let flags = record.flags.difference(BackendFlags::ALIVE);
        self.living(service, endpoint, Record { flags, ..record })
    }
}

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
