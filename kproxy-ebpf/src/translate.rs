//! The rewrite of one packet.

use kproxy_common::{Family, Flow};

use crate::checksum::Difference;
use crate::packet::{ChecksumChange, Packet};
use crate::parse::Transport;
use crate::wire::{self, Network};

/// Rewrites a packet as its flow says. `None` if the packet is shorter than it was when it was parsed.
#[inline(always)]
pub fn rewrite<P: Packet>(
    packet: &mut P,
    network: &Network,
    transport: &Transport,
    flow: &Flow,
) -> Option<()> {
    let addresses = wire::rewrite(packet, network, flow.source, flow.destination)?;
    let offset = network.transport();
    let old: u32 = bytemuck::cast([transport.source_port.wire(), transport.destination_port.wire()]);
    let new: u32 = bytemuck::cast([flow.source_port.wire(), flow.destination_port.wire()]);
    let ports = if old == new {
        Difference::NONE
    } else {
        packet.store(offset, new)?;
        Difference::between([old], [new])
    };
    packet.correct_checksum(
        offset + transport.checksum(),
        ChecksumChange {
            addresses,
            ports,
            zero_is_none: !transport.is_tcp(),
            bare_network_header: network.family == Family::V6,
        },
    )
}
