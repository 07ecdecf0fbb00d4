//! The maps that the plan is written to.

use std::io;

use aya::maps::{MapData, MapError, PerCpuArray};
use kproxy_common::{
    Address, AddressRole, Backend, BackendIndex, Counter, Door, Frontend, FrontendKey, counter, maps,
};

use super::error::OpenError;
use super::pins::Pins;
use super::sys::array::Array;
use super::sys::hash::Hash;
use crate::plan::MapContents;

/// Handles on the maps, all of checked layouts.
pub(super) struct Tables {
    pub(super) addresses: Hash<Address, AddressRole>,
    pub(super) frontends: Hash<FrontendKey, Frontend>,
    pub(super) slots: Array<BackendIndex>,
    pub(super) backends: Array<Backend>,
    pub(super) counters: Counters,
}

/// `COUNTERS`.
pub(super) struct Counters(PerCpuArray<MapData, u64>);

impl Tables {
    /// Opens the pinned maps.
    pub(super) fn open(pins: &Pins) -> Result<Self, OpenError> {
        let pinned = |map| {
            MapData::from_pin(pins.map(map)).map_err(|error| OpenError::Map {
                map,
                source: io::Error::other(error),
            })
        };
        let failed = |map| move |source| OpenError::Map { map, source };
        Ok(Self {
            addresses: Hash::new(pinned(maps::ADDRESSES)?).map_err(failed(maps::ADDRESSES))?,
            frontends: Hash::new(pinned(maps::FRONTENDS)?).map_err(failed(maps::FRONTENDS))?,
            slots: Array::new(&pinned(maps::SLOTS)?).map_err(failed(maps::SLOTS))?,
            backends: Array::new(&pinned(maps::BACKENDS)?).map_err(failed(maps::BACKENDS))?,
            counters: Counters::new(pinned(maps::COUNTERS)?)?,
        })
    }

    /// Everything the plan needs to know after a restart.
    pub(super) fn contents(&self) -> Result<MapContents, OpenError> {
        let failed = |map| move |source| OpenError::Map { map, source };
        let Self {
            addresses,
            frontends,
            slots,
            backends,
            counters: _,
        } = self;
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
        })
    }
}

impl Counters {
    pub(super) fn new(map: MapData) -> Result<Self, OpenError> {
        let array = PerCpuArray::try_from(aya::maps::Map::PerCpuArray(map));
        array.map(Self).map_err(|error| OpenError::Map {
            map: maps::COUNTERS,
            source: io::Error::other(error),
        })
    }

    /// Every counter, summed over the processors.
    pub(super) fn read(&self) -> Result<Vec<(Door, Counter, u64)>, MapError> {
        let doors = Door::ALL
            .iter()
            .flat_map(|door| Counter::ALL.iter().map(|counter| (*door, *counter)));
        doors
            .map(|(door, counter)| {
                let values = self.0.get(&counter::index(door, counter), 0)?;
                Ok((door, counter, values.iter().sum()))
            })
            .collect()
    }
}
