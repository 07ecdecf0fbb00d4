//! One service port as the maps hold it.

use std::collections::{BTreeMap, HashSet};

use kproxy_common::{
    Backend, BackendFlags, BackendIndex, Epoch, FrontendKey, Generation, ServiceId, SlotRun,
};

use super::maglev;
use super::ranges::RangeSet;
use super::space::Space;
use super::wanted::Endpoint;

/// A slot run and whom it leads to, in the order of their addresses. With more slots than these it is a
/// [table](super::maglev), which need not be kept: it follows from them.
pub(super) type Run = (SlotRun, Vec<BackendIndex>);

/// What the slots of a run say.
pub(super) fn slots((run, members): &Run, endpoints: &BTreeMap<Endpoint, Record>) -> Vec<BackendIndex> {
    if run.count as usize == members.len() {
        return members.clone();
    }
    let mut left = members.iter().peekable();
    let behind = endpoints
        .iter()
        .filter(|(_, record)| left.next_if_eq(&&record.index).is_some())
        .map(|(endpoint, _)| *endpoint);
    let owners = maglev::table(behind, run.count).into_iter();
    owners.map(|owner| members[owner as usize]).collect()
}

/// Whom a run leads to whose slots say this. What is no table that would be written today is nobody's, and leads to what
/// it says, slot by slot.
pub(super) fn members(
    run: SlotRun,
    content: &[BackendIndex],
    endpoints: &BTreeMap<Endpoint, Record>,
) -> Vec<BackendIndex> {
    if maglev::is_size(run.count) {
        let held: HashSet<&BackendIndex> = content.iter().collect();
        let indices = endpoints.values().map(|record| record.index);
        let members: Vec<_> = indices.filter(|index| held.contains(index)).collect();
        let table = (run, members);
        if maglev::size(table.1.len()) == Some(run.count) && slots(&table, endpoints) == content {
            return table.1;
        }
    }
    content.to_vec()
}

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
    pub(super) fn with(self, flags: BackendFlags) -> Self {
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
    /// At most two once settled, and as many tables: equal runs are shared between inside and outside and between
    /// frontends.
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
