//! Numbers of the data plane for whoever watches it, apart from the task that owns it.

use std::io;
use std::path::Path;

use anyhow::Context;
use aya::maps::MapData;
use kproxy_common::{Counter, Door, PortSearch, SnatKey, maps};

use super::error::OpenError;
use super::pins::map_path;
use super::sys::count::count;
use super::sys::hash::Hash;
use super::tables::Counters;
use crate::plan::Fill;
use crate::serve::Gauges;

/// Tables that kernel programs fill, and whose size nobody else knows.
const TABLES: [&str; 4] = [maps::FLOWS, maps::FLOWS_NEW, maps::SOCKET_FLOWS, maps::AFFINITY];

/// Handles of its own on the pinned maps, for reading.
pub struct Meter {
    counters: Counters,
    tables: Vec<(&'static str, MapData)>,
    port_searches: Hash<SnatKey, PortSearch>,
}

impl Meter {
    /// Opens the maps that [`Dataplane::open`](super::Dataplane::open) has pinned below a directory.
    ///
    /// # Errors
    /// A map is not there.
    pub fn open(pin_dir: &Path) -> Result<Self, OpenError> {
        let pinned = |map| {
            MapData::from_pin(map_path(pin_dir, map)).map_err(|error| OpenError::Map {
                map,
                source: io::Error::other(error),
            })
        };
        Ok(Self {
            counters: Counters::new(pinned(maps::COUNTERS)?)?,
            tables: TABLES
                .into_iter()
                .map(|map| Ok((map, pinned(map)?)))
                .collect::<Result<_, OpenError>>()?,
            port_searches: Hash::new(pinned(maps::SNAT_PORTS)?).map_err(|source| OpenError::Map {
                map: maps::SNAT_PORTS,
                source,
            })?,
        })
    }
}

impl Gauges for Meter {
    fn outcomes(&self) -> anyhow::Result<Vec<(Door, Counter, u64)>> {
        self.counters.read().context("read the map COUNTERS")
    }

    fn tables(&self) -> anyhow::Result<Vec<Fill>> {
        let fill = |(name, map): &(&'static str, MapData)| {
            let counted = count(map).with_context(|| format!("count the entries of the map {name}"))?;
            let capacity = map.info().with_context(|| format!("look at the map {name}"))?;
            Ok(Fill {
                map: name,
                entries: counted,
                capacity: capacity.max_entries().into(),
            })
        };
        self.tables.iter().map(fill).collect()
    }

    fn port_searches(&self) -> anyhow::Result<Vec<(SnatKey, PortSearch)>> {
        self.port_searches.entries().context("read the map SNAT_PORTS")
    }
}
