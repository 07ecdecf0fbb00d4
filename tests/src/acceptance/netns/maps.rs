//! What the pinned maps of a node say, compared with what is wanted.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use aya::maps::{Array, HashMap, Map, MapData};
use kproxy::plan::{Endpoint, WantedService};
use kproxy_common::{Backend, BackendFlags, Frontend, FrontendKey, SlotRun, maps};

/// Few enough that reading all of them takes no time.
const BACKENDS: u32 = 512;
const SLOTS: u32 = 4096;

/// Arguments of `kproxy run` for maps of these sizes.
pub(super) fn arguments() -> Vec<String> {
    [
        ("--backends", BACKENDS),
        ("--slots", SLOTS),
        ("--frontends", 1024),
        ("--flows", 65_536),
    ]
    .into_iter()
    .flat_map(|(flag, entries)| [flag.to_owned(), entries.to_string()])
    .collect()
}

/// Pinned maps. Values are read as bytes: aya's marker for plain data is not implemented for our types.
pub(super) struct Maps {
    frontends: HashMap<MapData, [u8; size_of::<FrontendKey>()], [u8; size_of::<Frontend>()]>,
    slots: Array<MapData, u32>,
    backends: Array<MapData, [u8; size_of::<Backend>()]>,
}

/// What a frontend leads to: its flags, and the endpoints for clients inside.
type View = BTreeMap<FrontendKey, (u32, Vec<Endpoint>)>;

impl Maps {
    pub(super) fn open(pin_dir: &Path) -> anyhow::Result<Self> {
        let folder = pin_dir.join(format!("v{}", maps::LAYOUT_VERSION)).join("maps");
        let open =
            |name| MapData::from_pin(folder.join(name)).with_context(|| format!("cannot open map {name}"));
        Ok(Self {
            frontends: HashMap::try_from(Map::HashMap(open(maps::FRONTENDS)?))?,
            slots: Array::try_from(Map::Array(open(maps::SLOTS)?))?,
            backends: Array::try_from(Map::Array(open(maps::BACKENDS)?))?,
        })
    }

    /// Whether the maps say exactly this; else what differs.
    pub(super) fn compare(&self, wanted: &[WantedService]) -> anyhow::Result<Result<(), String>> {
        let mut expected = View::new();
        let mut living = Vec::new();
        for service in wanted {
            for (key, frontend) in &service.frontends {
                let endpoints = service.set(frontend.inside).to_vec();
                expected.insert(*key, (frontend.flags.bits(), endpoints));
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
        Ok(Ok(()))
    }

    fn view(&self) -> anyhow::Result<View> {
        let mut view = View::new();
        for entry in &self.frontends {
            let (key, value) = entry?;
            let key: FrontendKey = bytemuck::pod_read_unaligned(&key);
            let frontend: Frontend = bytemuck::pod_read_unaligned(&value);
            let SlotRun { base, count } = frontend.inside;
            let mut endpoints = (base..base + count)
                .map(|slot| Ok(endpoint(&self.backend(self.slots.get(&slot, 0)?)?)))
                .collect::<anyhow::Result<Vec<_>>>()?;
            endpoints.sort_unstable();
            view.insert(key, (frontend.flags.bits(), endpoints));
        }
        Ok(view)
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

fn endpoint(backend: &Backend) -> Endpoint {
    Endpoint {
        address: backend.address,
        port: backend.port,
    }
}
