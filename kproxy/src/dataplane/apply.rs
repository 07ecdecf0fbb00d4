//! Carrying out a plan: runs of steps of one kind become one call.

use std::io;

use kproxy_common::{
    Address, AddressRole, Backend, BackendFlags, Device, DeviceIndex, Frontend, FrontendKey, Vlan,
};

use super::error::ApplyError;
use super::prefix::Prefix;
use super::sys::hash::Stopped;
use super::tables::Tables;
use crate::plan::{Action, Plan, Step};

/// What applying a plan took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries written or removed, over all maps.
    pub writes: usize,
}

/// Writes a plan into the maps, in order, up to the first failure.
pub(super) fn apply(tables: &mut Tables, plan: &Plan) -> Result<Report, ApplyError> {
    let mut report = Report::default();
    let same_kind =
        |a: &Step, b: &Step| std::mem::discriminant(&a.action) == std::mem::discriminant(&b.action);
    for steps in plan.steps.chunk_by(same_kind) {
        write(tables, steps, &mut report.writes).map_err(|Stopped { done, error: source }| {
            let step = steps.get(done).map_or_else(String::new, ToString::to_string);
            ApplyError {
                step,
                writes: report.writes,
                source,
            }
        })?;
    }
    Ok(report)
}

/// Writes steps of one kind.
fn write(tables: &mut Tables, steps: &[Step], writes: &mut usize) -> Result<(), Stopped> {
    let mut batches = Batches::default();
    for (done, step) in steps.iter().enumerate() {
        batches
            .write_or_collect(tables, &step.action, writes)
            .map_err(|error| Stopped { done, error })?;
    }
    batches.write(tables)?;
    *writes += steps.len();
    Ok(())
}

/// What is written by one call for many entries. Of one kind, so only one of them is not empty.
#[derive(Default)]
struct Batches {
    addresses: Vec<Address>,
    roles: Vec<AddressRole>,
    keys: Vec<FrontendKey>,
    frontends: Vec<Frontend>,
    ranges: Vec<Prefix>,
    devices: Vec<DeviceIndex>,
    device_values: Vec<Device>,
    gone_devices: Vec<DeviceIndex>,
    vlans: Vec<Vlan>,
    vlan_devices: Vec<DeviceIndex>,
    gone_vlans: Vec<Vlan>,
    gone_addresses: Vec<Address>,
    gone_keys: Vec<FrontendKey>,
    gone_ranges: Vec<Prefix>,
}

impl Batches {
    fn write_or_collect(
        &mut self,
        tables: &mut Tables,
        action: &Action,
        writes: &mut usize,
    ) -> io::Result<()> {
        match action {
            Action::WriteBackend { index, backend } => {
                return fits(write_backend(tables, index.0, *backend));
            }
            Action::RetireBackend { index, backend } => {
                return fits(tables.backends.store(index.0, *backend));
            }
            Action::WriteSlots { base, slots } => {
                *writes += slots.len().saturating_sub(1);
                let mut slots = (*base..).zip(slots);
                return fits(slots.all(|(index, backend)| tables.slots.store(index, *backend)));
            }
            Action::WriteServiceCidr { index, range } => {
                tables.gate.announce_range(range)?;
                return tables.write_service_cidr(*index, *range);
            }
            Action::WriteNodeAddress { family, address } => {
                return tables.write_node_address(*family, *address);
            }
            Action::WritePodRange { family, range } => return tables.write_pod_range(*family, *range),
            Action::PutDevice { index, device } => {
                self.devices.push(*index);
                self.device_values.push(*device);
            }
            Action::RemoveDevice { index } => self.gone_devices.push(*index),
            Action::PutVlan { vlan, device } => {
                self.vlans.push(*vlan);
                self.vlan_devices.push(*device);
            }
            Action::RemoveVlan { vlan } => self.gone_vlans.push(*vlan),
            Action::PutAddress { address, role } => {
                self.addresses.push(*address);
                self.roles.push(*role);
            }
            Action::PutFrontend { key, frontend } => {
                self.keys.push(*key);
                self.frontends.push(*frontend);
            }
            Action::PutSourceRange { set, range } => self.ranges.push(Prefix::new(*set, *range)),
            Action::RemoveFrontend { key } => self.gone_keys.push(*key),
            Action::RemoveAddress { address } => self.gone_addresses.push(*address),
            Action::RemoveSourceRange { set, range } => self.gone_ranges.push(Prefix::new(*set, *range)),
        }
        Ok(())
    }

    fn write(self, tables: &Tables) -> Result<(), Stopped> {
        let Self {
            addresses,
            roles,
            keys,
            frontends,
            ranges,
            devices,
            device_values,
            gone_devices,
            vlans,
            vlan_devices,
            gone_vlans,
            gone_addresses,
            gone_keys,
            gone_ranges,
        } = self;
        let nothing_done = |error| Stopped { done: 0, error };
        tables
            .gate
            .announce_addresses(&addresses, &roles)
            .map_err(nothing_done)?;
        tables.gate.announce_frontends(&keys).map_err(nothing_done)?;
        tables.addresses.put(&addresses, &roles)?;
        tables.frontends.put(&keys, &frontends)?;
        tables.source_ranges.put(&ranges, &vec![1; ranges.len()])?;
        tables.devices.remove(&gone_devices)?;
        tables.devices.put(&devices, &device_values)?;
        tables.vlans.remove(&gone_vlans)?;
        tables.vlans.put(&vlans, &vlan_devices)?;
        tables.frontends.remove(&gone_keys)?;
        tables.addresses.remove(&gone_addresses)?;
        tables.source_ranges.remove(&gone_ranges)
    }
}

fn fits(fits: bool) -> io::Result<()> {
    if fits {
        return Ok(());
    }
    Err(io::Error::other("the index is past the end of the map"))
}

/// Fills a record so that no program takes a half-written one for alive.
fn write_backend(tables: &Tables, index: u32, backend: Backend) -> bool {
    let alive = tables
        .backends
        .load(index)
        .is_some_and(|old| old.flags.contains(BackendFlags::ALIVE));
    let filled = alive
        || tables.backends.store(
            index,
            Backend {
                flags: BackendFlags::empty(),
                ..backend
            },
        );
    filled && tables.backends.store(index, backend)
}
