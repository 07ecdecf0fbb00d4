//! Opens and closes pod doors as devices come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::causes::one_line;
use crate::devices::{Change, Device, Door, Event};

use super::backoff::Backoff;
use super::kernel::Kernel;

/// The doors that shall be open, and those that could not be opened yet.
#[derive(Debug)]
pub(super) struct Doors {
    open: BTreeSet<u32>,
    failed: BTreeMap<u32, Device>,
    /// The failed ones from this index on are still to be tried in this round.
    round: u32,
    retry: Backoff,
    listed: bool,
}

impl Doors {
    pub(super) fn new() -> Self {
        Self {
            open: BTreeSet::new(),
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

    /// How many doors are open, and how many could not be opened yet.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.open.len() - self.failed.len(), self.failed.len())
    }

    /// When doors that could not be opened are tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry.at()
    }

    pub(super) fn take_in(&mut self, event: Event, now: Instant, kernel: &mut impl Kernel) {
        match event {
            Event::Changed(Change::Attached {
                device,
                door: Door::Pod,
            }) => self.open(device, now, kernel),
            Event::Changed(Change::Detached {
                device,
                door: Door::Pod,
            }) => self.close(&device, kernel),
            // Uplinks have no programs yet.
            Event::Changed(Change::Attached {
                device,
                door: door @ (Door::Uplink | Door::None),
            }) => {
                tracing::debug!(%device, ?door, "no programs for this device");
            }
            Event::Changed(Change::Detached {
                device,
                door: door @ (Door::Uplink | Door::None),
            }) => {
                tracing::debug!(%device, ?door, "device gone");
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
        if let Some((&index, device)) = self.failed.range(self.round..).next() {
            match kernel.attach(device) {
                Ok(opened) => {
                    if opened {
                        tracing::info!(%device, "pod door open, at last");
                    }
                    self.failed.remove(&index);
                }
                Err(error) => {
                    let error = one_line(error.as_ref());
                    tracing::debug!("open the pod door {device}: {error}; trying again");
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

    fn open(&mut self, device: Device, now: Instant, kernel: &mut impl Kernel) {
        self.open.insert(device.index);
        match kernel.attach(&device) {
            Ok(true) => {
                tracing::info!(%device, "pod door open");
                self.failed.remove(&device.index);
            }
            Ok(false) => tracing::debug!(%device, "the device went before its door was open"),
            Err(error) => {
                let error = one_line(error.as_ref());
                tracing::error!(
                    "open the pod door {device}: {error}; its pod reaches services by sockets only, trying again"
                );
                self.failed.insert(device.index, device);
                if self.retry.at().is_none() {
                    self.retry.failed(now);
                }
            }
        }
    }

    fn close(&mut self, device: &Device, kernel: &mut impl Kernel) {
        self.open.remove(&device.index);
        self.failed.remove(&device.index);
        if self.failed.is_empty() {
            self.retry.succeeded();
        }
        match kernel.detach(device.index) {
            Ok(()) => tracing::info!(%device, "pod door closed"),
            Err(error) => tracing::warn!("close the pod door {device}: {}", one_line(error.as_ref())),
        }
    }

    /// Devices that went while nobody looked have left their pins behind.
    fn close_left_over(&self, kernel: &mut impl Kernel) {
        match kernel.detach_others(&self.open) {
            Ok(closed) if closed.is_empty() => {}
            Ok(closed) => tracing::info!(
                ?closed,
                "removed pod doors of devices that are gone or no pod's any more"
            ),
            Err(error) => tracing::warn!(
                "remove pod doors of devices that are gone: {}",
                one_line(error.as_ref())
            ),
        }
    }
}
