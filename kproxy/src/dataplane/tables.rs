//! The maps that the plan is written to.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use aya::maps::{Array as SmallArray, Map, MapData, MapError, PerCpuArray};
use kproxy_common::{
    Address, AddressRange, AddressRole, Backend, BackendIndex, Counter, Device, DeviceIndex, Door, Family,
    Frontend, FrontendKey, Vlan, counter, maps,
};

use super::error::OpenError;
use super::gate::Gate;
use super::pins::map_path;
use super::prefix::Prefix;
use super::sys::array::Array;
use super::sys::hash::Hash;
use crate::plan::MapContents;

/// Handles on the maps, all of checked layouts.
pub(super) struct Tables {
    pub(super) addresses: Hash<Address, AddressRole>,
    pub(super) gate: Gate,
    pub(super) frontends: Hash<FrontendKey, Frontend>,
    pub(super) slots: Array<BackendIndex>,
    pub(super) backends: Array<Backend>,
    pub(super) source_ranges: Hash<Prefix, u32>,
    service_cidrs: SmallArray<MapData, [u8; size_of::<AddressRange>()]>,
    node_addresses: SmallArray<MapData, [u8; size_of::<Address>()]>,
    pod_ranges: SmallArray<MapData, [u8; size_of::<AddressRange>()]>,
    pub(super) devices: Hash<DeviceIndex, Device>,
    pub(super) vlans: Hash<Vlan, DeviceIndex>,
    pub(super) counters: Counters,
}

/// `COUNTERS`.
pub(super) struct Counters(PerCpuArray<MapData, u64>);

impl Tables {
    /// Opens the maps pinned below a pin directory.
    pub(super) fn open(root: &Path) -> Result<Self, OpenError> {
        let pinned = |map| {
            MapData::from_pin(map_path(root, map)).map_err(|error| OpenError::Map {
                map,
                source: io::Error::other(error),
            })
        };
        let failed = |map| move |source| OpenError::Map { map, source };
        let other = |map| move |error: MapError| failed(map)(io::Error::other(error));
        Ok(Self {
            addresses: Hash::new(pinned(maps::ADDRESSES)?).map_err(failed(maps::ADDRESSES))?,
            gate: Gate::new(&pinned(maps::GATE)?).map_err(failed(maps::GATE))?,
            frontends: Hash::new(pinned(maps::FRONTENDS)?).map_err(failed(maps::FRONTENDS))?,
            slots: Array::new(&pinned(maps::SLOTS)?).map_err(failed(maps::SLOTS))?,
            backends: Array::new(&pinned(maps::BACKENDS)?).map_err(failed(maps::BACKENDS))?,
            source_ranges: Hash::new(pinned(maps::SOURCE_RANGES)?).map_err(failed(maps::SOURCE_RANGES))?,
            service_cidrs: SmallArray::try_from(Map::Array(pinned(maps::SERVICE_CIDRS)?))
                .map_err(other(maps::SERVICE_CIDRS))?,
            node_addresses: SmallArray::try_from(Map::Array(pinned(maps::NODE_ADDRESSES)?))
                .map_err(other(maps::NODE_ADDRESSES))?,
            pod_ranges: SmallArray::try_from(Map::Array(pinned(maps::POD_RANGES)?))
                .map_err(other(maps::POD_RANGES))?,
            devices: Hash::new(pinned(maps::DEVICES)?).map_err(failed(maps::DEVICES))?,
            vlans: Hash::new(pinned(maps::VLANS)?).map_err(failed(maps::VLANS))?,
            counters: Counters::new(pinned(maps::COUNTERS)?)?,
        })
    }

    /// Everything the plan needs to know after a restart.
    pub(super) fn contents(&self) -> Result<MapContents, OpenError> {
        let failed = |map| move |source| OpenError::Map { map, source };
        let Self {
            addresses,
            gate: _,
            frontends,
            slots,
            backends,
            source_ranges,
            service_cidrs: _,
            node_addresses: _,
            pod_ranges: _,
            devices,
            vlans,
            counters: _,
        } = self;
        let mut ranges = BTreeMap::<_, BTreeSet<_>>::new();
        let found = source_ranges.entries().map_err(failed(maps::SOURCE_RANGES))?;
        for (set, range) in found.iter().filter_map(|(prefix, _)| prefix.range()) {
            ranges.entry(set).or_default().insert(range);
        }
        Ok(MapContents {
            addresses: addresses
                .entries()
                .map_err(failed(maps::ADDRESSES))?
                .into_iter()
                .collect(),
            frontends: frontends
                .entries()
                .map_err(failed(maps::FRONTENDS))?
                .into_iter()
                .collect(),
            slots: (0..slots.len()).map_while(|index| slots.load(index)).collect(),
            backends: (0..backends.len())
                .map_while(|index| backends.load(index))
                .collect(),
            source_ranges: ranges,
            service_cidrs: self.service_cidrs().map_err(failed(maps::SERVICE_CIDRS))?,
            node_addresses: self.node_addresses().map_err(failed(maps::NODE_ADDRESSES))?,
            pod_ranges: self.pod_ranges().map_err(failed(maps::POD_RANGES))?,
            devices: devices
                .entries()
                .map_err(failed(maps::DEVICES))?
                .into_iter()
                .collect(),
            vlans: vlans
                .entries()
                .map_err(failed(maps::VLANS))?
                .into_iter()
                .collect(),
        })
    }

    fn service_cidrs(&self) -> io::Result<Vec<AddressRange>> {
        let range = |range: Result<_, MapError>| range.map(bytemuck::cast).map_err(io::Error::other);
        self.service_cidrs.iter().map(range).collect()
    }

    fn node_addresses(&self) -> io::Result<BTreeMap<Family, Address>> {
        let address = |family| {
            let bytes = self.node_addresses.get(&maps::family_index(family), 0);
            let address: Address = bytemuck::cast(bytes.map_err(io::Error::other)?);
            Ok((family, address))
        };
        let addresses: io::Result<Vec<_>> = [Family::V4, Family::V6].into_iter().map(address).collect();
        let mut addresses = addresses?;
        addresses.retain(|(_, address)| !address.is_unspecified());
        Ok(addresses.into_iter().collect())
    }

    fn pod_ranges(&self) -> io::Result<BTreeMap<Family, AddressRange>> {
        let range = |family| {
            let bytes = self.pod_ranges.get(&maps::family_index(family), 0);
            let range: AddressRange = bytemuck::cast(bytes.map_err(io::Error::other)?);
            Ok((family, range))
        };
        let ranges: io::Result<Vec<_>> = [Family::V4, Family::V6].into_iter().map(range).collect();
        let mut ranges = ranges?;
        ranges.retain(|(_, range)| !range.is_unset());
        Ok(ranges.into_iter().collect())
    }

    /// Writes an element of `SERVICE_CIDRS`.
    pub(super) fn write_service_cidr(&mut self, index: u32, range: AddressRange) -> io::Result<()> {
        let range = bytemuck::cast::<_, [u8; _]>(range);
        self.service_cidrs.set(index, range, 0).map_err(io::Error::other)
    }

    /// Writes an element of `NODE_ADDRESSES`.
    pub(super) fn write_node_address(&mut self, family: Family, address: Address) -> io::Result<()> {
        let address = bytemuck::cast::<_, [u8; _]>(address);
        self.node_addresses
            .set(maps::family_index(family), address, 0)
            .map_err(io::Error::other)
    }

    /// Writes an element of `POD_RANGES`.
    pub(super) fn write_pod_range(&mut self, family: Family, range: AddressRange) -> io::Result<()> {
        let range = bytemuck::cast::<_, [u8; _]>(range);
        self.pod_ranges
            .set(maps::family_index(family), range, 0)
            .map_err(io::Error::other)
    }
}

impl Counters {
    pub(super) fn new(map: MapData) -> Result<Self, OpenError> {
        let array = PerCpuArray::try_from(Map::PerCpuArray(map));
        array.map(Self).map_err(|error| OpenError::Map {
            map: maps::COUNTERS,
            source: io::Error::other(error),
        })
    }

    /// Every counter, summed over the processors.
    pub(super) fn read(&self) -> Result<Vec<(Door, Counter, u64)>, MapError> {
        sum_counters(&self.0)
    }
}

/// Every counter, summed over the processors.
pub(super) fn sum_counters(
    counters: &PerCpuArray<impl Borrow<MapData>, u64>,
) -> Result<Vec<(Door, Counter, u64)>, MapError> {
    let doors = Door::ALL
        .iter()
        .flat_map(|door| Counter::ALL.iter().map(|counter| (*door, *counter)));
    doors
        .map(|(door, counter)| {
            let values = counters.get(&counter::index(door, counter), 0)?;
            Ok((door, counter, values.iter().sum()))
        })
        .collect()
}
