//! `ASKING`: which pods ask by packet, as the programs note it for each flow that they record.

use std::io;

use aya::maps::{Array, Map, MapData, MapError};
use kproxy_common::{Asking, Settings, answering, maps};

use super::error::OpenError;
use super::pins::Pins;

/// Whether there may be flows whose pods are not noted: what ran last, an earlier or a later run of another version, did not do it. To
/// be asked before maps are made.
pub(super) fn are_missing(pins: &Pins) -> bool {
    pins.map(maps::FLOWS).exists()
        && (!pins.map(maps::ASKING).exists() || notes(pins).is_none_or(|notes| notes < Settings::NOTES))
}

/// What the programs in force note; `None` if nobody has said so.
fn notes(pins: &Pins) -> Option<u32> {
    let loaded = Map::Array(MapData::from_pin(pins.map(maps::LOADED_SETTINGS)).ok()?);
    let loaded = Array::<_, [u8; size_of::<Settings>()]>::try_from(loaded).ok()?;
    let settings: Settings = bytemuck::cast(loaded.get(&0, 0).ok()?);
    Some(settings.notes)
}

/// Takes every pod for one that asks, which is never wrong and costs what it did without this map.
pub(super) fn expect_all(pins: &Pins) -> Result<(), OpenError> {
    let failed = |source| OpenError::Map {
        map: maps::ASKING,
        source,
    };
    let other = |error: MapError| failed(io::Error::other(error));
    let map = MapData::from_pin(pins.map(maps::ASKING)).map_err(other)?;
    let mut asking: Array<_, Asking> = Array::try_from(Map::Array(map)).map_err(other)?;
    let Ok(everybody) = Box::<Asking>::try_from(vec![1; answering::PLACES]) else {
        unreachable!("it has that many places");
    };
    asking.set(0, everybody, 0).map_err(other)
}
