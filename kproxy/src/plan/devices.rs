//! The mirror of `POD_RANGES`, `DEVICES` and `VLANS`: what tells clients inside from those outside, whom backends see, and
//! by which device packets come in.

use std::collections::BTreeMap;

use kproxy_common::{AddressRange, Device, DeviceIndex, Family, Vlan, maps};

use super::draft::Draft;
use super::step::ProblemKind;
use super::wanted::WantedNode;

/// What the three maps say.
#[derive(Clone, Debug)]
pub(super) struct Devices {
    pod_ranges: BTreeMap<Family, AddressRange>,
    known: Mirror<DeviceIndex, Device>,
    vlans: Mirror<Vlan, DeviceIndex>,
}

/// What one map says.
#[derive(Clone, Debug)]
struct Mirror<K, V> {
    entries: BTreeMap<K, V>,
    capacity: u32,
    left_out: usize,
}

impl Devices {
    /// What was found in the maps.
    pub(super) fn new(
        mut pod_ranges: BTreeMap<Family, AddressRange>,
        known: BTreeMap<DeviceIndex, Device>,
        vlans: BTreeMap<Vlan, DeviceIndex>,
    ) -> Self {
        pod_ranges.retain(|_, range| !range.is_unset());
        Self {
            pod_ranges,
            known: Mirror::new(known, maps::DEVICES_MAX),
            vlans: Mirror::new(vlans, maps::VLANS_MAX),
        }
    }

    /// Writes the difference into the draft. What goes makes room first.
    pub(super) fn follow(&mut self, wanted: &WantedNode, draft: &mut Draft) {
        for family in [Family::V4, Family::V6] {
            let range = wanted.pod_ranges.get(&family).filter(|range| !range.is_unset());
            if self.pod_ranges.get(&family) != range {
                let range = range.copied().unwrap_or(AddressRange::UNSET);
                draft.devices.pod_ranges.insert(family, range);
            }
        }
        self.pod_ranges.clone_from(&wanted.pod_ranges);
        self.pod_ranges.retain(|_, range| !range.is_unset());
        let (gone, changed) = self.known.follow(&wanted.devices);
        draft.devices.gone.extend(gone);
        draft.devices.known.extend(changed);
        let (gone, changed) = self.vlans.follow(&wanted.vlans);
        draft.devices.gone_vlans.extend(gone);
        draft.devices.vlans.extend(changed);
    }

    /// Names what there is no room for.
    pub(super) fn tell(&self, draft: &mut Draft) {
        if self.known.left_out > 0 {
            let kind = ProblemKind::TooManyDevices {
                devices: self.known.left_out,
                entries: self.known.capacity,
            };
            draft.problem(None, kind);
        }
        if self.vlans.left_out > 0 {
            let kind = ProblemKind::TooManyVlans {
                vlans: self.vlans.left_out,
                entries: self.vlans.capacity,
            };
            draft.problem(None, kind);
        }
    }
}

impl<K: Copy + Ord, V: Copy + PartialEq> Mirror<K, V> {
    fn new(entries: BTreeMap<K, V>, capacity: u32) -> Self {
        Self {
            entries,
            capacity,
            left_out: 0,
        }
    }

    /// What goes, and what comes or changes.
    fn follow(&mut self, wanted: &BTreeMap<K, V>) -> (Vec<K>, Vec<(K, V)>) {
        let room = self.capacity as usize;
        let fitting: BTreeMap<_, _> = wanted
            .iter()
            .take(room)
            .map(|(key, value)| (*key, *value))
            .collect();
        self.left_out = wanted.len() - fitting.len();
        let gone = self.entries.keys().filter(|key| !fitting.contains_key(key));
        let gone = gone.copied().collect();
        let changed = fitting
            .iter()
            .filter(|(key, value)| self.entries.get(key) != Some(value));
        let changed = changed.map(|(key, value)| (*key, *value)).collect();
        self.entries = fitting;
        (gone, changed)
    }
}
