//! The mirror of `POD_RANGES` and `DEVICES`: what tells clients inside from those outside, and whom backends see.

use std::collections::BTreeMap;

use kproxy_common::{AddressRange, Device, DeviceIndex, Family, maps};

use super::draft::Draft;
use super::step::ProblemKind;

/// What the two maps say.
#[derive(Clone, Debug)]
pub(super) struct Devices {
    pod_ranges: BTreeMap<Family, AddressRange>,
    known: BTreeMap<DeviceIndex, Device>,
    left_out: usize,
}

impl Devices {
    /// What was found in the maps.
    pub(super) fn new(
        mut pod_ranges: BTreeMap<Family, AddressRange>,
        known: BTreeMap<DeviceIndex, Device>,
    ) -> Self {
        pod_ranges.retain(|_, range| !range.is_unset());
        Self {
            pod_ranges,
            known,
            left_out: 0,
        }
    }

    /// Writes the difference into the draft. What goes makes room first.
    pub(super) fn follow(
        &mut self,
        pod_ranges: &BTreeMap<Family, AddressRange>,
        devices: &BTreeMap<DeviceIndex, Device>,
        draft: &mut Draft,
    ) {
        for family in [Family::V4, Family::V6] {
            let wanted = pod_ranges.get(&family).filter(|range| !range.is_unset());
            if self.pod_ranges.get(&family) != wanted {
                let range = wanted.copied().unwrap_or(AddressRange::UNSET);
                draft.pod_ranges.insert(family, range);
            }
        }
        self.pod_ranges.clone_from(pod_ranges);
        self.pod_ranges.retain(|_, range| !range.is_unset());

        let room = maps::DEVICES_MAX as usize;
        let fitting: BTreeMap<_, _> = devices
            .iter()
            .take(room)
            .map(|(index, it)| (*index, *it))
            .collect();
        self.left_out = devices.len() - fitting.len();
        let gone = self.known.keys().filter(|index| !fitting.contains_key(index));
        draft.gone_devices.extend(gone);
        let changed = fitting
            .iter()
            .filter(|(index, device)| self.known.get(index) != Some(device));
        draft
            .devices
            .extend(changed.map(|(index, device)| (*index, *device)));
        self.known = fitting;
    }

    /// Names what there is no room for.
    pub(super) fn tell(&self, draft: &mut Draft) {
        if self.left_out > 0 {
            let kind = ProblemKind::TooManyDevices {
                devices: self.left_out,
                entries: maps::DEVICES_MAX,
            };
            draft.problem(None, kind);
        }
    }
}
