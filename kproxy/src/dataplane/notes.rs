//! What the agent notes beside the data plane for whoever looks at a node: the names of services, and the constants of
//! the programs. No program reads it, so nothing fails when it can not be written.

use std::collections::BTreeMap;
use std::io;

use aya::maps::{Array, Map, MapData};
use kproxy_common::{ServiceId, ServiceName, Settings, maps};

use super::error::OpenError;
use super::pins::Pins;
use super::sys::hash::{Hash, Stopped};
use crate::plan::{Action, Plan};

/// The map of names.
pub(super) struct Notes {
    names: Hash<ServiceId, ServiceName>,
}

impl Notes {
    /// Opens the map of names, and notes the constants of the programs that are in force now.
    pub(super) fn open(pins: &Pins, settings: &Settings) -> Result<Self, OpenError> {
        let failed = |map| move |source| OpenError::Map { map, source };
        let pinned = |name: &'static str| {
            MapData::from_pin(pins.map(name)).map_err(|error| failed(name)(io::Error::other(error)))
        };
        let names = Hash::new(pinned(maps::SERVICE_NAMES)?).map_err(failed(maps::SERVICE_NAMES))?;
        let loaded = Map::Array(pinned(maps::LOADED_SETTINGS)?);
        let mut bytes = [0; size_of::<Settings>()];
        bytes.copy_from_slice(bytemuck::bytes_of(settings));
        Array::<_, [u8; size_of::<Settings>()]>::try_from(loaded)
            .and_then(|mut loaded| loaded.set(0, bytes, 0))
            .map_err(|error| failed(maps::LOADED_SETTINGS)(io::Error::other(error)))?;
        Ok(Self { names })
    }

    /// Notes the names of the services whose frontends a plan writes. An id that is free again keeps its name until
    /// another service gets it: ids are given out from the lowest, so that there is room for all.
    pub(super) fn name_services(&self, plan: &Plan) {
        let names: BTreeMap<ServiceId, ServiceName> = plan
            .steps
            .iter()
            .filter_map(|step| match (&step.action, &step.service) {
                (Action::PutFrontend { frontend, .. }, Some(name)) => {
                    let text = ServiceName::new(&name.namespace, &name.name, &name.port);
                    Some((frontend.service, text))
                }
                _ => None,
            })
            .collect();
        let (ids, names): (Vec<_>, Vec<_>) = names.into_iter().unzip();
        if let Err(Stopped { error, .. }) = self.names.put(&ids, &names) {
            tracing::warn!("note the names of services: {error}; `kproxy services` shows numbers instead");
        }
    }
}
