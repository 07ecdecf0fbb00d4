//! The mirror of what the maps hold, and how it follows what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use kproxy_common::{Address, BackendIndex, FrontendKey, Protocol, ServiceId};

use super::addresses::Addresses;
use super::contents::{Capacity, MapContents};
use super::draft::{Draft, Name};
use super::frontends::Frontends;
use super::kept::Kept;
use super::node::Node;
use super::quarantine::{Freed, Quarantine};
use super::ranges::Ranges;
use super::service::{AppliedService, Record, Records};
use super::space::Space;
use super::step::Plan;
use super::wanted::{Endpoint, ServicePortName, WantedNode, WantedService};

/// What the maps hold once every plan given out so far is applied.
///
/// The caller applies plans in the order in which it got them. If one fails midway, [`Applied::heal`] with what the
/// maps hold then brings both together again.
#[derive(Clone, Debug)]
pub struct Applied {
    pub(super) capacity: Capacity,
    /// What is wanted of services that are not as wanted yet. What is wanted of all others is what they are, and not
    /// kept twice.
    pub(super) wanted: BTreeMap<Name, WantedService>,
    /// Boxed, since a tree leaves nearly half of its places free.
    pub(super) services: BTreeMap<Name, Box<AppliedService>>,
    /// Adopted, and not claimed by a wanted service yet.
    pub(super) unclaimed: BTreeMap<ServiceId, AppliedService>,
    /// Adopted living records that are of no use to any service.
    pub(super) orphans: Vec<(ServiceId, Endpoint, Record)>,
    /// What services have from the run before although nobody wants it; only until [settled](Self::settled).
    pub(super) kept: BTreeMap<Name, Kept>,
    pub(super) settled: bool,
    pub(super) frontends: Frontends,
    pub(super) addresses: Addresses,
    node: Node,
    pub(super) ranges: Ranges,
    pub(super) slots: Space,
    pub(super) records: Records,
    pub(super) ids: Space,
    pub(super) quarantine: Quarantine,
    /// Not served as wanted.
    pub(super) troubled: BTreeSet<Name>,
    /// Something became free since the troubled were tried.
    room: bool,
}

impl Applied {
    /// Empty maps, on a node without addresses.
    #[must_use]
    pub fn new(capacity: Capacity) -> Self {
        let mut applied = Self::adopt(capacity, MapContents::default());
        applied.node.want(WantedNode::default());
        // Nothing was adopted, so nothing has to be written.
        let _ = applied.settle(BTreeMap::new());
        applied
    }

    pub(super) fn bare(capacity: Capacity, addresses: Addresses, node: Node, ranges: Ranges) -> Self {
        Self {
            capacity,
            wanted: BTreeMap::new(),
            services: BTreeMap::new(),
            unclaimed: BTreeMap::new(),
            orphans: Vec::new(),
            kept: BTreeMap::new(),
            settled: false,
            frontends: Frontends::new(capacity.frontends),
            addresses,
            node,
            ranges,
            slots: Space::new(0..capacity.slots),
            records: Records::new(capacity.backends),
            ids: Space::new(1..u32::MAX),
            quarantine: Quarantine::default(),
            troubled: BTreeSet::new(),
            room: false,
        }
    }

    /// How much the maps can hold.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Full resync: everything that is wanted; whatever else the maps hold goes.
    pub fn replace(&mut self, wanted: BTreeMap<ServicePortName, WantedService>) -> Plan {
        let known = self.wanted.keys().chain(self.services.keys());
        let mut changes: BTreeMap<Name, Option<WantedService>> =
            known.map(|name| (Arc::clone(name), None)).collect();
        changes.extend(
            wanted
                .into_iter()
                .map(|(name, service)| (Arc::new(name), Some(service))),
        );
        self.follow(changes, true)
    }

    /// What changed, as [`Applied::change`]; and whatever was adopted and nobody wants goes.
    pub fn settle(&mut self, changes: BTreeMap<ServicePortName, Option<WantedService>>) -> Plan {
        self.follow(shared(changes), true)
    }

    /// Whether nothing is left of the run before that nobody wants.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.settled
    }

    /// Whether nothing is served yet, and nothing was adopted.
    #[must_use]
    pub fn serves_nothing(&self) -> bool {
        self.services.is_empty() && self.unclaimed.is_empty() && self.orphans.is_empty()
    }

    /// Only what changed; `None` removes a service port.
    ///
    /// Until [settled](Self::settled), nothing that was adopted goes: neither services that nobody has asked for yet,
    /// nor endpoints that nobody has named.
    pub fn change(&mut self, changes: BTreeMap<ServicePortName, Option<WantedService>>) -> Plan {
        self.follow(shared(changes), false)
    }

    /// The node's addresses, and where ClusterIPs come from.
    ///
    /// Until it was called once, what was adopted of the node stays, and no new ClusterIP rejects its undefined ports.
    pub fn place(&mut self, node: WantedNode) -> Plan {
        self.node.want(node);
        self.follow(BTreeMap::new(), false)
    }

    /// Makes slots, records and ids usable again whose grace period is over, removes sets of source ranges, and tries
    /// again what had no room.
    ///
    /// To be called every [`GRACE`](super::GRACE) or so while [`Applied::needs_release`].
    pub fn release(&mut self, now: Instant) -> Plan {
        let mut draft = Draft::default();
        for freed in self.quarantine.release(now) {
            self.room = true;
            let Freed {
                services,
                backends,
                runs,
                ranges,
            } = freed;
            for ServiceId(id) in services {
                self.ids.free_one(id);
            }
            for BackendIndex(index) in backends {
                self.records.free.free_one(index);
            }
            for run in runs {
                self.slots.free(run);
            }
            for set in ranges {
                self.ranges.remove(set, &mut draft);
            }
        }
        self.follow_with(draft, BTreeMap::new(), false)
    }

    /// Whether [`Applied::release`] has anything to do, now or later.
    #[must_use]
    pub fn needs_release(&self) -> bool {
        let waits = !self.troubled.is_empty() || self.addresses.without_room() > 0;
        !self.quarantine.is_empty() || (self.room && waits)
    }

    /// After a plan failed midway: starts over from what the maps hold, with the same services wanted.
    ///
    /// Not earlier than [`GRACE`](super::GRACE) after the failure, since nothing is in its grace period afterwards.
    pub fn heal(&mut self, contents: MapContents) -> Plan {
        let former = std::mem::replace(self, Self::adopt(self.capacity, contents));
        let names = former.services.keys().chain(former.wanted.keys());
        let wanted = names.map(|name| (Arc::clone(name), former.wanted_of(name)));
        let wanted = wanted.collect();
        if let Some(node) = former.node.into_wanted() {
            self.node.want(node);
        }
        self.follow(wanted, former.settled)
    }

    fn follow(&mut self, changes: BTreeMap<Name, Option<WantedService>>, resync: bool) -> Plan {
        self.follow_with(Draft::default(), changes, resync)
    }

    fn follow_with(
        &mut self,
        mut draft: Draft,
        changes: BTreeMap<Name, Option<WantedService>>,
        resync: bool,
    ) -> Plan {
        self.node.place(&mut self.addresses);
        let mut dirty = self.take_note(changes);
        if resync {
            self.settled = true;
            dirty.extend(std::mem::take(&mut self.kept).into_keys());
        }
        draft.considered.clone_from(&dirty);
        let staged = self.stage(dirty, &mut draft);
        // Every key is released before one is claimed, so that a frontend can move between services in one plan.
        for (name, staged) in &staged {
            self.release_keys(name, staged.is_some());
        }
        for (name, staged) in staged {
            match staged {
                Some(staged) => self.install(&name, staged, &mut draft),
                None => self.uninstall(&name, &mut draft),
            }
        }
        if resync {
            self.drop_unclaimed(&mut draft);
        }
        self.room |= self.frontends.settle(&mut draft);
        self.leave_out_backends(&mut draft.newly_served);
        self.room |= self.addresses.settle(&mut draft);
        self.node.settle(&self.addresses, &mut draft);
        self.forget_what_is_so(&draft.considered);
        draft.finish()
    }

    /// Of frontends of UDP, leaves those that are at the very address and port of a backend.
    fn leave_out_backends(&self, frontends: &mut BTreeSet<FrontendKey>) {
        if frontends.is_empty() {
            return;
        }
        let services = self.services.iter();
        for (_, service) in services.filter(|(name, _)| name.protocol == Protocol::UDP) {
            for Endpoint { address, port } in service.endpoints.keys() {
                frontends.remove(&FrontendKey::new(*address, *port, Protocol::UDP));
            }
        }
    }

    /// Remembers what is wanted; answers which services have to be looked at.
    fn take_note(&mut self, changes: BTreeMap<Name, Option<WantedService>>) -> BTreeSet<Name> {
        let mut dirty = BTreeSet::new();
        if std::mem::take(&mut self.room) {
            dirty.clone_from(&self.troubled);
        }
        for (name, wanted) in changes {
            // One name for one service, whoever holds it.
            let shared = self.services.get_key_value(&name);
            let name = shared.map_or(name, |(shared, _)| Arc::clone(shared));
            let known = self.wanted_of(&name);
            if known == wanted {
                continue;
            }
            follow_cluster_ips(&mut self.addresses, known.as_ref(), wanted.as_ref());
            match wanted {
                Some(wanted) => self.wanted.insert(Arc::clone(&name), wanted),
                None => self.wanted.remove(&name),
            };
            dirty.insert(name);
        }
        dirty
    }
}

/// What a service port has is exempt from here on, unless it is served there.
fn follow_cluster_ips(
    addresses: &mut Addresses,
    before: Option<&WantedService>,
    now: Option<&WantedService>,
) {
    let of = |wanted: Option<&WantedService>| -> Vec<Address> {
        wanted.into_iter().flat_map(WantedService::cluster_ips).collect()
    };
    let (before, now) = (of(before), of(now));
    if before != now {
        for address in now {
            addresses.allocate(address);
        }
        for address in before {
            addresses.deallocate(address);
        }
    }
}

fn shared(
    changes: BTreeMap<ServicePortName, Option<WantedService>>,
) -> BTreeMap<Name, Option<WantedService>> {
    changes
        .into_iter()
        .map(|(name, wanted)| (Arc::new(name), wanted))
        .collect()
}
