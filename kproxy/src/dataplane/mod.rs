//! The only module that talks to the kernel about BPF: load, adopt, attach, apply.
//!
//! * [`options`](Options): what to open and how large
//! * `layout`: pinned maps are compared before they are adopted, and resized without losing flows
//! * `programs`, [`doors`](DeviceDoor), `attach`: loading, and what belongs onto which hook; it outlives the agent and is
//!   replaced in place
//! * [`hooks`](DeviceHooks): how that is done on a device, by TCX `links` or by clsact filters
//! * [`early`](XdpMode): XDP on uplinks, where it works
//! * [`load_program`]: in spite of signals
//! * `succession`: a kproxy with another layout of the maps gives way
//! * `tables`, `prefix`, `apply`: map contents as the plan knows them; `gate`: what announces them; `askers`: whose flows are known; `notes`: names, for people
//! * [`sockets`](StalePeers): connected sockets whose backend is gone, for a reader beside the owner
//! * [`Meter`]: numbers for metrics, read apart from the owner
//! * `pins`: the pin directory, and the removal of everything
//! * [`pinned`](Pinned): a look at what is pinned, and the real programs on a packet without a trace
//! * `sys`: system calls that aya lacks, the agent's only unsafe code
//!
//! Everything is pinned, or stays with its device. Dropping [`Dataplane`] stops nothing: the programs go on with what the maps hold, and the next
//! [`Dataplane::open`] takes over in place.

mod apply;
mod askers;
mod attach;
mod attempts;
mod doors;
mod early;
mod error;
mod gate;
mod hooks;
mod layout;
mod links;
#[cfg(feature = "debug-log")]
pub mod log;
mod meter;
mod notes;
mod object;
mod options;
mod pinned;
mod pins;
mod prefix;
mod programs;
mod resize;
mod sockets;
mod succession;
#[expect(
    unsafe_code,
    reason = "aya 0.14 has no batches, no mmap and no update of cgroup links"
)]
mod sys;
mod tables;

use std::collections::BTreeSet;
use std::path::Path;

use aya::maps::MapError;
use kproxy_common::{Counter, Door, maps};

pub use apply::Report;
pub use attempts::load_program;
pub use doors::DeviceDoor;
pub use early::XdpMode;
pub use error::{ApplyError, AttachError, OpenError};
pub use hooks::DeviceHooks;
pub use layout::Layout;
pub use meter::Meter;
pub use object::OBJECT;
pub use options::{Options, Sizes};
pub use pinned::{Action, Attached, Entry, Fate, MapFill, Pinned, PinnedTables, Place, Trial};
pub use pins::RemovedReport;
pub use sockets::StalePeers;

use crate::plan::{MapContents, Plan};
use attach::Cgroup;
use early::Early;
use hooks::Hooks;
use notes::Notes;
use pins::Pins;
use programs::Programs;
use resize::Resize;
use tables::Tables;

/// Has all threads of this process share one heap; to be called before they are started.
pub fn share_memory() {
    sys::heap::share();
}

/// Gives memory that was only needed for the start back to the kernel. It takes milliseconds.
pub fn give_back_memory() {
    sys::heap::give_back();
}

/// The cookie of this thread's network namespace.
///
/// # Errors
///
/// ENOPROTOOPT before Linux 5.14.
pub fn network_namespace() -> std::io::Result<u64> {
    sys::namespace::cookie()
}

/// The kernel's half of kproxy. One task owns it.
pub struct Dataplane {
    programs: Programs,
    tables: Tables,
    notes: Notes,
    hooks: Hooks,
    early: Early,
    pins: Pins,
}

impl Dataplane {
    /// Loads the kernel programs, takes over what is pinned, and opens the socket door. Doors of devices that are
    /// open get the new programs; those of vanished devices are cleared away. The same goes for what a kproxy with another layout
    /// of the maps has left, but for its maps: it is as if nothing had been programmed.
    ///
    /// Also answers what the maps hold, for [`Applied::adopt`](crate::plan::Applied::adopt).
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. A pinned map of another layout is never adopted.
    pub fn open(options: &Options) -> Result<(Self, MapContents), OpenError> {
        let Options {
            pin_dir,
            cgroup,
            sizes,
            settings,
            device_hooks,
            xdp,
        } = options;
        let cgroup = Cgroup::open(cgroup)?;
        let pins = Pins::open(pin_dir)?;
        let mut hooks = Hooks::open(*device_hooks, &pins)?;
        let early = Early::new(*xdp, &pins);
        let decisions = layout::decide(OBJECT, sizes, &pins)?;
        let resize = Resize::prepare(&decisions, &pins)?;
        let mut settings = *settings;
        if settings.node_namespace == 0 {
            settings.node_namespace = sys::namespace::cookie().map_err(OpenError::Namespace)?;
        }
        let askers_are_missing = askers::are_missing(&pins);
        let mut programs = Programs::load(OBJECT, sizes, &settings, &decisions, &pins)?;
        let resize = resize.start(&pins)?;
        let tables = Tables::open(pins.root())?;
        let contents = tables.contents()?;
        let failed = |source| OpenError::Map {
            map: maps::GATE,
            source,
        };
        tables.gate.rebuild(&contents).map_err(failed)?;
        if askers_are_missing {
            askers::expect_all(&pins)?;
        }
        let predecessors = succession::take_over(&pins)?;
        attach::remove_stale(&pins)?;
        attach::attach_cgroup(&programs, &pins, &cgroup)?;
        attach::replace_doors(&mut programs, &mut hooks, &pins)?;
        early.replace(&mut programs)?;
        // No program of a former run is left, so nobody writes into a former map any more.
        resize.finish()?;
        predecessors.remove()?;
        let notes = Notes::open(&pins, &settings)?;
        Ok((
            Self {
                programs,
                tables,
                notes,
                hooks,
                early,
                pins,
            },
            contents,
        ))
    }

    /// The sizes of the maps that a former run left in a pin directory, 0 for those that it did not.
    ///
    /// # Errors
    ///
    /// When a pin can not be read.
    pub fn pinned_sizes(pin_dir: &Path) -> Result<Sizes, OpenError> {
        layout::pinned_sizes(pin_dir)
    }

    /// Writes a plan into the maps, in its order, up to the first failure.
    ///
    /// # Errors
    ///
    /// Names the map, the key and the service of the step that failed. The maps are consistent then; to go on, see
    /// [`Applied::heal`](crate::plan::Applied::heal).
    pub fn apply(&mut self, plan: &Plan) -> Result<Report, ApplyError> {
        let outcome = apply::apply(&mut self.tables, plan);
        self.notes.name_services(plan);
        outcome
    }

    /// Opens a door on a device, given by its index in this network namespace; `name` is for messages. A door that is
    /// open already gets the present programs, in place; one of another kind is closed.
    ///
    /// # Errors
    ///
    /// See [`OpenError`], especially [`OpenError::device_is_gone`].
    pub fn attach(&mut self, door: DeviceDoor, index: u32, name: &str) -> Result<(), OpenError> {
        if door != DeviceDoor::Uplink {
            self.early.detach(index)?;
        }
        attach::attach_device(&mut self.programs, &mut self.hooks, door, index, name)
    }

    /// Has XDP do its part on an uplink whose door is open, where that is wanted and works; `hardware` says whether the device has
    /// a driver for something real, and `obstacle` why XDP must not be there, if so: then it is taken off. The log tells what
    /// came of it.
    ///
    /// # Errors
    ///
    /// When the kernel does not let go of a program.
    pub fn accelerate(
        &mut self,
        index: u32,
        name: &str,
        hardware: bool,
        obstacle: Option<&str>,
    ) -> Result<(), OpenError> {
        self.early
            .attach(&mut self.programs, index, name, hardware, obstacle)
    }

    /// Closes the door of a device. Nothing happens if there is none.
    ///
    /// # Errors
    ///
    /// When the kernel does not let go of a program.
    pub fn detach(&mut self, index: u32) -> Result<(), OpenError> {
        self.early.detach(index)?;
        attach::detach(&mut self.hooks, index)
    }

    /// Closes every device's door but those of these interface indexes, and answers which were closed: after a restart,
    /// once all devices are known.
    ///
    /// # Errors
    ///
    /// When the kernel does not let go of a program.
    pub fn detach_others(&mut self, keep: &BTreeSet<u32>) -> Result<BTreeSet<u32>, OpenError> {
        for index in self.early.occupied()? {
            if !keep.contains(&index) {
                self.early.detach(index)?;
            }
        }
        attach::detach_others(&mut self.hooks, keep)
    }

    /// What the maps hold now.
    ///
    /// # Errors
    ///
    /// When a map can not be read.
    pub fn contents(&self) -> Result<MapContents, OpenError> {
        self.tables.contents()
    }

    /// Every outcome at every door since the maps were made.
    ///
    /// # Errors
    ///
    /// When the map can not be read.
    pub fn counters(&self) -> Result<Vec<(Door, Counter, u64)>, MapError> {
        self.tables.counters.read()
    }

    /// The connected UDP sockets whose backend is gone, for another thread to look at whenever it likes.
    ///
    /// # Errors
    ///
    /// When the kernel does not load or attach the program that finds them: it needs `CAP_PERFMON` and the kernel's own
    /// type information (`/sys/kernel/btf/vmlinux`).
    pub fn stale_peers(&mut self) -> Result<StalePeers, OpenError> {
        StalePeers::open(&mut self.programs, &self.pins)
    }

    /// Takes everything that kproxy pinned below the directory out of the kernel, and its programs off the devices of
    /// this network namespace, and nothing else.
    ///
    /// # Errors
    ///
    /// When an agent runs with this directory, or the kernel does not let go of something.
    pub fn remove_all(pin_dir: &Path) -> Result<RemovedReport, OpenError> {
        pins::remove_all(pin_dir)
    }

    /// The loaded object, for its debug log.
    #[cfg(feature = "debug-log")]
    pub fn object(&mut self) -> &mut aya::Ebpf {
        self.programs.object()
    }
}
