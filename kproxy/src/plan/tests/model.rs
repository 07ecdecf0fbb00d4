//! The maps as ordered collections: does one step at a time and looks at what a packet would meet.

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{
    Address, AddressRange, AddressRole, Backend, BackendFlags, BackendIndex, Epoch, FrontendFlags,
    FrontendKey, Generation, RangeSetId, SlotRun, maps,
};

use super::super::wanted::{BackendSet, Endpoint, ServicePortName, WantedNode, WantedService};
use super::super::{Action, Capacity, MapContents, Plan};
use super::probes;
use super::view::{Verdict, View, endpoint_of, node_port};

const IN_A_SET: BackendFlags = BackendFlags::IN_CLUSTER_SET.union(BackendFlags::IN_LOCAL_SET);

/// What an affinity record remembers of a backend.
type Stay = (BackendIndex, Generation, Epoch);

#[derive(Clone)]
pub(super) struct Model {
    capacity: Capacity,
    pub(super) contents: MapContents,
    /// Stays in a service's sets that are over: affinity of theirs is void (semantics 6.06).
    over: BTreeSet<Stay>,
}

impl Model {
    pub(super) fn new(capacity: Capacity) -> Self {
        let backends = vec![bytemuck::Zeroable::zeroed(); capacity.backends as usize];
        let slots = vec![BackendIndex(0); capacity.slots as usize];
        Self {
            capacity,
            contents: MapContents {
                slots,
                backends,
                service_cidrs: vec![AddressRange::UNSET; maps::SERVICE_CIDRS_MAX as usize],
                ..MapContents::default()
            },
            over: BTreeSet::new(),
        }
    }

    /// Applies a plan and holds, after every single step, that each destination meets what it met before or what it
    /// shall meet, that all backends of a frontend are alive and its own, that affinity of endpoints that stay is valid
    /// and of others is not, and that no map overflows.
    pub(super) fn apply(&mut self, plan: &Plan) {
        self.apply_some(plan, plan.steps.len());
    }

    /// The same for the first `count` steps only: a crash.
    pub(super) fn apply_some(&mut self, plan: &Plan, count: usize) {
        let before = self.clone();
        let mut after = self.clone();
        for step in &plan.steps {
            after.force(&step.action);
        }
        let frontends = [&before, &after].map(|it| it.contents.frontends.keys().copied());
        let keys: BTreeSet<FrontendKey> = frontends.into_iter().flatten().chain(probes()).collect();
        let allowed = |key| {
            // A NodePort that goes may answer on an address that comes, and one that comes on an address that goes.
            let verdicts = [
                before.contents.verdict(key),
                after.contents.verdict(key),
                before.contents.verdict(node_port(key)),
                after.contents.verdict(node_port(key)),
            ];
            (key, verdicts)
        };
        let allowed: Vec<_> = keys.into_iter().map(allowed).collect();
        for step in &plan.steps[..count] {
            self.step(&step.action);
            for (key, allowed) in &allowed {
                let now = self.contents.verdict(*key);
                assert!(
                    allowed.contains(&now),
                    "half a change of {key:?} after {step}: {now:?} and not one of {allowed:?}"
                );
            }
        }
    }

    /// Does a step without looking at what was there before, which may be nonsense.
    pub(super) fn force(&mut self, action: &Action) {
        let MapContents {
            addresses,
            frontends,
            slots,
            backends,
            source_ranges,
            service_cidrs,
            node_addresses,
            pod_ranges,
            devices,
            vlans,
        } = &mut self.contents;
        match action.clone() {
            Action::WriteBackend { index, backend } | Action::RetireBackend { index, backend } => {
                backends[index.0 as usize] = backend;
            }
            Action::WriteSlots { base, slots: written } => {
                slots[base as usize..base as usize + written.len()].copy_from_slice(&written);
            }
            Action::PutSourceRange { set, range } => {
                source_ranges.entry(set).or_default().insert(range);
            }
            Action::RemoveSourceRange { set, range } => {
                let ranges = source_ranges.entry(set).or_default();
                ranges.remove(&range);
                if ranges.is_empty() {
                    source_ranges.remove(&set);
                }
            }
            Action::WriteServiceCidr { index, range } => service_cidrs[index as usize] = range,
            Action::WriteNodeAddress { family, address } if address.is_unspecified() => {
                node_addresses.remove(&family);
            }
            Action::WriteNodeAddress { family, address } => drop(node_addresses.insert(family, address)),
            Action::WritePodRange { family, range } if range.is_unset() => drop(pod_ranges.remove(&family)),
            Action::WritePodRange { family, range } => drop(pod_ranges.insert(family, range)),
            Action::PutDevice { index, device } => drop(devices.insert(index, device)),
            Action::RemoveDevice { index } => drop(devices.remove(&index)),
            Action::PutVlan { vlan, device } => drop(vlans.insert(vlan, device)),
            Action::RemoveVlan { vlan } => drop(vlans.remove(&vlan)),
            Action::PutAddress { address, role } => drop(addresses.insert(address, role)),
            Action::PutFrontend { key, frontend } => drop(frontends.insert(key, frontend)),
            Action::RemoveFrontend { key } => drop(frontends.remove(&key)),
            Action::RemoveAddress { address } => drop(addresses.remove(&address)),
        }
    }

    fn step(&mut self, action: &Action) {
        self.check_before(action);
        let stays = self.stays();
        self.force(action);
        let now = self.stays();
        self.over.extend(stays.difference(&now));
        for stay in &now {
            assert!(!self.over.contains(stay), "{stay:?} is valid again");
        }
        let MapContents {
            addresses,
            frontends,
            source_ranges,
            ..
        } = &self.contents;
        assert!(frontends.len() <= self.capacity.frontends as usize);
        assert!(addresses.len() <= self.capacity.addresses as usize);
        let ranges: usize = source_ranges.values().map(BTreeSet::len).sum();
        assert!(ranges <= self.capacity.source_ranges as usize);
    }

    fn check_before(&self, action: &Action) {
        let MapContents {
            addresses,
            frontends,
            backends,
            source_ranges,
            devices,
            vlans,
            ..
        } = &self.contents;
        let is_pointed_at = |set: RangeSetId| frontends.values().any(|frontend| frontend.ranges == set);
        match action {
            Action::WriteBackend { index, backend } => {
                let old = backends[index.0 as usize];
                assert!(index.0 != 0 && backend.flags.contains(BackendFlags::ALIVE));
                assert_eq!(
                    old.generation, backend.generation,
                    "a living record keeps its generation"
                );
                if old.flags.contains(BackendFlags::ALIVE) {
                    let allowed = Backend {
                        flags: backend.flags,
                        epoch: backend.epoch,
                        ..old
                    };
                    assert_eq!(allowed, *backend, "only flags and epoch change in place");
                    let stays = old.flags.intersects(IN_A_SET) && backend.flags.intersects(IN_A_SET);
                    assert!(
                        !stays || old.epoch == backend.epoch,
                        "affinity to an endpoint that stays is kept"
                    );
                }
            }
            Action::WriteSlots { base, slots } => {
                let run = SlotRun {
                    base: *base,
                    count: u32::try_from(slots.len()).unwrap(),
                };
                for frontend in frontends.values() {
                    assert!(
                        apart(run, frontend.inside) && apart(run, frontend.outside),
                        "run in use"
                    );
                }
            }
            Action::RetireBackend { index, backend } => {
                assert_eq!(backends[index.0 as usize].generation.0 + 1, backend.generation.0);
                assert!(!backend.flags.contains(BackendFlags::ALIVE));
            }
            Action::PutSourceRange { set, .. } => assert!(set.0 != 0 && !is_pointed_at(*set)),
            Action::RemoveSourceRange { set, range } => {
                assert!(source_ranges[set].contains(range) && !is_pointed_at(*set));
            }
            Action::RemoveFrontend { key } => assert!(frontends.contains_key(key)),
            Action::RemoveAddress { address } => assert!(addresses.contains_key(address)),
            Action::PutAddress { role, .. } => assert!(!role.is_empty()),
            Action::RemoveDevice { index } => assert!(devices.contains_key(index)),
            Action::RemoveVlan { vlan } => assert!(vlans.contains_key(vlan)),
            Action::PutFrontend { .. }
            | Action::WriteServiceCidr { .. }
            | Action::WriteNodeAddress { .. }
            | Action::WritePodRange { .. }
            | Action::PutDevice { .. }
            | Action::PutVlan { .. } => {}
        }
    }

    /// Everything that affinity may point at.
    fn stays(&self) -> BTreeSet<Stay> {
        let stays = (0..).zip(&self.contents.backends).filter(|(_, backend)| {
            backend.flags.contains(BackendFlags::ALIVE) && backend.flags.intersects(IN_A_SET)
        });
        stays
            .map(|(index, backend)| (BackendIndex(index), backend.generation, backend.epoch))
            .collect()
    }

    /// Holds that the maps say what is wanted of services and nothing else.
    pub(super) fn assert_serves(&self, wanted: &BTreeMap<ServicePortName, WantedService>) {
        let mut expected = BTreeMap::new();
        let mut living = Vec::new();
        for service in wanted.values() {
            let set = |set: BackendSet| service.set(set).iter().copied().collect();
            for (key, it) in &service.frontends {
                let mut flags = it.flags;
                flags.set(FrontendFlags::INSIDE_LOCAL, it.inside == BackendSet::Local);
                flags.set(FrontendFlags::OUTSIDE_LOCAL, it.outside == BackendSet::Local);
                let view = View {
                    flags,
                    affinity_seconds: it.affinity_seconds,
                    allowed: it.restricted.then(|| service.source_ranges.clone()),
                    inside: set(it.inside),
                    outside: set(it.outside),
                };
                expected.insert(*key, Verdict::Served(Box::new(view)));
            }
            for (endpoint, flags) in &service.endpoints {
                let mut flags = *flags | BackendFlags::ALIVE;
                flags.set(BackendFlags::IN_CLUSTER_SET, service.cluster.contains(endpoint));
                flags.set(BackendFlags::IN_LOCAL_SET, service.local.contains(endpoint));
                living.push((*endpoint, flags));
            }
        }
        let keys = self.contents.frontends.keys();
        let found: BTreeMap<_, _> = keys.map(|key| (*key, self.contents.verdict(*key))).collect();
        assert_eq!(found, expected);
        living.sort();
        assert_eq!(self.living(), living);
    }

    /// Holds that the maps say what is wanted of the node, and who is an active `ClusterIP`.
    pub(super) fn assert_placed(&self, node: &WantedNode, wanted: &BTreeMap<ServicePortName, WantedService>) {
        let frontends = || wanted.values().flat_map(|service| &service.frontends);
        let cluster_ips: BTreeSet<_> = frontends()
            .filter(|(_, frontend)| frontend.flags.contains(FrontendFlags::CLUSTER_IP))
            .map(|(key, _)| key.address)
            .collect();
        let services: BTreeSet<_> = frontends().map(|(key, _)| key.address).collect();
        let in_a_range = |address: &Address| node.service_cidrs.iter().any(|cidr| cidr.contains(address));
        let MapContents { addresses, .. } = &self.contents;
        let mut expected = node.bound.clone();
        expected.extend(&node.node_port_addresses);
        expected.extend(services.iter().filter(|address| !address.is_unspecified()));
        for address in addresses.keys().chain(&expected) {
            let bound = node.bound.contains(address);
            let role = self.contents.role(*address);
            let rows = [
                (AddressRole::NODE, node.node_port_addresses.contains(address)),
                (AddressRole::CLUSTER_IP, cluster_ips.contains(address) && !bound),
                (AddressRole::EXEMPT, false),
                (AddressRole::OWN, bound),
            ];
            for (flag, expected) in rows {
                assert_eq!(role.contains(flag), expected, "{address} {flag:?}");
            }
            assert!(role.contains(AddressRole::SERVICE) || !services.contains(address));
        }
        assert!(
            addresses.len() == expected.len() || addresses.len() <= self.capacity.addresses as usize / 2,
            "gates of former addresses stay open only while there is room"
        );
        for key in probes() {
            assert_eq!(
                self.contents.is_in_a_service_cidr(key.address),
                in_a_range(&key.address),
                "{key:?}"
            );
        }
        assert_eq!(self.contents.node_addresses, node.primary);
        assert_eq!(self.contents.pod_ranges, node.pod_ranges);
        assert_eq!(self.contents.devices, node.devices);
        assert_eq!(self.contents.vlans, node.vlans);
    }

    fn living(&self) -> Vec<(Endpoint, BackendFlags)> {
        let living = self.contents.backends.iter();
        let living = living.filter(|backend| backend.flags.contains(BackendFlags::ALIVE));
        let mut living: Vec<_> = living.map(|it| (endpoint_of(it), it.flags)).collect();
        living.sort();
        living
    }
}

fn apart(a: SlotRun, b: SlotRun) -> bool {
    a.count == 0 || b.count == 0 || a.base + a.count <= b.base || b.base + b.count <= a.base
}
