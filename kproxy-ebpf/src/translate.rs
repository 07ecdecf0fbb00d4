//! The rewrite of one packet.

use kproxy_common::{Family, Flow};

use crate::checksum::Difference;
use crate::packet::{ChecksumChange, Packet};
use crate::parse::Segment;
use crate::wire;

/// Rewrites a packet as its flow says. `None` if the packet is shorter than it was when it was parsed. A function of its
/// own in the kernel, for the sake of its caller's stack.
#[inline(never)]
pub fn rewrite<P: Packet>(packet: &mut P, segment: &Segment, flow: &Flow) -> Option<()> {
    let (old, new) = (&segment.tuple, flow.rewritten(segment.tuple.protocol));
    let addresses = wire::rewrite(packet, segment.family, old, &new)?;
    if segment.is_later_fragment() {
        // The transport header, and with it the checksum of the whole datagram, is in the first one. In IPv4 the header's
        // own checksum has made up for the change.
        if segment.family == Family::V6 {
            packet.note_change(addresses);
        }
        return Some(());
    }
    let old_ports: u32 = bytemuck::cast([old.source_port.wire(), old.destination_port.wire()]);
    let new_ports: u32 = bytemuck::cast([new.source_port.wire(), new.destination_port.wire()]);
    let ports = if old_ports == new_ports {
        Difference::NONE
    } else {
        packet.store(segment.offset(), new_ports)?;
        Difference::between([old_ports], [new_ports])
    };
    if segment.is_sctp() {
        return correct_sctp(packet, segment, old_ports ^ new_ports);
    }
    packet.correct_checksum(
        segment.checksum(),
        ChecksumChange {
            addresses,
            ports,
            zero_is_none: !segment.is_connection(),
            bare_network_header: segment.family == Family::V6,
        },
    )
}

/// Corrects SCTP's checksum for changed ports. Where it is not there yet (`CHECKSUM_PARTIAL` with `csum_not_inet`), the
/// field is zero and has to stay so: for a device that can not complete it (a bond, `WireGuard`) the kernel does, and
/// sums over whatever stands in the field (`skb_crc32c_csum_help`). One finished checksum in 2^32 is zero as well, and
/// its packet is lost.
#[inline(always)]
fn correct_sctp<P: Packet>(packet: &mut P, segment: &Segment, changed: u32) -> Option<()> {
    if changed == 0 {
        return Some(());
    }
    let length = wire::payload_length(packet, segment.family, segment.offset())?;
    let checksum: u32 = packet.load(segment.checksum())?;
    if checksum == 0 {
        return Some(());
    }
    packet.store(segment.checksum(), checksum ^ P::sctp_correction(changed, length))
}
