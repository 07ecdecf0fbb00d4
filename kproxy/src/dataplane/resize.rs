//! Moving the content of a pinned map into one of another size.
//!
//! Programs write into the tables of flows and of affinity while that happens: those of the former run until they are
//! replaced. So these tables are copied twice, before and after. Between, the former map keeps a pin of its own: if the start fails there,
//! programs of both runs stay attached, and the next start collects what either have written.

use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::{fs, io};

use aya::maps::MapData;
use bytemuck::Pod;
use kproxy_common::{
    Address, AddressRole, Affinity, AffinityKey, Backend, BackendIndex, Flow, Frontend, FrontendKey,
    ServiceId, ServiceName, SocketFlow, SocketFlowKey, Tuple, maps,
};

use super::error::OpenError;
use super::layout::Decision;
use super::pins::{Pins, remove_file};
use super::prefix::Prefix;
use super::sys::array::Array;
use super::sys::hash;

/// Tables that kernel programs write into. The agent alone writes into the others.
const FLOWS: [&str; 4] = [maps::FLOWS, maps::FLOWS_NEW, maps::SOCKET_FLOWS, maps::AFFINITY];

/// What has to be moved, before there is a place for it.
pub(super) struct Prepared<'a> {
    decisions: &'a BTreeMap<&'static str, Decision>,
    old: Vec<(&'static str, MapData)>,
    /// Left behind by starts that did not get to their ends.
    former: Vec<(&'static str, MapData)>,
}

/// Maps that are being replaced by larger or smaller ones.
pub(super) struct Resize {
    moves: Vec<(&'static str, Box<dyn Move>)>,
    former_pins: Vec<PathBuf>,
}

/// One map's move.
trait Move {
    fn copy(&mut self) -> io::Result<()>;
}

impl Resize {
    /// Opens the maps that need it, before the loader pins new ones beside them.
    pub(super) fn prepare<'a>(
        decisions: &'a BTreeMap<&'static str, Decision>,
        pins: &Pins,
    ) -> Result<Prepared<'a>, OpenError> {
        let (mut old, mut former) = (Vec::new(), Vec::new());
        for (&name, decision) in decisions {
            if *decision == Decision::AsIs {
                continue;
            }
            // Left behind by a start that did not get to its end.
            match fs::remove_file(pins.resized_map(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(name)(error)),
                _ => {}
            }
            if *decision == Decision::Resize {
                old.push((name, pinned(name, &pins.map(name))?));
            }
        }
        for name in FLOWS {
            for path in pins.former_maps(name)? {
                former.push((name, pinned(name, &path)?));
            }
        }
        Ok(Prepared {
            decisions,
            old,
            former,
        })
    }

    /// Copies what the old programs wrote until the new ones took their places, and lets go of the former maps.
    pub(super) fn finish(self) -> Result<(), OpenError> {
        let Self { moves, former_pins } = self;
        for (name, mut step) in moves {
            step.copy().map_err(failed(name))?;
        }
        for path in former_pins {
            remove_file(&path)?;
        }
        Ok(())
    }
}

impl Prepared<'_> {
    /// Copies everything and lets the new maps take the pins.
    pub(super) fn start(self, pins: &Pins) -> Result<Resize, OpenError> {
        let Self {
            decisions,
            old,
            former,
        } = self;
        let mut moves = Vec::new();
        for (name, old) in old {
            if FLOWS.contains(&name) {
                keep(name, &old, pins).map_err(failed(name))?;
            }
            let new = pinned(name, &pins.resized_map(name))?;
            moves.push((name, open(name, old, new, Target::Empty).map_err(failed(name))?));
        }
        for (name, former) in former {
            let new = match decisions.get(name) {
                Some(Decision::Resize | Decision::Replace) => pins.resized_map(name),
                Some(Decision::AsIs) | None => pins.map(name),
            };
            let new = pinned(name, &new)?;
            moves.push((name, open(name, former, new, Target::Used).map_err(failed(name))?));
        }
        for (name, step) in &mut moves {
            step.copy().map_err(failed(name))?;
        }
        for (name, decision) in decisions {
            if *decision == Decision::Replace {
                tracing::info!(
                    map = name,
                    "begins anew: this kproxy has another number of entries for it"
                );
            }
            if *decision != Decision::AsIs {
                fs::rename(pins.resized_map(name), pins.map(name)).map_err(failed(name))?;
            }
        }
        let mut former_pins = Vec::new();
        for name in FLOWS {
            former_pins.extend(pins.former_maps(name)?);
        }
        Ok(Resize { moves, former_pins })
    }
}

/// Gives a map a second pin, which stays when the new map takes the first one.
fn keep(name: &str, map: &MapData, pins: &Pins) -> io::Result<()> {
    let id = map.info().map_err(io::Error::other)?.id();
    match fs::hard_link(pins.map(name), pins.former_map(name, id)) {
        // By a start that got no further: the same id is the same map.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn pinned(name: &str, path: &Path) -> Result<MapData, OpenError> {
    MapData::from_pin(path).map_err(|error| failed(name)(io::Error::other(error)))
}

fn failed(map: &str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Resize {
        map: map.to_owned(),
        source,
    }
}

/// What is in the map that is copied into.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Empty,
    /// Entries that are newer than those that come.
    Used,
}

fn open(name: &str, old: MapData, new: MapData, into: Target) -> io::Result<Box<dyn Move>> {
    Ok(match name {
        maps::ADDRESSES => Entries::<Address, AddressRole>::open(old, new, into)?,
        maps::FRONTENDS => Entries::<FrontendKey, Frontend>::open(old, new, into)?,
        maps::FLOWS | maps::FLOWS_NEW => Entries::<Tuple, Flow>::open(old, new, into)?,
        maps::SOCKET_FLOWS => Entries::<SocketFlowKey, SocketFlow>::open(old, new, into)?,
        maps::AFFINITY => Entries::<AffinityKey, Affinity>::open(old, new, into)?,
        maps::SOURCE_RANGES => Entries::<Prefix, u32>::open(old, new, into)?,
        maps::SERVICE_NAMES => Entries::<ServiceId, ServiceName>::open(old, new, into)?,
        maps::SLOTS => Values::<BackendIndex>::open(&old, &new)?,
        maps::BACKENDS => Values::<Backend>::open(&old, &new)?,
        _ => return Err(io::Error::other("its content can not be moved")),
    })
}

struct Entries<K, V> {
    old: hash::Hash<K, V>,
    new: hash::Hash<K, V>,
    /// What need not be copied again; `None` if everything can go into the new map at once.
    copied: Option<HashSet<K>>,
}

impl<K: Pod + Eq + Hash, V: Pod> Entries<K, V> {
    fn open(old: MapData, new: MapData, into: Target) -> io::Result<Box<dyn Move>> {
        Ok(Box::new(Self {
            old: hash::Hash::new(old)?,
            new: hash::Hash::new(new)?,
            copied: (into == Target::Used).then(HashSet::new),
        }))
    }
}

impl<K: Pod + Eq + Hash, V: Pod> Move for Entries<K, V> {
    /// The first time into an empty map; then only what is new, and only where nothing newer is.
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
