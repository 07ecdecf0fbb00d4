//! Runner: the datapath library in memory. No privileges, any machine.

use std::time::Duration;

use kproxy::dataplane::Sizes;
use kproxy_common::{Counter, FlowState, Settings};
use kproxy_ebpf::{Action, Packet as _, Scratch, forward, reject, reply};

use super::row::{Half, Row};
use super::simulation::{Fate, Hook, Machine, Simulation};
use super::uplink;
use super::world::{FAMILIES, NODE, NODE_NAMESPACE};
use crate::host::{Buffer, MemoryTables, Programmer};

/// The library with maps in memory.
#[derive(Debug)]
pub struct HostMachine {
    programmer: Programmer,
    /// The maps.
    pub tables: MemoryTables,
}

impl HostMachine {
    /// An empty data plane.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut tables = MemoryTables::new(seed);
        tables.settings.node_namespace = NODE_NAMESPACE;
        tables.settings.loopback_node_ports = Settings::loopback_node_ports(FAMILIES);
        tables.pod_ranges = uplink::pod_ranges();
        Self {
            programmer: Programmer::new(NODE, Sizes::default().capacity()),
            tables,
        }
    }
}

/// Plays one row.
///
/// # Errors
/// Says what was not as expected.
pub fn play(row: &Row) -> anyhow::Result<()> {
    Simulation::new(HostMachine::new(1)).play(row)
}

/// A packet as it is at a hook of [`NODE`], one or many in one.
#[must_use]
pub fn packet(hook: Hook, bytes: Vec<u8>, segment_size: u32) -> Buffer {
    let device = match hook {
        Hook::Ingress | Hook::Egress => uplink::POD_DEVICE,
        Hook::UplinkIngress | Hook::UplinkEgress | Hook::NodeEgress => uplink::DEVICE,
    };
    let packet = Buffer::new(bytes);
    let packet = if hook == Hook::NodeEgress {
        packet.of_node()
    } else {
        packet
    };
    packet
        .by(device)
        .among(uplink::routes())
        .in_segments_of(segment_size)
}

/// What a hook of the kernel binary does with a packet.
#[must_use]
pub fn run(tables: &MemoryTables, hook: Hook, mut packet: Buffer) -> Fate {
    let scratch = &mut Scratch::default();
    let verdict = match hook {
        Hook::Ingress => forward::pod_ingress(&mut packet, tables, scratch),
        Hook::Egress => reply::pod_egress(&mut packet, tables, scratch),
        Hook::UplinkIngress => forward::uplink_ingress(&mut packet, tables, scratch),
        Hook::UplinkEgress | Hook::NodeEgress => reply::uplink_egress(&mut packet, tables, scratch),
    };
    let returned = match verdict.action() {
        Action::Continue => return Fate::On(packet.bytes),
        Action::Forward => return Fate::Forwarded(packet.bytes),
        Action::Drop => None,
        Action::TurnAround => packet.turn_around(),
        // Once more by the same device.
        Action::Requeue => Some(()),
        Action::Refuse(refusal) => reject::refuse(&mut packet, tables, refusal),
    };
    match returned {
        Some(()) => Fate::Back(packet.bytes),
        None => Fate::Gone,
    }
}

impl Machine for HostMachine {
    fn program(&mut self, manifests: &str) -> anyhow::Result<()> {
        let plan = self.programmer.plan(manifests)?;
        self.tables.apply(&plan);
        Ok(())
    }

    fn run(&mut self, hook: Hook, bytes: Vec<u8>, segment_size: u32) -> anyhow::Result<Fate> {
        Ok(run(&self.tables, hook, packet(hook, bytes, segment_size)))
    }

    fn wait(&mut self, time: Duration) -> anyhow::Result<()> {
        self.tables.wait(time);
        Ok(())
    }

    fn evict(&mut self, half: Half) -> anyhow::Result<()> {
        self.tables.evict(|_, _, flow| is_evicted(half, flow.state));
        Ok(())
    }

    fn refuse_inserts(&mut self, tries: u32) {
        self.tables.refuse_inserts(tries);
    }

    fn counted(&self, counter: Counter) -> anyhow::Result<u64> {
        Ok(self.tables.counted(counter))
    }

    fn tables(&self) -> Option<&MemoryTables> {
        Some(&self.tables)
    }
}

/// Whether an entry in this state belongs to a half.
#[must_use]
pub fn is_evicted(half: Half, state: FlowState) -> bool {
    let is_answer = state.contains(FlowState::REPLY);
    match half {
        Half::Requests => !is_answer,
        Half::Answers => is_answer,
        Half::Both => true,
    }
}
