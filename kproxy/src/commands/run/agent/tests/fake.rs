//! The data plane as ordinary collections.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Result, bail};
use kproxy_common::AddressRange;
use tokio::sync::mpsc::Sender;

use super::*;
use crate::dataplane::DeviceDoor;
use crate::plan::Action;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) contents: MapContents,
    pub(super) plans: usize,
    pub(super) writes: usize,
    /// The frontends of this service can not be written.
    pub(super) refused: Option<&'static str>,
    pub(super) doors: Vec<String>,
    /// No door can be opened on these devices.
    pub(super) stubborn: BTreeSet<u32>,
    /// What happens while the first door is opened.
    pub(super) meanwhile: Option<(Sender<Event>, Event)>,
    /// How many doors were open when the last frontend was written.
    pub(super) doors_at_write: Option<usize>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Fake(pub(super) Rc<RefCell<State>>);

impl Kernel for Fake {
    fn apply(&mut self, plan: &Plan) -> Result<usize> {
        let state = &mut *self.0.borrow_mut();
        state.plans += 1;
        for step in &plan.steps {
            let service = step.service.as_ref().map(|service| &*service.name);
            if matches!(step.action, Action::PutFrontend { .. })
                && service.is_some()
                && service == state.refused
            {
                bail!("{step}: refused");
            }
            if matches!(step.action, Action::PutFrontend { .. }) {
                state.doors_at_write = Some(state.doors.len());
            }
            write(&mut state.contents, &step.action);
            state.writes += 1;
        }
        Ok(plan.steps.len())
    }

    fn contents(&mut self) -> Result<MapContents> {
        Ok(self.0.borrow().contents.clone())
    }

    fn attach(&mut self, door: DeviceDoor, device: &Device) -> Result<bool> {
        let mut state = self.0.borrow_mut();
        if state.stubborn.contains(&device.index) {
            bail!("no");
        }
        let mark = if door == DeviceDoor::Pod { "" } else { " uplink" };
        state.doors.push(format!("+{}{mark}", device.name));
        if let Some((sender, event)) = state.meanwhile.take() {
            sender.try_send(event)?;
        }
        Ok(true)
    }

    fn detach(&mut self, index: u32) -> Result<()> {
        self.0.borrow_mut().doors.push(format!("-{index}"));
        Ok(())
    }

    fn detach_others(&mut self, keep: &BTreeSet<u32>) -> Result<BTreeSet<u32>> {
        self.0.borrow_mut().doors.push(format!("only {keep:?}"));
        Ok(BTreeSet::new())
    }
}

fn write(contents: &mut MapContents, action: &Action) {
    match action.clone() {
        Action::WriteBackend { index, backend } | Action::RetireBackend { index, backend } => {
            let index = index.0 as usize;
            while contents.backends.len() <= index {
                contents.backends.push(bytemuck::Zeroable::zeroed());
            }
            contents.backends[index] = backend;
        }
        Action::WriteSlots { base, slots } => {
            let end = base as usize + slots.len();
            while contents.slots.len() < end {
                contents.slots.push(bytemuck::Zeroable::zeroed());
            }
            contents.slots[base as usize..end].copy_from_slice(&slots);
        }
        Action::PutSourceRange { set, range } => {
            contents.source_ranges.entry(set).or_default().insert(range);
        }
        Action::RemoveSourceRange { set, range } => {
            contents.source_ranges.entry(set).or_default().remove(&range);
        }
        Action::WriteServiceCidr { index, range } => {
            let index = index as usize;
            let length = contents.service_cidrs.len().max(index + 1);
            contents.service_cidrs.resize(length, AddressRange::UNSET);
            contents.service_cidrs[index] = range;
        }
        Action::WriteNodeAddress { family, address } => {
            contents.node_addresses.insert(family, address);
        }
        Action::WritePodRange { family, range } => drop(contents.pod_ranges.insert(family, range)),
        Action::PutDevice { index, device } => drop(contents.devices.insert(index, device)),
        Action::RemoveDevice { index } => drop(contents.devices.remove(&index)),
        Action::PutVlan { vlan, device } => drop(contents.vlans.insert(vlan, device)),
        Action::RemoveVlan { vlan } => drop(contents.vlans.remove(&vlan)),
        Action::PutAddress { address, role } => drop(contents.addresses.insert(address, role)),
        Action::PutFrontend { key, frontend } => drop(contents.frontends.insert(key, frontend)),
        Action::RemoveFrontend { key } => drop(contents.frontends.remove(&key)),
        Action::RemoveAddress { address } => drop(contents.addresses.remove(&address)),
    }
}
