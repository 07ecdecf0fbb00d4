//! Moving the content of a pinned map into one of another size.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::io;

use aya::maps::MapData;
use bytemuck::Pod;
use kproxy_common::{Address, AddressRole, Frontend, FrontendKey};
use kproxy_common::{Backend, BackendIndex, Flow, SocketFlow, SocketFlowKey, Tuple, maps};

use super::error::OpenError;
use super::layout::Decision;
use super::pins::Pins;
use super::sys::array::Array;
use super::sys::hash;

/// Opens the maps that need it, before the loader pins new ones beside them.
pub(super) fn prepare(
    decisions: &BTreeMap<&'static str, Decision>,
    pins: &Pins,
) -> Result<Vec<(&'static str, MapData)>, OpenError> {
    let mut old = Vec::new();
    for (&name, decision) in decisions {
        if *decision == Decision::AsIs {
            continue;
        }
        // Left behind by a start that did not get to its end.
        match std::fs::remove_file(pins.resized_map(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(name)(error)),
            _ => {}
        }
        if *decision == Decision::Replace {
            continue;
        }
        let map = MapData::from_pin(pins.map(name)).map_err(|error| failed(name)(io::Error::other(error)))?;
        old.push((name, map));
    }
    Ok(old)
}

/// Maps that are being replaced by larger or smaller ones.
pub(super) struct Resize {
    moves: Vec<(&'static str, Box<dyn Move>)>,
}

/// One map's move.
trait Move {
    fn copy(&mut self) -> io::Result<()>;
}

impl Resize {
    /// Copies everything and lets the new maps take the pins.
    pub(super) fn start(
        old: Vec<(&'static str, MapData)>,
        decisions: &BTreeMap<&'static str, Decision>,
        pins: &Pins,
    ) -> Result<Self, OpenError> {
        let mut moves = Vec::new();
        for (name, old) in old {
            let new = MapData::from_pin(pins.resized_map(name))
                .map_err(|error| failed(name)(io::Error::other(error)))?;
            let mut step = open(name, old, new).map_err(failed(name))?;
            step.copy().map_err(failed(name))?;
            moves.push((name, step));
        }
        for (name, decision) in decisions {
            if *decision == Decision::Replace {
                tracing::info!(
                    map = name,
                    "begins anew: this kproxy has another number of entries for it"
                );
            }
            if *decision != Decision::AsIs {
                std::fs::rename(pins.resized_map(name), pins.map(name)).map_err(failed(name))?;
            }
        }
        Ok(Self { moves })
    }

    /// Copies what the old programs wrote until the new ones took their places.
    pub(super) fn finish(self) -> Result<(), OpenError> {
        for (name, mut step) in self.moves {
            step.copy().map_err(failed(name))?;
        }
        Ok(())
    }
}

fn failed(map: &str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Resize {
        map: map.to_owned(),
        source,
    }
}

fn open(name: &str, old: MapData, new: MapData) -> io::Result<Box<dyn Move>> {
    Ok(match name {
        maps::ADDRESSES => Entries::<Address, AddressRole>::open(old, new)?,
        maps::FRONTENDS => Entries::<FrontendKey, Frontend>::open(old, new)?,
        maps::FLOWS | maps::FLOWS_NEW => Entries::<Tuple, Flow>::open(old, new)?,
        maps::SOCKET_FLOWS => Entries::<SocketFlowKey, SocketFlow>::open(old, new)?,
        maps::SLOTS => Values::<BackendIndex>::open(&old, &new)?,
        maps::BACKENDS => Values::<Backend>::open(&old, &new)?,
        _ => return Err(io::Error::other("its content can not be moved")),
    })
}

struct Entries<K, V> {
    old: hash::Hash<K, V>,
    new: hash::Hash<K, V>,
    /// `None` before the first copy.
    copied: Option<HashSet<K>>,
}

impl<K: Pod + Eq + Hash, V: Pod> Entries<K, V> {
    fn open(old: MapData, new: MapData) -> io::Result<Box<dyn Move>> {
        Ok(Box::new(Self {
            old: hash::Hash::new(old)?,
            new: hash::Hash::new(new)?,
            copied: None,
        }))
    }
}

impl<K: Pod + Eq + Hash, V: Pod> Move for Entries<K, V> {
    /// The first time into an empty map; then only what is new, and only where the new programs wrote nothing yet.
    fn copy(&mut self) -> io::Result<()> {
        let mut entries = self.old.entries()?;
        let Some(copied) = &self.copied else {
            self.copied = Some(entries.iter().map(|(key, _)| *key).collect());
            let (keys, values): (Vec<K>, Vec<V>) = entries.into_iter().unzip();
            return self.new.put(&keys, &values).map_err(|stopped| stopped.error);
        };
        entries.retain(|(key, _)| !copied.contains(key));
        entries
            .iter()
            .try_for_each(|(key, value)| self.new.put_missing(key, value))
    }
}

struct Values<V> {
    old: Array<V>,
    new: Array<V>,
    done: bool,
}

impl<V: Pod> Values<V> {
    fn open(old: &MapData, new: &MapData) -> io::Result<Box<dyn Move>> {
        Ok(Box::new(Self {
            old: Array::new(old)?,
            new: Array::new(new)?,
            done: false,
        }))
    }
}

impl<V: Pod> Move for Values<V> {
    /// Once: only the agent writes arrays, and it is busy here.
    fn copy(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.done, true) {
            return Ok(());
        }
        for index in 0..self.old.len() {
            let fits = self
                .old
                .load(index)
                .is_some_and(|value| self.new.store(index, value));
            if !fits {
                return Err(io::Error::other("the new map is smaller"));
            }
        }
        Ok(())
    }
}
