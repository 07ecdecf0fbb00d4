//! The library does what the kernel did, and says so if it would have done anything else.

use anyhow::bail;
use kproxy_common::Settings;

use crate::acceptance::host;
use crate::acceptance::simulation::{Fate, Hook};
use crate::acceptance::uplink;
use crate::host::{MemoryTables, Seen};

/// 32 bits of chance that lead to the first, second or third of up to three backends.
const CHOICES: [u32; 4] = [0, 0x8000_0000, 0x5555_5556, 0xaaaa_aaab];
/// Where the datapath looks for source ports when the client's own is taken.
const SPARE_PORTS: std::ops::Range<u32> = 61_000..65_536;

/// The library with maps in memory.
#[derive(Debug)]
pub(super) struct Shadow {
    pub(super) tables: MemoryTables,
}

impl Shadow {
    pub(super) fn new(settings: Settings) -> Self {
        let mut tables = MemoryTables::default();
        tables.pod_ranges = uplink::pod_ranges();
        tables.settings = settings;
        Self { tables }
    }

    /// Finds the chance with which the library does the same.
    pub(super) fn follow(
        &mut self,
        hook: Hook,
        (bytes, segment_size): (&[u8], u32),
        seen: &Fate,
    ) -> anyhow::Result<()> {
        let ports = self.ports(hook, bytes, seen);
        let mut other = None;
        let with_choice = CHOICES
            .into_iter()
            .flat_map(|choice| ports.iter().map(move |port| [&[choice], &port[..]].concat()));
        // Affinity leaves nothing to chance but the port.
        for chance in with_choice.chain(ports.iter().cloned()) {
            let tables = self.tables.clone();
            tables.script_random(chance);
            let fate = host::run(&tables, hook, host::packet(hook, bytes.to_vec(), segment_size));
            if fate == *seen {
                // Chance is for one packet.
                tables.script_random([]);
                self.tables = tables;
                return Ok(());
            }
            other = Some(fate);
        }
        bail!("at {hook:?} the kernel and the library differ: {seen:02x?} against {other:02x?}")
    }

    /// The chances that make the library's first attempt find the port that the kernel found: of the client's ports, or
    /// of the node's, where a first search also draws the place to go on from.
    fn ports(&self, hook: Hook, sent: &[u8], seen: &Fate) -> Vec<Vec<u32>> {
        let (Fate::On(bytes) | Fate::Back(bytes) | Fate::Forwarded(bytes)) = seen else {
            return vec![Vec::new()];
        };
        let Some(port) = source_port(bytes).filter(|port| Some(*port) != source_port(sent)) else {
            return vec![Vec::new()];
        };
        if !matches!(hook, Hook::UplinkIngress | Hook::NodeEgress) {
            return vec![vec![first_spare_port(port)]];
        }
        let spare = self.tables.settings.spare_ports;
        let place = (0..spare.len()).find(|place| spare.at(u32::from(*place)) == port);
        let place = u32::from(place.unwrap_or(0));
        vec![vec![place], vec![0, place], vec![first_spare_port(port)]]
    }
}

/// The chance that makes the library's first attempt find the port that the kernel found.
fn first_spare_port(port: u16) -> u32 {
    let count = SPARE_PORTS.end - SPARE_PORTS.start;
    match u32::from(port).checked_sub(SPARE_PORTS.start) {
        Some(offset) => (offset + count - 1) % count,
        None => 0,
    }
}

/// The source port, of what has one.
fn source_port(bytes: &[u8]) -> Option<u16> {
    match Seen::read(bytes).ok()? {
        Seen::Segment { source, .. } => Some(source.port()),
        Seen::Unreachable { .. } => None,
    }
}
