//! Runner: the loaded programs of a pod's door and of an uplink, packet by packet under `BPF_PROG_TEST_RUN`.
//!
//! At an uplink XDP has the first word, and each second packet is a VLAN's there. Maps are written by [`kproxy::dataplane`]. Every packet also goes through the library in memory, with the kernel's
//! choices fed to it as chance, and both must agree on every byte. Time passes by making flows older, as far as the machine
//! runs already. What this runner can not do: sockets (the kernel answers ENOTSUPP for their programs), and failing maps.
//! Redirects are decided but not carried out.

pub mod network;
pub mod place;
pub mod programs;
mod shadow;

use std::time::Duration;

use anyhow::Context;
use kproxy::dataplane::{Dataplane, Meter};
use kproxy::serve::Gauges as _;
use kproxy_common::{Address, Counter, Device, DeviceFlags, DeviceIndex, Family, Settings, Vlan};

use super::host::is_evicted;
use super::row::{Half, Row};
use super::simulation::{Fate, Hook, Machine, Simulation};
use super::uplink;
use super::world::{NODE, Pod};
use crate::host::frame::HOST_MAC;
use crate::host::{MemoryTables, Programmer, Seen};
use network::{Network, SECOND_MAC};
use place::Place;
use programs::{Programs, Tag};
use shadow::Shadow;

/// What the programs are told of the uplink: no address, so that the routes' is taken.
const UPLINK_DEVICE: Device = Device {
    v4: Address::unspecified(Family::V4),
    v6: Address::unspecified(Family::V6),
    flags: DeviceFlags::empty(),
    link_address: HOST_MAC,
    padding: 0,
};

/// Programs, their maps, and the library that follows them.
pub struct KernelMachine {
    programmer: Programmer,
    shadow: Shadow,
    dataplane: Dataplane,
    meter: Meter,
    programs: Programs,
    network: Network,
    forwarded: Forwarded,
    /// Whether the last packet came to XDP by the VLAN: each second one does.
    is_tagged: bool,
    // Last: removes what the others pinned.
    place: Place,
}

/// How many packets that are neither fragments nor messages were sent on, and by whom.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forwarded {
    /// By XDP.
    pub early: u32,
    /// By TC, to which XDP had left them.
    pub late: u32,
}

/// Plays rows one after another on the same programs.
pub struct Kernel {
    simulation: Simulation<KernelMachine>,
}

impl Kernel {
    /// Loads the programs. This thread moves to a network namespace of its own, where routes are as in the rows' cluster.
    ///
    /// # Errors
    /// When the kernel refuses, for example because this process is not root.
    pub fn load() -> anyhow::Result<Self> {
        Self::load_with(|_| {})
    }

    /// The same, with other settings.
    ///
    /// # Errors
    /// As for [`Kernel::load`].
    pub fn load_with(change: impl FnOnce(&mut Settings)) -> anyhow::Result<Self> {
        let network = Network::enter()?;
        let mut place = Place::new()?;
        change(&mut place.options.settings);
        let (dataplane, _) = Dataplane::open(&place.options)
            .context("cannot load the data plane; the kernel runner needs root (CAP_BPF, CAP_NET_ADMIN)")?;
        let mut programs = Programs::load_packets(&place)?;
        place.set_pod_ranges(&uplink::pod_ranges())?;
        place.set_device(network.uplink(), &UPLINK_DEVICE)?;
        let vlan = Vlan {
            parent: DeviceIndex(network.trunk()),
            id: network::VLAN,
        };
        place.set_vlan(vlan, network.uplink())?;
        programs.attach_early(network::UPLINK)?;
        programs.attach_early(network::TRUNK)?;
        let machine = KernelMachine {
            programmer: Programmer::new(NODE, place.options.sizes.capacity()),
            shadow: Shadow::new(place.options.settings),
            dataplane,
            meter: Meter::open(&place.options.pin_dir)?,
            programs,
            network,
            forwarded: Forwarded::default(),
            is_tagged: false,
            place,
        };
        Ok(Self {
            simulation: Simulation::new(machine),
        })
    }

    /// How many packets were sent on so far, and by whom.
    #[must_use]
    pub fn forwarded(&self) -> Forwarded {
        self.simulation.machine.forwarded
    }

    /// What becomes of a packet that comes in by the uplink, with the services and flows that the last row has left. The library
    /// is not asked.
    ///
    /// # Errors
    /// When the kernel does not run the programs.
    pub fn arrive(&self, bytes: &[u8]) -> anyhow::Result<Fate> {
        let machine = &self.simulation.machine;
        let (hook, device) = (Hook::UplinkIngress, machine.network.uplink());
        match machine.programs.run_early(bytes, device)? {
            Some(fate) => Ok(fate),
            None => machine
                .programs
                .run(hook, bytes, &machine.network.context(hook, 0)),
        }
    }

    /// What XDP does with such a packet; `None` if it leaves it to TC.
    ///
    /// # Errors
    /// When the kernel does not run the program.
    pub fn arrive_early(&self, bytes: &[u8]) -> anyhow::Result<Option<Fate>> {
        let machine = &self.simulation.machine;
        machine.programs.run_early(bytes, machine.network.uplink())
    }

    /// The same for a packet with a tag, that comes in by the device of which the uplink is a VLAN.
    ///
    /// # Errors
    /// When the kernel does not run the program.
    pub fn arrive_tagged(&self, bytes: &[u8], tag: Tag) -> anyhow::Result<Option<Fate>> {
        let machine = &self.simulation.machine;
        machine
            .programs
            .run_early_tagged(bytes, tag, machine.network.trunk())
    }

    /// Has another device lead to these pods from here on. Answers its interface index.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn lead_by_another_device(&mut self, pods: &[Pod]) -> anyhow::Result<u32> {
        self.simulation.machine.network.lead_by_another_device(pods)
    }

    /// Says what is special about a device.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn say_of_device(&mut self, index: u32, flags: DeviceFlags) -> anyhow::Result<()> {
        let device = Device {
            flags,
            link_address: SECOND_MAC,
            ..UPLINK_DEVICE
        };
        self.simulation.machine.place.set_device(index, &device)
    }

    /// Plays one row.
    ///
    /// # Errors
    /// Says what was not as expected.
    pub fn play(&mut self, row: &Row) -> anyhow::Result<()> {
        self.simulation.machine.program("")?;
        self.simulation.machine.evict(Half::Both)?;
        self.simulation.play(row)
    }
}

/// Whether XDP forwards packets like this one.
fn is_plain(bytes: &[u8]) -> bool {
    matches!(Seen::read(bytes), Ok(Seen::Segment { .. }))
}

impl Machine for KernelMachine {
    fn program(&mut self, manifests: &str) -> anyhow::Result<()> {
        let plan = self.programmer.plan(manifests)?;
        self.shadow.tables.apply(&plan);
        self.dataplane.apply(&plan)?;
        Ok(())
    }

    fn run(&mut self, hook: Hook, bytes: Vec<u8>, segment_size: u32) -> anyhow::Result<Fate> {
        let context = self.network.context(hook, segment_size);
        let early = if hook == Hook::UplinkIngress && segment_size == 0 {
            self.is_tagged = !self.is_tagged;
            if self.is_tagged {
                self.programs
                    .run_early_tagged(&bytes, network::TAG, self.network.trunk())?
            } else {
                self.programs.run_early(&bytes, self.network.uplink())?
            }
        } else {
            None
        };
        let is_early = early.is_some();
        let fate = match early {
            Some(fate) => fate,
            None => self.programs.run(hook, &bytes, &context)?,
        };
        if matches!(fate, Fate::Forwarded(_)) && segment_size == 0 && is_plain(&bytes) {
            let count = if is_early {
                &mut self.forwarded.early
            } else {
                &mut self.forwarded.late
            };
            *count += 1;
        }
        self.shadow.follow(hook, (&bytes, segment_size), &fate)?;
        Ok(fate)
    }

    fn wait(&mut self, time: Duration) -> anyhow::Result<()> {
        if time.is_zero() {
            return Ok(());
        }
        self.shadow.tables.wait(time);
        self.programs.age(time)
    }

    fn evict(&mut self, half: Half) -> anyhow::Result<()> {
        self.shadow
            .tables
            .evict(|_, _, flow| is_evicted(half, flow.state));
        self.programs.evict(half)
    }

    fn refuse_inserts(&mut self, _tries: u32) {}

    fn counted(&self, counter: Counter) -> anyhow::Result<u64> {
        let outcomes = self.meter.outcomes()?.into_iter();
        Ok(outcomes
            .filter(|(_, counted, _)| *counted == counter)
            .map(|(_, _, times)| times)
            .sum())
    }

    fn tables(&self) -> Option<&MemoryTables> {
        None
    }
}
