//! How full the maps are.

use std::collections::{BTreeMap, BTreeSet};

use bytemuck::Pod;
use kproxy_common::{
    Affinity, AffinityKey, BackendFlags, Flow, PortSearch, SlotRun, SnatKey, SocketFlow, SocketFlowKey,
    Tuple, maps,
};
use serde::Serialize;

use super::{Pinned, map_error};
use crate::dataplane::error::OpenError;
use crate::plan::MapContents;

/// How full a map is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MapFill {
    /// Its name.
    pub map: &'static str,
    /// Entries in use.
    pub entries: u64,
    /// Entries that it has room for.
    pub capacity: u64,
}

impl Pinned {
    /// How full each map is that can fill up.
    ///
    /// # Errors
    /// When a map can not be read.
    pub fn fill(&self, contents: &MapContents) -> Result<Vec<MapFill>, OpenError> {
        let MapContents {
            addresses,
            frontends,
            backends,
            slots: _,
            source_ranges,
            service_cidrs,
            node_addresses: _,
            pod_ranges: _,
            devices,
            vlans,
        } = contents;
        let ranges: usize = source_ranges.values().map(BTreeSet::len).sum();
        let cidrs = service_cidrs.iter().take_while(|range| !range.is_unset());
        let alive = backends
            .iter()
            .filter(|backend| backend.flags.contains(BackendFlags::ALIVE));
        let runs: BTreeMap<u32, u32> = frontends
            .values()
            .flat_map(|frontend| [frontend.inside, frontend.outside])
            .map(|SlotRun { base, count }| (base, count))
            .collect();
        let slots: u64 = runs.values().map(|count| u64::from(*count)).sum();
        let counted = [
            (maps::ADDRESSES, addresses.len() as u64),
            (maps::FRONTENDS, frontends.len() as u64),
            (maps::SLOTS, slots),
            (maps::BACKENDS, alive.count() as u64),
            (maps::FLOWS, self.count_entries::<Tuple, Flow>(maps::FLOWS)?),
            (
                maps::FLOWS_NEW,
                self.count_entries::<Tuple, Flow>(maps::FLOWS_NEW)?,
            ),
            (
                maps::SOCKET_FLOWS,
                self.count_entries::<SocketFlowKey, SocketFlow>(maps::SOCKET_FLOWS)?,
            ),
            (
                maps::AFFINITY,
                self.count_entries::<AffinityKey, Affinity>(maps::AFFINITY)?,
            ),
            (maps::SOURCE_RANGES, ranges as u64),
            (maps::SERVICE_CIDRS, cidrs.count() as u64),
            (maps::DEVICES, devices.len() as u64),
            (maps::VLANS, vlans.len() as u64),
            (
                maps::SNAT_PORTS,
                self.count_entries::<SnatKey, PortSearch>(maps::SNAT_PORTS)?,
            ),
        ];
        counted
            .into_iter()
            .map(|(map, entries)| {
                let info = self.map(map)?.info();
                let info = info.map_err(|error| map_error(map)(std::io::Error::other(error)))?;
                Ok(MapFill {
                    map,
                    entries,
                    capacity: info.max_entries().into(),
                })
            })
            .collect()
    }

    fn count_entries<K: Pod, V: Pod>(&self, name: &'static str) -> Result<u64, OpenError> {
        let entries = self.hash::<K, V>(name)?.entries();
        Ok(entries.map_err(map_error(name))?.len() as u64)
    }
}
