//! How one program gets onto one hook of one device and stays there across restarts, by one of two ways.
//!
//! * `tcx`: pinned links, before all other programs (Linux 6.6)
//! * `clsact`: tc filters, for older kernels; `filter` is their netlink
//!
//! Which program belongs onto which device is [`attach`](super::attach)'s.

mod clsact;
mod filter;
mod tcx;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::error::OpenError;
use super::links::Failure;
use super::pins::Pins;
use clsact::Clsact;
use tcx::Tcx;

/// How programs are put on the hooks of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum DeviceHooks {
    /// Links, which outlive the agent by their pins; Linux 6.6.
    Tcx,
    /// Filters below a clsact queueing discipline, which stay with their device.
    Clsact,
}

impl DeviceHooks {
    /// Asks the kernel, without changing anything.
    ///
    /// # Errors
    ///
    /// When it does not say, for example for want of a capability.
    pub fn is_supported(self) -> io::Result<bool> {
        match self {
            Self::Tcx => tcx::is_supported(),
            Self::Clsact => clsact::is_supported(),
        }
    }
}

/// A hook of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    /// Packets that come in by the device.
    Ingress,
    /// Packets that leave by it.
    Egress,
}

/// A program of ours on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    /// The program, of which every direction of a device has one.
    pub(super) program: &'static str,
    /// The hook.
    pub(super) direction: Direction,
    /// The device's interface index.
    pub(super) index: u32,
}

/// One of the two ways, ready to be used in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) enum Hooks {
    Tcx(Tcx),
    Clsact(Clsact),
}

impl Hooks {
    pub(super) fn open(way: DeviceHooks, pins: &Pins) -> Result<Self, OpenError> {
        Ok(match way {
            DeviceHooks::Tcx => Self::Tcx(Tcx::new(pins)),
            DeviceHooks::Clsact => Self::Clsact(Clsact::open(pins.root())?),
        })
    }

    /// The way that is not this one.
    pub(super) fn other(&self, pins: &Pins) -> Result<Self, OpenError> {
        Self::open(
            match self {
                Self::Tcx(_) => DeviceHooks::Clsact,
                Self::Clsact(_) => DeviceHooks::Tcx,
            },
            pins,
        )
    }

    /// Puts a program on its spot. One of ours that is there already is replaced in place: no packet meets neither.
    pub(super) fn attach(&mut self, spot: &Spot, program: BorrowedFd<'_>) -> Result<(), Failure> {
        match self {
            Self::Tcx(tcx) => tcx.attach(spot, program),
            Self::Clsact(clsact) => clsact.attach(spot, program),
        }
    }

    /// Takes our program off a spot. A device that is gone took its programs along.
    pub(super) fn detach(&mut self, spot: &Spot) -> Result<(), OpenError> {
        match self {
            Self::Tcx(tcx) => tcx.detach(spot),
            Self::Clsact(clsact) => clsact.detach(spot).map(drop),
        }
    }

    /// Where our programs are.
    pub(super) fn occupied(&mut self) -> Result<BTreeSet<Spot>, OpenError> {
        match self {
            Self::Tcx(tcx) => tcx.occupied(),
            Self::Clsact(clsact) => clsact.occupied(),
        }
    }
}

/// Where the filters of a kproxy are, whoever runs it.
pub(super) fn filters(pin_dir: &Path) -> Result<BTreeSet<Spot>, OpenError> {
    Clsact::open(pin_dir)?.occupied()
}

/// Takes the filters of a kproxy off all devices, and answers how many there were.
pub(super) fn remove_filters(pin_dir: &Path) -> Result<usize, OpenError> {
    let mut clsact = Clsact::open(pin_dir)?;
    let mut removed = 0;
    for spot in clsact.occupied()? {
        removed += usize::from(clsact.detach(&spot)?);
    }
    Ok(removed)
}
