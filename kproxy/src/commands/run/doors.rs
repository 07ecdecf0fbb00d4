//! Opens and closes the doors of devices as they come and go.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::causes::one_line;
use crate::dataplane::DeviceDoor;
use crate::devices::{Change, Device, Door, Event};

use super::backoff::Backoff;
use super::kernel::Kernel;

/// The doors that shall be open, and those that could not be opened yet.
#[derive(Debug)]
pub(super) struct Doors {
    open: BTreeMap<u32, DeviceDoor>,
    failed: BTreeMap<u32, (Device, DeviceDoor)>,
    /// The failed ones from this index on are still to be tried in this round.
    round: u32,
    retry: Backoff,
    listed: bool,
}

impl Doors {
    pub(super) fn new() -> Self {
        Self {
            open: BTreeMap::new(),
            failed: BTreeMap::new(),
            round: 0,
            retry: Backoff::new(Duration::from_millis(100), Duration::from_secs(30)),
            listed: false,
        }
    }

    /// Whether every device that exists has been told.
    pub(super) fn listed(&self) -> bool {
        self.listed
    }

    /// How many doors of these kinds are open, and how many could not be opened yet.
    pub(super) fn count(&self, kinds: &[DeviceDoor]) -> (usize, usize) {
        let all = self.open.values().filter(|door| kinds.contains(door)).count();
        let failed = self
            .failed
            .values()
            .filter(|(_, door)| kinds.contains(door))
            .count();
        (all - failed, failed)
    }

    /// When doors that could not be opened are tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry.at()
    }

    pub(super) fn take_in(&mut self, event: Event, now: Instant, kernel: &mut impl Kernel) {
        match event {
            Event::Changed(Change::Attached { device, door }) => {
                if let Some(door) = kind(door) {
                    self.open(device, door, now, kernel);
                }
            }
            Event::Changed(Change::Detached { device, door }) => {
                if let Some(door) = kind(door) {
                    self.close(&device, door, kernel);
                }
            }
            Event::Listed => {
                self.listed = true;
                self.close_left_over(kernel);
            }
        }
    }

    /// Tries again one door that has failed, when it is time. What is more urgent may come between it and the next one:
    /// until all were tried, it stays time.
    pub(super) fn retry(&mut self, now: Instant, kernel: &mut impl Kernel) {
        if !self.retry.is_due(now) {
            return;
        }
        if let Some((&index, (device, door))) = self.failed.range(self.round..).next() {
            let name = name(*door);
            match kernel.attach(*door, device) {
                Ok(opened) => {
                    if opened {
                        tracing::info!(%device, "{name} open, at last");
                    }
                    self.failed.remove(&index);
                }
                Err(error) => {
                    let error = one_line(error.as_ref());
                    tracing::debug!("open the {name} {device}: {error}; trying again");
                }
            }
            self.round = index.saturating_add(1);
        }
        if self.failed.is_empty() {
            self.retry.succeeded();
        } else if self.failed.range(self.round..).next().is_none() {
            self.retry.failed(now);
        } else {
            return;
        }
        self.round = 0;
    }

    fn open(&mut self, device: Device, door: DeviceDoor, now: Instant, kernel: &mut impl Kernel) {
        let was_open =
            self.open.insert(device.index, door) == Some(door) && !self.failed.contains_key(&device.index);
        let name = name(door);
        match kernel.attach(door, &device) {
            Ok(true) if was_open => tracing::debug!(%device, "{name} open, once more"),
            Ok(true) => {
                tracing::info!(%device, "{name} open");
                self.failed.remove(&device.index);
            }
            Ok(false) => tracing::debug!(%device, "the device went before its door was open"),
            Err(error) => {
                let error = one_line(error.as_ref());
                let so = match door {
                    DeviceDoor::Pod => "its pod reaches services by sockets only",
                    DeviceDoor::Uplink | DeviceDoor::BareUplink => "nobody reaches services by it",
                };
                tracing::error!("open the {name} {device}: {error}; {so}, trying again");
                self.failed.insert(device.index, (device, door));
                if self.retry.at().is_none() {
                    self.retry.failed(now);
                }
            }
        }
    }

    fn close(&mut self, device: &Device, door: DeviceDoor, kernel: &mut impl Kernel) {
        self.open.remove(&device.index);
        self.failed.remove(&device.index);
        if self.failed.is_empty() {
            self.retry.succeeded();
        }
        let name = name(door);
        match kernel.detach(device.index) {
            Ok(()) => tracing::info!(%device, "{name} closed"),
            Err(error) => tracing::warn!("close the {name} {device}: {}", one_line(error.as_ref())),
        }
    }

    /// Devices that went while nobody looked have left their pins behind.
    fn close_left_over(&self, kernel: &mut impl Kernel) {
        match kernel.detach_others(&self.open.keys().copied().collect()) {
            Ok(closed) if closed.is_empty() => {}
            Ok(closed) => tracing::info!(
                ?closed,
                "removed doors of devices that are gone or have none any more"
            ),
            Err(error) => tracing::warn!(
                "remove doors of devices that are gone: {}",
                one_line(error.as_ref())
            ),
        }
    }
}

/// What the data plane calls it.
fn kind(door: Door) -> Option<DeviceDoor> {
    match door {
        Door::Pod => Some(DeviceDoor::Pod),
        Door::Uplink => Some(DeviceDoor::Uplink),
        Door::BareUplink => Some(DeviceDoor::BareUplink),
        Door::None => None,
    }
}

/// What people call it.
fn name(door: DeviceDoor) -> &'static str {
    match door {
        DeviceDoor::Pod => "pod door",
        DeviceDoor::Uplink | DeviceDoor::BareUplink => "uplink door",
    }
}
