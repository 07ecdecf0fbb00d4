//! The maps of the data plane in memory.
//!
//! Cells instead of locks: [`Tables`] is written for many CPUs and takes `&self`, a test has one thread.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use crate::model::Cidr;
use crate::plan::{Action, Plan};
use kproxy_common::gate::{self, Place, Sign};
use kproxy_common::{
    Address, AddressRange, AddressRole, Affinity, AffinityKey, Backend, BackendIndex, Counter, Device,
    DeviceIndex, Door, Family, Flow, Fragment, FragmentKey, Frontend, FrontendKey, Nanoseconds, PortSearch,
    RangeSetId, Settings, SnatKey, SocketFlow, SocketFlowKey, Tuple, Vlan, maps,
};
use kproxy_ebpf::{Age, Existing, InsertError, Tables};

/// Maps, clock and chance.
#[derive(Clone, Debug)]
pub struct MemoryTables {
    addresses: BTreeMap<Address, AddressRole>,
    gate: HashMap<Place, Sign>,
    frontends: BTreeMap<FrontendKey, Frontend>,
    slots: HashMap<u32, BackendIndex>,
    backends: HashMap<BackendIndex, Backend>,
    flows: RefCell<HashMap<Tuple, Flow>>,
    flows_new: RefCell<HashMap<Tuple, Flow>>,
    answering: RefCell<BTreeSet<u16>>,
    asking: RefCell<BTreeSet<u16>>,
    socket_flows: RefCell<HashMap<SocketFlowKey, SocketFlow>>,
    affinity: RefCell<HashMap<AffinityKey, Affinity>>,
    source_ranges: BTreeMap<RangeSetId, BTreeSet<Cidr>>,
    service_cidrs: BTreeMap<u32, AddressRange>,
    node_addresses: BTreeMap<Family, Address>,
    port_searches: RefCell<HashMap<SnatKey, PortSearch>>,
    fragments: RefCell<HashMap<FragmentKey, Fragment>>,
    /// The addresses that the local-traffic detector takes for pods'.
    pub pod_ranges: BTreeMap<Family, AddressRange>,
    /// What is known about devices.
    pub devices: BTreeMap<DeviceIndex, Device>,
    /// Which devices tagged packets are of.
    pub vlans: BTreeMap<Vlan, DeviceIndex>,
    counters: RefCell<BTreeMap<(Door, Counter), u64>>,
    lookups: Cell<u32>,
    refusals: Cell<u32>,
    now: Cell<Nanoseconds>,
    scripted: RefCell<VecDeque<u32>>,
    seed: Cell<u64>,
    /// The programs' constants.
    pub settings: Settings,
}

impl Default for MemoryTables {
    fn default() -> Self {
        Self::new(1)
    }
}

impl MemoryTables {
    /// Empty maps; the seed decides what chance brings.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            addresses: BTreeMap::new(),
            gate: HashMap::new(),
            frontends: BTreeMap::new(),
            slots: HashMap::new(),
            backends: HashMap::new(),
            flows: RefCell::default(),
            flows_new: RefCell::default(),
            answering: RefCell::default(),
            asking: RefCell::default(),
            socket_flows: RefCell::default(),
            affinity: RefCell::default(),
            source_ranges: BTreeMap::new(),
            service_cidrs: BTreeMap::new(),
            node_addresses: BTreeMap::new(),
            port_searches: RefCell::default(),
            fragments: RefCell::default(),
            pod_ranges: BTreeMap::new(),
            devices: BTreeMap::new(),
            vlans: BTreeMap::new(),
            counters: RefCell::default(),
            lookups: Cell::new(0),
            refusals: Cell::new(0),
            // A machine that has been up for a while.
            now: Cell::new(Nanoseconds::from_seconds(1_000_000)),
            scripted: RefCell::default(),
            seed: Cell::new(seed),
            settings: Settings::DEFAULT,
        }
    }

    /// Writes a plan, step by step.
    pub fn apply(&mut self, plan: &Plan) {
        for step in &plan.steps {
            match &step.action {
                Action::WriteBackend { index, backend } | Action::RetireBackend { index, backend } => {
                    self.backends.insert(*index, *backend);
                }
                Action::WriteSlots { base, slots } => self.slots.extend((*base..).zip(slots.iter().copied())),
                Action::PutAddress { address, role } => {
                    self.announce([Place::of_address(address)], Sign::of(*role));
                    self.addresses.insert(*address, *role);
                }
                Action::PutFrontend { key, frontend } => {
                    self.announce(gate::of_frontend(key), Sign::NODE_PORT);
                    self.frontends.insert(*key, *frontend);
                }
                Action::RemoveFrontend { key } => {
                    self.frontends.remove(key);
                }
                Action::RemoveAddress { address } => {
                    self.addresses.remove(address);
                }
                Action::PutSourceRange { set, range } => {
                    self.source_ranges.entry(*set).or_default().insert(*range);
                }
                Action::RemoveSourceRange { set, range } => {
                    if let Some(ranges) = self.source_ranges.get_mut(set) {
                        ranges.remove(range);
                    }
                }
                Action::WriteServiceCidr { index, range } => {
                    self.announce(gate::of_range(range), Sign::CLUSTER_IPS);
                    self.service_cidrs.insert(*index, *range);
                }
                Action::WriteNodeAddress { family, address } => {
                    self.node_addresses.insert(*family, *address);
                }
                Action::WritePodRange { family, range } => {
                    self.pod_ranges.insert(*family, *range);
                }
                Action::PutDevice { index, device } => {
                    self.devices.insert(*index, *device);
                }
                Action::RemoveDevice { index } => {
                    self.devices.remove(index);
                }
                Action::PutVlan { vlan, device } => {
                    self.vlans.insert(*vlan, *device);
                }
                Action::RemoveVlan { vlan } => {
                    self.vlans.remove(vlan);
                }
            }
        }
    }

    fn announce(&mut self, places: impl IntoIterator<Item = Place>, sign: Sign) {
        for place in places {
            *self.gate.entry(place).or_default() |= sign;
        }
    }

    /// Lets time pass.
    pub fn wait(&self, time: Duration) {
        let Nanoseconds(now) = self.now.get();
        let passed = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.now.set(Nanoseconds(now.saturating_add(passed)));
    }

    /// What [`Tables::random`] gives next, before it goes back to the seed.
    pub fn script_random(&self, values: impl IntoIterator<Item = u32>) {
        *self.scripted.borrow_mut() = values.into_iter().collect();
    }

    /// The next tries to insert into a map fail.
    pub fn refuse_inserts(&self, tries: u32) {
        self.refusals.set(tries);
    }

    /// Forgets flows, as an LRU that is short of room does.
    pub fn evict(&self, mut gone: impl FnMut(Age, &Tuple, &Flow) -> bool) {
        self.flows
            .borrow_mut()
            .retain(|tuple, flow| !gone(Age::Answered, tuple, flow));
        self.flows_new
            .borrow_mut()
            .retain(|tuple, flow| !gone(Age::New, tuple, flow));
    }

    /// How often this was counted, at every door together.
    #[must_use]
    pub fn counted(&self, counter: Counter) -> u64 {
        let counters = self.counters.borrow();
        Door::ALL
            .iter()
            .filter_map(|door| counters.get(&(*door, counter)))
            .sum()
    }

    /// How often something was looked for by hash since this was asked last: what takes the time of a packet.
    #[must_use]
    pub fn take_lookups(&self) -> u32 {
        self.lookups.take()
    }

    fn note_lookup(&self) {
        self.lookups.set(self.lookups.get() + 1);
    }

    /// Number of entries of `FLOWS` and `FLOWS_NEW`.
    #[must_use]
    pub fn flow_counts(&self) -> (usize, usize) {
        (self.flows.borrow().len(), self.flows_new.borrow().len())
    }

    /// Every flow entry.
    #[must_use]
    pub fn flow_entries(&self) -> Vec<(Age, Tuple, Flow)> {
        let (old, new) = (self.flows.borrow(), self.flows_new.borrow());
        let old = old.iter().map(|(tuple, flow)| (Age::Answered, *tuple, *flow));
        old.chain(new.iter().map(|(tuple, flow)| (Age::New, *tuple, *flow)))
            .collect()
    }

    fn flows(&self, age: Age) -> &RefCell<HashMap<Tuple, Flow>> {
        match age {
            Age::New => &self.flows_new,
            Age::Answered => &self.flows,
        }
    }

    /// One try, which fails if that was asked for.
    fn is_refused(&self) -> bool {
        let left = self.refusals.get();
        self.refusals.set(left.saturating_sub(1));
        left > 0
    }

    /// Two tries; false if both are refused.
    fn tries(&self, door: Door) -> bool {
        if !self.is_refused() {
            return true;
        }
        self.count(door, Counter::MapRetry);
        !self.is_refused()
    }
}

impl Tables for MemoryTables {
    fn sign(&self, place: Place) -> Sign {
        self.gate.get(&place).copied().unwrap_or_default()
    }

    fn address(&self, address: &Address) -> AddressRole {
        self.note_lookup();
        self.addresses
            .get(address)
            .copied()
            .unwrap_or(AddressRole::empty())
    }

    fn frontend(&self, key: &FrontendKey) -> Option<Frontend> {
        self.note_lookup();
        self.frontends.get(key).copied()
    }

    fn slot(&self, index: u32) -> Option<BackendIndex> {
        self.slots.get(&index).copied()
    }

    fn backend(&self, index: BackendIndex) -> Option<Backend> {
        self.backends.get(&index).copied()
    }

    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        self.note_lookup();
        self.affinity.borrow().get(key).copied()
    }

    fn insert_affinity(&self, door: Door, key: &AffinityKey, affinity: &Affinity) -> bool {
        let inserted = self.tries(door);
        if inserted {
            self.affinity.borrow_mut().insert(*key, *affinity);
        }
        inserted
    }

    fn in_source_range(&self, set: RangeSetId, address: &Address) -> bool {
        self.source_ranges
            .get(&set)
            .is_some_and(|ranges| ranges.iter().any(|range| range.contains(address)))
    }

    fn service_cidr(&self, index: u32) -> AddressRange {
        let range = self.service_cidrs.get(&index).copied();
        range
            .filter(|_| index < maps::SERVICE_CIDRS_MAX)
            .unwrap_or(AddressRange::UNSET)
    }

    fn node_address(&self, family: Family) -> Option<Address> {
        let address = self.node_addresses.get(&family).copied();
        address.filter(|address| !address.is_unspecified())
    }

    fn pod_range(&self, family: Family) -> AddressRange {
        self.pod_ranges
            .get(&family)
            .copied()
            .unwrap_or(AddressRange::UNSET)
    }

    fn device(&self, index: DeviceIndex) -> Option<Device> {
        self.note_lookup();
        self.devices.get(&index).copied()
    }

    fn port_search(&self, key: &SnatKey) -> Option<PortSearch> {
        self.note_lookup();
        self.port_searches.borrow().get(key).copied()
    }

    fn insert_port_search(&self, key: &SnatKey, search: &PortSearch) {
        self.port_searches.borrow_mut().insert(*key, *search);
    }

    fn flow(&self, age: Age, key: &Tuple) -> Option<Flow> {
        self.note_lookup();
        self.flows(age).borrow().get(key).copied()
    }

    fn insert_flow(
        &self,
        door: Door,
        age: Age,
        key: &Tuple,
        flow: &Flow,
        existing: Existing,
    ) -> Result<(), InsertError> {
        let mut flows = self.flows(age).borrow_mut();
        if existing == Existing::Keep && flows.contains_key(key) {
            return Err(InsertError::Exists);
        }
        if !self.tries(door) {
            return Err(InsertError::Failed);
        }
        flows.insert(*key, *flow);
        Ok(())
    }

    fn remove_flow(&self, age: Age, key: &Tuple) {
        self.flows(age).borrow_mut().remove(key);
    }

    fn is_answering(&self, place: u16) -> bool {
        self.answering.borrow().contains(&place)
    }

    fn note_answering(&self, place: u16) {
        self.answering.borrow_mut().insert(place);
    }

    fn is_asking(&self, place: u16) -> bool {
        self.asking.borrow().contains(&place)
    }

    fn note_asking(&self, place: u16) {
        self.asking.borrow_mut().insert(place);
    }

    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        self.note_lookup();
        self.fragments.borrow().get(key).copied()
    }

    fn insert_fragment(&self, key: &FragmentKey, fragment: &Fragment, existing: Existing) {
        let mut fragments = self.fragments.borrow_mut();
        if existing == Existing::Replace || !fragments.contains_key(key) {
            fragments.insert(*key, *fragment);
        }
    }

    fn remove_fragment(&self, key: &FragmentKey) {
        self.fragments.borrow_mut().remove(key);
    }

    fn socket_flow(&self, key: &SocketFlowKey) -> Option<SocketFlow> {
        self.socket_flows.borrow().get(key).copied()
    }

    fn insert_socket_flow(&self, key: &SocketFlowKey, flow: &SocketFlow) -> bool {
        let inserted = self.tries(Door::Socket);
        if inserted {
            self.socket_flows.borrow_mut().insert(*key, *flow);
        }
        inserted
    }

    fn remove_socket_flow(&self, key: &SocketFlowKey) {
        self.socket_flows.borrow_mut().remove(key);
    }

    fn count(&self, door: Door, counter: Counter) {
        *self.counters.borrow_mut().entry((door, counter)).or_default() += 1;
    }

    fn now(&self) -> Nanoseconds {
        self.now.get()
    }

    fn precise_now(&self) -> Nanoseconds {
        self.now.get()
    }

    /// `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
    fn random(&self) -> u32 {
        if let Some(scripted) = self.scripted.borrow_mut().pop_front() {
            return scripted;
        }
        let seed = self.seed.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.seed.set(seed);
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0)
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }
}
