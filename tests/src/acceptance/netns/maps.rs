//! What the pinned maps of a node say, compared with what is wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData};
use kproxy::model::Cidr;
use kproxy::plan::Endpoint;
use kproxy_common::{
    AddressRange, Backend, BackendFlags, Frontend, FrontendKey, RangeSetId, SlotRun, SourceRange, maps,
};

use crate::acceptance::world::POD_RANGES;
use crate::host::program::Wanted;

/// Few enough that reading all of them takes no time.
const BACKENDS: u32 = 512;
/// Enough for the tables of several rows: those that are given up rest for a second.
const SLOTS: u32 = 65_536;

/// Arguments of `kproxy run` for maps of these sizes, `NodePorts` on every address, which loopback is one of, and the
/// addresses that are pods'.
pub(super) fn arguments() -> Vec<String> {
    let sizes = [
        ("--backends", BACKENDS),
        ("--slots", SLOTS),
        ("--frontends", 1024),
        ("--flows", 65_536),
    ];
    let sizes = sizes
        .into_iter()
        .flat_map(|(flag, entries)| [flag.to_owned(), entries.to_string()]);
    sizes
        .chain(["--nodeport-addresses".to_owned(), "0.0.0.0/0,::/0".to_owned()])
        .chain(["--cluster-cidr".to_owned(), POD_RANGES.join(",")])
        .collect()
}

/// Pinned maps. Values are read as bytes: aya's marker for plain data is not implemented for our types.
pub(super) struct Maps {
    frontends: HashMap<MapData, [u8; size_of::<FrontendKey>()], [u8; size_of::<Frontend>()]>,
    slots: Array<MapData, u32>,
    backends: Array<MapData, [u8; size_of::<Backend>()]>,
    source_ranges: LpmTrie<MapData, [u8; size_of::<SourceRange>()], u32>,
    service_cidrs: Array<MapData, [u8; size_of::<AddressRange>()]>,
}

/// What a frontend offers clients inside.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    flags: u32,
    affinity_seconds: u32,
    ranges: Ranges,
    endpoints: Vec<Endpoint>,
}

type View = BTreeMap<FrontendKey, Seen>;
/// Prefix lengths and addresses.
type Ranges = BTreeSet<(u32, [u32; 4])>;

impl Maps {
    pub(super) fn open(pin_dir: &Path) -> anyhow::Result<Self> {
        let folder = pin_dir.join(format!("v{}", maps::LAYOUT_VERSION)).join("maps");
        let open =
            |name| MapData::from_pin(folder.join(name)).with_context(|| format!("cannot open map {name}"));
        Ok(Self {
            frontends: HashMap::try_from(Map::HashMap(open(maps::FRONTENDS)?))?,
            slots: Array::try_from(Map::Array(open(maps::SLOTS)?))?,
            backends: Array::try_from(Map::Array(open(maps::BACKENDS)?))?,
            source_ranges: LpmTrie::try_from(Map::LpmTrie(open(maps::SOURCE_RANGES)?))?,
            service_cidrs: Array::try_from(Map::Array(open(maps::SERVICE_CIDRS)?))?,
        })
    }

    /// Whether the maps say exactly this; else what differs.
    pub(super) fn compare(&self, wanted: &Wanted) -> anyhow::Result<Result<(), String>> {
        let mut expected = View::new();
        let mut living = Vec::new();
        for service in &wanted.services {
            for (key, frontend) in &service.frontends {
                let seen = Seen {
                    flags: frontend.flags.bits(),
                    affinity_seconds: frontend.affinity_seconds,
                    ranges: if frontend.restricted {
                        service.source_ranges.iter().map(prefix).collect()
                    } else {
                        Ranges::new()
                    },
                    endpoints: service.set(frontend.inside).to_vec(),
                };
                expected.insert(*key, seen);
            }
            living.extend(service.endpoints.keys().copied());
        }
        living.sort_unstable();
        let found = self.view()?;
        if found != expected {
            return Ok(Err(format!(
                "FRONTENDS lead to {found:?} instead of {expected:?}"
            )));
        }
        let alive = self.living()?;
        if alive != living {
            return Ok(Err(format!("{alive:?} are alive instead of {living:?}")));
        }
        let listed = self.listed_cidrs()?;
        if listed.len() != wanted.service_cidrs.len()
            || !wanted
                .service_cidrs
                .iter()
                .all(|cidr| listed.contains(&cidr.range()))
        {
            return Ok(Err(format!(
                "SERVICE_CIDRS are {listed:?} instead of {:?}",
                wanted.service_cidrs
            )));
        }
        Ok(Ok(()))
    }

    fn view(&self) -> anyhow::Result<View> {
        let mut view = View::new();
        let mut sets: BTreeMap<RangeSetId, Ranges> = BTreeMap::new();
        for key in self.source_ranges.keys() {
            let key = key?;
            let range: SourceRange = bytemuck::pod_read_unaligned(&key.data());
            sets.entry(range.set)
                .or_default()
                .insert((key.prefix_len(), range.address));
        }
        for entry in &self.frontends {
            let (key, value) = entry?;
            let key: FrontendKey = bytemuck::pod_read_unaligned(&key);
            let frontend: Frontend = bytemuck::pod_read_unaligned(&value);
            let SlotRun { base, count } = frontend.inside;
            let mut endpoints = (base..base + count)
                .map(|slot| Ok(endpoint(&self.backend(self.slots.get(&slot, 0)?)?)))
                .collect::<anyhow::Result<Vec<_>>>()?;
            endpoints.sort_unstable();
            let seen = Seen {
                flags: frontend.flags.bits(),
                affinity_seconds: frontend.affinity_seconds,
                ranges: sets.get(&frontend.ranges).cloned().unwrap_or_default(),
                endpoints,
            };
            view.insert(key, seen);
        }
        Ok(view)
    }

    fn listed_cidrs(&self) -> anyhow::Result<Vec<AddressRange>> {
        let mut listed = Vec::new();
        for index in 0..maps::SERVICE_CIDRS_MAX {
            let range: AddressRange = bytemuck::pod_read_unaligned(&self.service_cidrs.get(&index, 0)?);
            if range.is_unset() {
                break;
            }
            listed.push(range);
        }
        Ok(listed)
    }

    fn living(&self) -> anyhow::Result<Vec<Endpoint>> {
        let mut living = Vec::new();
        for index in 0..BACKENDS {
            let backend = self.backend(index)?;
            if backend.flags.contains(BackendFlags::ALIVE) {
                living.push(endpoint(&backend));
            }
        }
        living.sort_unstable();
        Ok(living)
    }

    fn backend(&self, index: u32) -> anyhow::Result<Backend> {
        Ok(bytemuck::pod_read_unaligned(&self.backends.get(&index, 0)?))
    }
}

fn prefix(cidr: &Cidr) -> (u32, [u32; 4]) {
    let length = SourceRange::prefix_length(cidr.family(), cidr.length);
    (length, cidr.address.words())
}

fn endpoint(backend: &Backend) -> Endpoint {
    Endpoint {
        address: backend.address,
        port: backend.port,
    }
}
