//! Layouts of maps: what the object needs against what is pinned.
//!
//! aya adopts any pin of the right name and then reads and writes it with the sizes of the object. A pin of another
//! layout would have the kernel write past the end of our memory, so every one is compared before the object is loaded.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use aya::maps::MapInfo;
use aya_obj::Object;
use aya_obj::generated::bpf_map_type;
use kproxy_common::maps;

use super::error::OpenError;
use super::options::Sizes;
use super::pins::{Pins, map_path};

/// What makes two maps interchangeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// `BPF_MAP_TYPE_…` as its number.
    pub kind: u32,
    /// Bytes per key.
    pub key: u32,
    /// Bytes per value.
    pub value: u32,
    /// Number of entries.
    pub entries: u32,
    /// `BPF_F_…`
    pub flags: u32,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            key,
            value,
            entries,
            flags,
        } = self;
        match bpf_map_type::try_from(*kind) {
            Ok(name) => write!(
                f,
                "{}",
                format!("{name:?}")
                    .trim_start_matches("BPF_MAP_TYPE_")
                    .to_lowercase()
            )?,
            Err(_) => write!(f, "map type {kind}")?,
        }
        write!(
            f,
            " with {entries} entries, {key} byte keys, {value} byte values, flags {flags:#x}"
        )
    }
}

/// What to do about a map's pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// There is none, or it has the layout: the loader creates or adopts it.
    AsIs,
    /// It has another number of entries: make a new one and move the content.
    Resize,
    /// It has another number of entries, and its content is worth nothing then: make a new one.
    Replace,
}

/// Compares every map with its pin. Changes nothing.
pub(super) fn decide(
    object: &[u8],
    sizes: &Sizes,
    pins: &Pins,
) -> Result<BTreeMap<&'static str, Decision>, OpenError> {
    let object = Object::parse(object)?;
    let sizes: BTreeMap<_, _> = sizes.by_map().into();
    let mut decisions = BTreeMap::new();
    for name in maps::ALL {
        let Some(map) = object.maps.get(*name) else {
            continue;
        };
        let expected = Layout {
            kind: map.map_type(),
            key: map.key_size(),
            value: map.value_size(),
            entries: sizes.get(name).copied().unwrap_or(map.max_entries()),
            flags: map.map_flags(),
        };
        let decision = match pinned(&pins.map(name))? {
            Some(found) => compare(name, found, expected, pins)?,
            None => Decision::AsIs,
        };
        decisions.insert(*name, decision);
    }
    Ok(decisions)
}

/// Compares every map with its pin but for the number of entries, as somebody has to who only looks at them.
pub(super) fn compare_pinned(object: &[u8], pin_dir: &Path) -> Result<(), OpenError> {
    let object = Object::parse(object)?;
    for name in maps::ALL {
        let Some(map) = object.maps.get(*name) else {
            continue;
        };
        let path = map_path(pin_dir, name);
        let Some(found) = pinned(&path)? else {
            return Err(OpenError::NothingPinned { path });
        };
        let expected = Layout {
            kind: map.map_type(),
            key: map.key_size(),
            value: map.value_size(),
            entries: found.entries,
            flags: map.map_flags(),
        };
        // Programs of another build write as many counters as they know.
        let known = *name != maps::COUNTERS || found.entries == map.max_entries();
        if found != expected || !known {
            return Err(OpenError::Layout {
                map: (*name).to_owned(),
                found: found.into(),
                expected: expected.into(),
                pin_dir: pin_dir.to_owned(),
            });
        }
    }
    Ok(())
}

/// The entries of the maps pinned below a directory, 0 for those that are not.
pub(super) fn pinned_sizes(pin_dir: &Path) -> Result<Sizes, OpenError> {
    let entries =
        |name| pinned(&map_path(pin_dir, name)).map(|found| found.map_or(0, |layout| layout.entries));
    Ok(Sizes {
        addresses: entries(maps::ADDRESSES)?,
        frontends: entries(maps::FRONTENDS)?,
        slots: entries(maps::SLOTS)?,
        backends: entries(maps::BACKENDS)?,
        flows: entries(maps::FLOWS)?,
        flows_new: entries(maps::FLOWS_NEW)?,
        socket_flows: entries(maps::SOCKET_FLOWS)?,
        affinity: entries(maps::AFFINITY)?,
        source_ranges: entries(maps::SOURCE_RANGES)?,
    })
}

/// The layout of a pinned map; `None` if nothing is pinned.
fn pinned(path: &Path) -> Result<Option<Layout>, OpenError> {
    let failed = |source| OpenError::Pin {
        doing: "reading the pinned map",
        path: path.to_owned(),
        source,
    };
    if !path.try_exists().map_err(failed)? {
        return Ok(None);
    }
    let info = MapInfo::from_pin(path).map_err(|error| failed(std::io::Error::other(error)))?;
    let kind = info
        .map_type()
        .map_err(|error| failed(std::io::Error::other(error)))?;
    Ok(Some(Layout {
        kind: kind as u32,
        key: info.key_size(),
        value: info.value_size(),
        entries: info.max_entries(),
        flags: info.map_flags(),
    }))
}

fn compare(name: &str, found: Layout, expected: Layout, pins: &Pins) -> Result<Decision, OpenError> {
    if found == expected {
        return Ok(Decision::AsIs);
    }
    let only_entries = Layout {
        entries: expected.entries,
        ..found
    } == expected;
    // As many entries as there are counters, which differ between builds; nobody's connection depends on them.
    if only_entries && name == maps::COUNTERS {
        return Ok(Decision::Replace);
    }
    let (map, pin_dir) = (name.to_owned(), pins.root().to_owned());
    let lru = found.kind == bpf_map_type::BPF_MAP_TYPE_LRU_HASH as u32;
    if !only_entries || !can_move(found.kind) {
        return Err(OpenError::Layout {
            map,
            found: found.into(),
            expected: expected.into(),
            pin_dir,
        });
    }
    if found.entries > expected.entries && !lru {
        return Err(OpenError::Shrink {
            map,
            found: found.entries,
            expected: expected.entries,
            pin_dir,
        });
    }
    Ok(Decision::Resize)
}

/// Whether the entries mean the same in a map of another size.
fn can_move(kind: u32) -> bool {
    [
        bpf_map_type::BPF_MAP_TYPE_HASH,
        bpf_map_type::BPF_MAP_TYPE_LRU_HASH,
        bpf_map_type::BPF_MAP_TYPE_LPM_TRIE,
        bpf_map_type::BPF_MAP_TYPE_ARRAY,
    ]
    .map(|kind| kind as u32)
    .contains(&kind)
}
