//! A look at what a kproxy has pinned: nothing is locked, made or changed, and the agent may run or not.
//!
//! * `tables`: the maps as the datapath library reads them
//! * `fill`: how full they are
//! * `links`: which programs are attached, and where
//! * `trial`: the real program on a packet, without a trace

mod fill;
mod links;
mod tables;
mod trial;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{Array, Map, MapData, PerCpuArray};
use kproxy_common::{Counter, Door, ServiceId, ServiceName, Settings, maps};

pub use fill::MapFill;
pub use links::{Attached, Place};
pub use tables::PinnedTables;
pub use trial::{Action, Entry, Fate, Trial};

use super::error::OpenError;
use super::pins::map_path;
use super::sys::hash::Hash;
use super::{layout, tables as plan_tables};
use crate::plan::MapContents;

/// The pins of a kproxy, all maps of the layout that this one knows.
#[derive(Clone, Debug)]
pub struct Pinned {
    root: PathBuf,
}

impl Pinned {
    /// Looks into a pin directory.
    ///
    /// # Errors
    /// When there is nothing of a kproxy in it, or of one with another layout of the maps.
    pub fn open(pin_dir: &Path) -> Result<Self, OpenError> {
        let pinned = Self {
            root: pin_dir.to_owned(),
        };
        layout::compare_pinned(super::OBJECT, pin_dir)?;
        Ok(pinned)
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the plan's maps hold.
    ///
    /// # Errors
    /// When a map can not be read.
    pub fn contents(&self) -> Result<MapContents, OpenError> {
        plan_tables::Tables::open(&self.root)?.contents()
    }

    /// Every outcome at every door since the maps were made.
    ///
    /// # Errors
    /// When the map can not be read.
    pub fn counters(&self) -> Result<Vec<(Door, Counter, u64)>, OpenError> {
        let map = Map::PerCpuArray(self.map(maps::COUNTERS)?);
        let failed = |error| map_error(maps::COUNTERS)(io::Error::other(error));
        let counters = PerCpuArray::<_, u64>::try_from(map).map_err(failed)?;
        plan_tables::sum_counters(&counters).map_err(failed)
    }

    /// The names of services. Some may be of services that are gone.
    ///
    /// # Errors
    /// When the map can not be read.
    pub fn names(&self) -> Result<BTreeMap<ServiceId, ServiceName>, OpenError> {
        let failed = map_error(maps::SERVICE_NAMES);
        let names = Hash::new(self.map(maps::SERVICE_NAMES)?).map_err(&failed)?;
        Ok(names.entries().map_err(failed)?.into_iter().collect())
    }

    /// The constants of the programs in force.
    ///
    /// # Errors
    /// When the map can not be read.
    pub fn settings(&self) -> Result<Settings, OpenError> {
        let all = self.array::<{ size_of::<Settings>() }>(maps::LOADED_SETTINGS)?;
        let settings = all.first().map(|bytes| bytemuck::pod_read_unaligned(bytes));
        Ok(settings.unwrap_or(Settings::DEFAULT))
    }

    fn map(&self, name: &'static str) -> Result<MapData, OpenError> {
        MapData::from_pin(map_path(&self.root, name))
            .map_err(|error| map_error(name)(io::Error::other(error)))
    }

    /// All elements of a small array that is not mapped into memory.
    fn array<const SIZE: usize>(&self, name: &'static str) -> Result<Vec<[u8; SIZE]>, OpenError> {
        let failed = |error| map_error(name)(io::Error::other(error));
        let array = Array::<_, [u8; SIZE]>::try_from(Map::Array(self.map(name)?)).map_err(failed)?;
        array.iter().collect::<Result<_, _>>().map_err(failed)
    }
}

fn map_error(map: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Map { map, source }
}
