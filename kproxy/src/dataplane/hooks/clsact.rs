//! tc filters below a device's clsact queueing discipline, where both its hooks are. Kernel 4.5.
//!
//! A filter belongs to its device and goes with it; nothing is pinned. What is ours is known by its name, which has the
//! pin directory in it: `kproxy:/sys/fs/bpf/kproxy:pod_ingress`. Filters of others stay, and so does the queueing
//! discipline as long as one of them is there.
//!
//! The kernel stops a device for a moment when its queueing discipline comes or goes (`qdisc_graft`), which may cost a
//! packet; the filters themselves come, go and are replaced without that.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, unshare};

use super::filter::{Filter, Filters, Place};
use super::{Direction, Spot};
use crate::dataplane::attach::spot_at;
use crate::dataplane::error::OpenError;
use crate::dataplane::links::Failure;

/// Where our filter is on its hook. Fixed, so that the next run replaces it: before all others (priority 0 would have the
/// kernel choose), with a handle that tells it from others of this priority.
const PLACE: Place = Place {
    priority: 1,
    handle: 0x6b70,
};

/// The kind of queueing discipline that has both hooks.
const KIND: &str = "clsact";

/// Tries it in a network namespace that ends with its thread.
pub(super) fn is_supported() -> io::Result<bool> {
    let attempt = || -> io::Result<bool> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        match Filters::open()?.add_discipline(LOOPBACK, KIND) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    };
    let thread = thread::Builder::new().spawn(attempt)?;
    thread
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the attempt panicked")))
}

/// The first device of every network namespace.
const LOOPBACK: u32 = 1;

/// The filters of one kproxy.
#[derive(Debug)]
pub(in crate::dataplane) struct Clsact {
    filters: Filters,
    /// What the names of our filters begin with.
    prefix: String,
}

impl Clsact {
    pub(super) fn open(pin_dir: &Path) -> Result<Self, OpenError> {
        // Written in one way, whatever was typed.
        let pin_dir: PathBuf = pin_dir.components().collect();
        Ok(Self {
            filters: Filters::open().map_err(failed("opening a netlink socket for tc filters"))?,
            prefix: format!("kproxy:{}:", pin_dir.display()),
        })
    }

    pub(super) fn attach(&mut self, spot: &Spot, program: BorrowedFd<'_>) -> Result<(), Failure> {
        let looking = |error| ("looking for the place of", error);
        self.ensure_discipline(spot.index).map_err(looking)?;
        let name = self.name(spot);
        let found = self.filters.list(spot.index, spot.direction).map_err(looking)?;
        let taken = found
            .iter()
            .find(|filter| filter.place == PLACE && filter.name.as_deref() != Some(&name));
        if let Some(Filter { name, .. }) = taken {
            let name = name.as_deref().unwrap_or("without a name");
            let error = format!(
                "a filter of another program ({name}) has priority {} and handle {:#x}; remove that one (tc filter del)",
                PLACE.priority, PLACE.handle
            );
            return Err(looking(io::Error::new(io::ErrorKind::AlreadyExists, error)));
        }
        self.filters
            .put(spot.index, spot.direction, PLACE, &name, program)
            .map_err(|error| ("attaching", error))
    }

    /// False if there is no filter of ours.
    pub(super) fn detach(&mut self, spot: &Spot) -> Result<bool, OpenError> {
        match self.remove(spot) {
            Err(error) if gone(&error) => Ok(false),
            result => result.map_err(failed("removing a tc filter")),
        }
    }

    pub(super) fn occupied(&mut self) -> Result<BTreeSet<Spot>, OpenError> {
        let failed = failed("listing tc filters");
        let mut occupied = BTreeSet::new();
        for (index, kind) in self.filters.disciplines().map_err(&failed)? {
            if kind != KIND {
                continue;
            }
            for direction in Direction::BOTH {
                let found = self.filters.list(index, direction).map_err(&failed)?;
                let ours = found.iter().filter_map(|filter| self.spot_of(filter, index));
                // A filter of ours on another hook is not where it belongs, and none of ours any more.
                occupied.extend(ours.filter(|spot| spot.direction == direction));
            }
        }
        Ok(occupied)
    }

    fn remove(&mut self, spot: &Spot) -> io::Result<bool> {
        let name = self.name(spot);
        let found = self.filters.list(spot.index, spot.direction)?;
        let Some(ours) = found.iter().find(|filter| filter.name.as_ref() == Some(&name)) else {
            return Ok(false);
        };
        self.filters.remove(spot.index, spot.direction, ours.place)?;
        for direction in Direction::BOTH {
            if !self.filters.list(spot.index, direction)?.is_empty() {
                return Ok(true);
            }
        }
        self.filters.remove_discipline(spot.index, KIND)?;
        Ok(true)
    }

    /// The older `ingress` has the same handle, and takes a filter for egress as one for ingress.
    fn ensure_discipline(&mut self, index: u32) -> io::Result<()> {
        match self.filters.add_discipline(index, KIND) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            result => return result,
        }
        match self.filters.disciplines()?.remove(&index) {
            Some(kind) if kind != KIND => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!(
                    "its queueing discipline {kind} leaves no place for {KIND}, which has hooks for both directions; \
                     have its owner use {KIND} (tc qdisc replace), or use Linux 6.6, where nobody needs one"
                ),
            )),
            Some(_) | None => Ok(()),
        }
    }

    fn name(&self, spot: &Spot) -> String {
        format!("{}{}", self.prefix, spot.program)
    }

    fn spot_of(&self, filter: &Filter, index: u32) -> Option<Spot> {
        let program = filter.name.as_ref()?.strip_prefix(&self.prefix)?;
        spot_at(program, index)
    }
}

/// The device, or what was to be removed from it, has gone meanwhile.
fn gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENOENT))
}

fn failed(doing: &'static str) -> impl Fn(io::Error) -> OpenError {
    move |source| OpenError::Filters { doing, source }
}
