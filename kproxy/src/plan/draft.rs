//! A plan while it is written: one collection per phase.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kproxy_common::{
    Address, AddressRange, AddressRole, Backend, BackendIndex, Device, DeviceIndex, Family, Frontend,
    FrontendKey, RangeSetId, Vlan,
};

use crate::model::Cidr;

use super::step::{Action, Plan, Problem, ProblemKind, Step};
use super::wanted::ServicePortName;

/// For whom a step is.
pub(super) type Name = Arc<ServicePortName>;

/// The phases in their order. Sorting each phase makes the plan deterministic.
///
/// What a first plan makes large is in vectors: as single pieces they go back to the kernel, while the nodes of trees
/// would leave holes between what is kept. No key is there twice.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// First of all: their room may be needed in the same plan.
    pub(super) gone_ranges: BTreeSet<(RangeSetId, Cidr)>,
    pub(super) backends: Vec<(BackendIndex, (Backend, Name))>,
    pub(super) slots: Vec<(u32, (Vec<BackendIndex>, Name))>,
    pub(super) ranges: BTreeMap<(RangeSetId, Cidr), Name>,
    pub(super) frontends: Vec<(FrontendKey, (Frontend, Name))>,
    addresses: BTreeMap<Address, AddressRole>,
    /// In this order.
    pub(super) service_cidrs: Vec<(u32, AddressRange)>,
    /// Addresses that are less than before.
    narrowed_addresses: BTreeMap<Address, AddressRole>,
    pub(super) node_addresses: BTreeMap<Family, Address>,
    pub(super) devices: DeviceDraft,
    pub(super) gone_frontends: Vec<(FrontendKey, Option<Name>)>,
    pub(super) gone_addresses: Vec<Address>,
    pub(super) retired: Vec<(BackendIndex, (Backend, Option<Name>))>,
    problems: Vec<Problem>,
    pub(super) considered: BTreeSet<Name>,
    pub(super) newly_served: BTreeSet<FrontendKey>,
}

/// What is written of devices, in this order.
#[derive(Debug, Default)]
pub(super) struct DeviceDraft {
    pub(super) pod_ranges: BTreeMap<Family, AddressRange>,
    /// Before the devices that they lead to. Of both, what goes may make room for what comes.
    pub(super) gone_vlans: BTreeSet<Vlan>,
    pub(super) gone: BTreeSet<DeviceIndex>,
    pub(super) known: BTreeMap<DeviceIndex, Device>,
    /// Behind the devices that they lead to.
    pub(super) vlans: BTreeMap<Vlan, DeviceIndex>,
}

impl DeviceDraft {
    fn actions(self) -> impl Iterator<Item = Action> {
        let Self {
            pod_ranges,
            gone_vlans,
            gone,
            known,
            vlans,
        } = self;
        let pod_ranges = pod_ranges.into_iter();
        let gone_vlans = gone_vlans.into_iter().map(|vlan| Action::RemoveVlan { vlan });
        let gone = gone.into_iter().map(|index| Action::RemoveDevice { index });
        let known = known.into_iter();
        let vlans = vlans.into_iter();
        pod_ranges
            .map(|(family, range)| Action::WritePodRange { family, range })
            .chain(gone_vlans)
            .chain(gone)
            .chain(known.map(|(index, device)| Action::PutDevice { index, device }))
            .chain(vlans.map(|(vlan, device)| Action::PutVlan { vlan, device }))
    }
}

impl Draft {
    pub(super) fn problem(&mut self, service: Option<&Name>, kind: ProblemKind) {
        let service = service.cloned();
        self.problems.push(Problem { service, kind });
    }

    /// What protects an address from being taken for an unallocated one comes before a new range of ClusterIPs, and goes
    /// after the range.
    pub(super) fn put_address(&mut self, address: Address, before: Option<AddressRole>, now: AddressRole) {
        let before = before.unwrap_or(AddressRole::empty());
        if before.difference(now).is_empty() {
            self.addresses.insert(address, now);
            return;
        }
        let protected = before | now & (AddressRole::EXEMPT | AddressRole::NODE | AddressRole::OWN);
        if protected != before {
            self.addresses.insert(address, protected);
        }
        self.narrowed_addresses.insert(address, now);
    }

    pub(super) fn finish(self) -> Plan {
        let Self {
            gone_ranges,
            backends,
            slots,
            ranges,
            frontends,
            addresses,
            service_cidrs,
            narrowed_addresses,
            node_addresses,
            devices,
            gone_frontends,
            gone_addresses,
            retired,
            mut problems,
            considered,
            newly_served,
        } = self;
        let mut steps = Vec::new();
        let mut phase = |actions: &mut dyn Iterator<Item = (Action, Option<Name>)>| {
            steps.extend(actions.map(|(action, service)| Step { action, service }));
        };
        phase(
            &mut gone_ranges
                .into_iter()
                .map(|(set, range)| (Action::RemoveSourceRange { set, range }, None)),
        );
        phase(
            &mut sorted(backends)
                .map(|(index, (backend, name))| (Action::WriteBackend { index, backend }, Some(name))),
        );
        phase(
            &mut sorted(slots).map(|(base, (slots, name))| (Action::WriteSlots { base, slots }, Some(name))),
        );
        phase(
            &mut ranges
                .into_iter()
                .map(|((set, range), name)| (Action::PutSourceRange { set, range }, Some(name))),
        );
        phase(
            &mut sorted(frontends)
                .map(|(key, (frontend, name))| (Action::PutFrontend { key, frontend }, Some(name))),
        );
        phase(
            &mut addresses
                .into_iter()
                .map(|(address, role)| (Action::PutAddress { address, role }, None)),
        );
        phase(
            &mut service_cidrs
                .into_iter()
                .map(|(index, range)| (Action::WriteServiceCidr { index, range }, None)),
        );
        phase(
            &mut narrowed_addresses
                .into_iter()
                .map(|(address, role)| (Action::PutAddress { address, role }, None)),
        );
        phase(
            &mut node_addresses
                .into_iter()
                .map(|(family, address)| (Action::WriteNodeAddress { family, address }, None)),
        );
        phase(&mut devices.actions().map(|action| (action, None)));
        phase(&mut sorted(gone_frontends).map(|(key, name)| (Action::RemoveFrontend { key }, name)));
        phase(
            &mut gone_addresses
                .into_iter()
                .map(|address| (Action::RemoveAddress { address }, None)),
        );
        phase(
            &mut sorted(retired)
                .map(|(index, (backend, name))| (Action::RetireBackend { index, backend }, name)),
        );
        problems.sort();
        Plan {
            steps,
            problems,
            considered,
            newly_served,
        }
    }
}

fn sorted<K: Ord + Copy, V>(mut phase: Vec<(K, V)>) -> impl Iterator<Item = (K, V)> {
    phase.sort_unstable_by_key(|(key, _)| *key);
    debug_assert!(
        phase.windows(2).all(|pair| pair[0].0 != pair[1].0),
        "a step is planned once"
    );
    phase.into_iter()
}
