//! The library does what the kernel did, and says so if it would have done anything else.

use anyhow::bail;

use crate::acceptance::host;
use crate::acceptance::simulation::{Fate, Hook};
use crate::host::{Buffer, MemoryTables};

/// 32 bits of chance that lead to the first, second or third of up to three backends.
const CHOICES: [u32; 4] = [0, 0x8000_0000, 0x5555_5556, 0xaaaa_aaab];
/// Where the datapath looks for source ports when the client's own is taken.
const SPARE_PORTS: std::ops::Range<u32> = 61_000..65_536;

/// The library with maps in memory.
#[derive(Debug, Default)]
pub(super) struct Shadow {
    pub(super) tables: MemoryTables,
}

impl Shadow {
    /// Finds the chance with which the library does the same.
    pub(super) fn follow(&mut self, hook: Hook, bytes: &[u8], seen: &Fate) -> anyhow::Result<()> {
        let start = first_spare_port(seen);
        let mut other = None;
        let chosen = CHOICES.map(|choice| vec![choice, start]);
        // Affinity leaves nothing to chance but the port.
        for chance in chosen.into_iter().chain([vec![start]]) {
            let tables = self.tables.clone();
            tables.script_random(chance);
            let fate = host::run(&tables, hook, Buffer::new(bytes.to_vec()));
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
}

/// The chance that makes the library's first attempt find the port that the kernel found.
fn first_spare_port(seen: &Fate) -> u32 {
    let (Fate::On(bytes) | Fate::Back(bytes)) = seen else {
        return 0;
    };
    let packet = etherparse::SlicedPacket::from_ethernet(bytes).ok();
    let port = match packet.and_then(|packet| packet.transport) {
        Some(etherparse::TransportSlice::Tcp(tcp)) => tcp.source_port(),
        Some(etherparse::TransportSlice::Udp(udp)) => udp.source_port(),
        Some(etherparse::TransportSlice::Icmpv4(_) | etherparse::TransportSlice::Icmpv6(_)) | None => 0,
    };
    let count = SPARE_PORTS.end - SPARE_PORTS.start;
    match u32::from(port).checked_sub(SPARE_PORTS.start) {
        Some(offset) => (offset + count - 1) % count,
        None => 0,
    }
}
