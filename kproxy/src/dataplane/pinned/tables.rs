//! The maps as the datapath library reads them. Writes are refused.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Map, MapData};
use kproxy_common::gate::{Place, Sign};
use kproxy_common::{
    Address, AddressRange, AddressRole, Affinity, AffinityKey, Backend, BackendIndex, Counter, Device,
    DeviceIndex, Door, Family, Flow, Fragment, FragmentKey, Frontend, FrontendKey, Nanoseconds, PortSearch,
    RangeSetId, Settings, SnatKey, SocketFlow, SocketFlowKey, SourceRange, Tuple, maps,
};
use kproxy_ebpf::{Age, Existing, InsertError, Tables};
use nix::time::{ClockId, clock_gettime};

use super::{Pinned, map_error};
use crate::dataplane::error::OpenError;
use crate::dataplane::sys::array::Array;
use crate::dataplane::sys::hash::Hash;

type SourceRanges = LpmTrie<MapData, [u8; size_of::<SourceRange>()], u32>;

/// Handles on the pinned maps. What an element lookup fails to read counts as missing.
pub struct PinnedTables {
    addresses: Hash<Address, AddressRole>,
    frontends: Hash<FrontendKey, Frontend>,
    slots: Array<BackendIndex>,
    backends: Array<Backend>,
    flows: Hash<Tuple, Flow>,
    flows_new: Hash<Tuple, Flow>,
    socket_flows: Hash<SocketFlowKey, SocketFlow>,
    affinity: Hash<AffinityKey, Affinity>,
    source_ranges: SourceRanges,
    // Small, and of one moment.
    service_cidrs: Vec<AddressRange>,
    node_addresses: Vec<Address>,
    pod_ranges: Vec<AddressRange>,
    devices: Hash<DeviceIndex, Device>,
    port_searches: Hash<SnatKey, PortSearch>,
    fragments: Hash<FragmentKey, Fragment>,
    settings: Settings,
    chance: RandomState,
}

impl Pinned {
    /// The maps, to be read by the library.
    ///
    /// # Errors
    /// When one can not be opened.
    pub fn tables(&self) -> Result<PinnedTables, OpenError> {
        let trie = Map::LpmTrie(self.map(maps::SOURCE_RANGES)?);
        let trie = SourceRanges::try_from(trie)
            .map_err(|error| map_error(maps::SOURCE_RANGES)(io::Error::other(error)))?;
        let service_cidrs = self.array::<{ size_of::<AddressRange>() }>(maps::SERVICE_CIDRS)?;
        let pod_ranges = self.array::<{ size_of::<AddressRange>() }>(maps::POD_RANGES)?;
        let node_addresses = self.array::<{ size_of::<Address>() }>(maps::NODE_ADDRESSES)?;
        Ok(PinnedTables {
            addresses: self.hash(maps::ADDRESSES)?,
            frontends: self.hash(maps::FRONTENDS)?,
            slots: Array::new(&self.map(maps::SLOTS)?).map_err(map_error(maps::SLOTS))?,
            backends: Array::new(&self.map(maps::BACKENDS)?).map_err(map_error(maps::BACKENDS))?,
            flows: self.hash(maps::FLOWS)?,
            flows_new: self.hash(maps::FLOWS_NEW)?,
            socket_flows: self.hash(maps::SOCKET_FLOWS)?,
            affinity: self.hash(maps::AFFINITY)?,
            source_ranges: trie,
            service_cidrs: service_cidrs.into_iter().map(bytemuck::cast).collect(),
            node_addresses: node_addresses.into_iter().map(bytemuck::cast).collect(),
            pod_ranges: pod_ranges.into_iter().map(bytemuck::cast).collect(),
            devices: self.hash(maps::DEVICES)?,
            port_searches: self.hash(maps::SNAT_PORTS)?,
            fragments: self.hash(maps::FRAGMENTS)?,
            settings: self.settings()?,
            chance: RandomState::new(),
        })
    }

    pub(super) fn hash<K: bytemuck::Pod, V: bytemuck::Pod>(
        &self,
        name: &'static str,
    ) -> Result<Hash<K, V>, OpenError> {
        Hash::new(self.map(name)?).map_err(map_error(name))
    }
}

impl PinnedTables {
    /// The ranges that ClusterIPs come from.
    pub fn service_cidrs(&self) -> impl Iterator<Item = &AddressRange> {
        self.service_cidrs.iter().take_while(|range| !range.is_unset())
    }
}

impl Tables for PinnedTables {
    /// Whoever reads here wants to know what is looked up.
    fn sign(&self, _place: Place) -> Sign {
        Sign::all()
    }

    fn address(&self, address: &Address) -> AddressRole {
        let role = self.addresses.get(address).ok().flatten();
        role.unwrap_or(AddressRole::empty())
    }

    fn frontend(&self, key: &FrontendKey) -> Option<Frontend> {
        self.frontends.get(key).ok().flatten()
    }

    fn slot(&self, index: u32) -> Option<BackendIndex> {
        self.slots.load(index)
    }

    fn backend(&self, index: BackendIndex) -> Option<Backend> {
        self.backends.load(index.0)
    }

    fn affinity(&self, key: &AffinityKey) -> Option<Affinity> {
        self.affinity.get(key).ok().flatten()
    }

    fn insert_affinity(&self, _door: Door, _key: &AffinityKey, _affinity: &Affinity) -> bool {
        false
    }

    fn in_source_range(&self, set: RangeSetId, address: &Address) -> bool {
        let key = Key::new(
            SourceRange::WHOLE,
            bytemuck::cast(SourceRange::new(set, *address)),
        );
        self.source_ranges.get(&key, 0).is_ok()
    }

    fn service_cidr(&self, index: u32) -> AddressRange {
        let range = self.service_cidrs.get(index as usize).copied();
        range.unwrap_or(AddressRange::UNSET)
    }

    fn node_address(&self, family: Family) -> Option<Address> {
        let address = self.node_addresses.get(maps::family_index(family) as usize);
        address.copied().filter(|address| !address.is_unspecified())
    }

    fn pod_range(&self, family: Family) -> AddressRange {
        let range = self.pod_ranges.get(maps::family_index(family) as usize).copied();
        range.unwrap_or(AddressRange::UNSET)
    }

    fn device(&self, index: DeviceIndex) -> Option<Device> {
        self.devices.get(&index).ok().flatten()
    }

    fn port_search(&self, key: &SnatKey) -> Option<PortSearch> {
        self.port_searches.get(key).ok().flatten()
    }

    fn insert_port_search(&self, _key: &SnatKey, _search: &PortSearch) {}

    fn flow(&self, age: Age, key: &Tuple) -> Option<Flow> {
        let flows = match age {
            Age::New => &self.flows_new,
            Age::Answered => &self.flows,
        };
        flows.get(key).ok().flatten()
    }

    fn insert_flow(
        &self,
        _door: Door,
        _age: Age,
        _key: &Tuple,
        _flow: &Flow,
        _existing: Existing,
    ) -> Result<(), InsertError> {
        Err(InsertError::Failed)
    }

    fn remove_flow(&self, _age: Age, _key: &Tuple) {}

    // What spares the programs a lookup is not needed here.
    fn is_answering(&self, _place: u16) -> bool {
        true
    }

    fn note_answering(&self, _place: u16) {}

    fn is_asking(&self, _place: u16) -> bool {
        true
    }

    fn note_asking(&self, _place: u16) {}

    fn fragment(&self, key: &FragmentKey) -> Option<Fragment> {
        self.fragments.get(key).ok().flatten()
    }

    fn insert_fragment(&self, _key: &FragmentKey, _fragment: &Fragment, _existing: Existing) {}

    fn remove_fragment(&self, _key: &FragmentKey) {}

    fn socket_flow(&self, key: &SocketFlowKey) -> Option<SocketFlow> {
        self.socket_flows.get(key).ok().flatten()
    }

    fn insert_socket_flow(&self, _key: &SocketFlowKey, _flow: &SocketFlow) -> bool {
        false
    }

    fn remove_socket_flow(&self, _key: &SocketFlowKey) {}

    fn count(&self, _door: Door, _counter: Counter) {}

    /// The clock that the programs read, `bpf_ktime_get_coarse_ns`.
    fn now(&self) -> Nanoseconds {
        read(ClockId::CLOCK_MONOTONIC_COARSE)
    }

    /// `bpf_ktime_get_ns`.
    fn precise_now(&self) -> Nanoseconds {
        read(ClockId::CLOCK_MONOTONIC)
    }

    fn random(&self) -> u32 {
        let hash = self.chance.hash_one(std::time::Instant::now());
        u32::try_from(hash >> 32).unwrap_or_default()
    }

    fn settings(&self) -> &Settings {
        &self.settings
    }
}

fn read(clock: ClockId) -> Nanoseconds {
    let now = clock_gettime(clock).map(std::time::Duration::from);
    let nanoseconds = now.unwrap_or_default().as_nanos();
    Nanoseconds(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}
