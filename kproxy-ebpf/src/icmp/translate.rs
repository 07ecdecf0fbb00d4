//! The rewrite of messages.

use kproxy_common::{Address, Family, Flow, Protocol, Tuple};

use crate::checksum::Difference;
use crate::packet::{ChecksumChange, NoWay, Packet};
use crate::verdict::Verdict;
use crate::wire::{self, quoted};

use super::Message;

/// Offset of the checksum in a message (RFC 792, RFC 4443 section 2.1).
const CHECKSUM: usize = 2;
/// TTL and hop limit of an answer.
const HOPS: u8 = 64;

/// Addresses of an error after its rewrite. Who reports it is hidden where the flow hides the end that it is about, as
/// conntrack does: the client has never heard of a router behind the service.
#[inline(always)]
fn rewritten(message: &Message, flow: &Flow) -> Tuple {
    let hides = flow.source != message.key.source;
    let source: Address = if hides { flow.source } else { message.outer.source };
    Tuple {
        source,
        destination: flow.destination,
        ..message.outer
    }
}

/// Finds the way of an error that goes around the stack, and counts the node as a router on it. If it goes no further, it
/// ends here.
#[inline(never)]
pub(super) fn depart<P: Packet>(packet: &mut P, message: &Message, flow: &Flow) -> Result<(), Verdict> {
    let hops = wire::hops(packet, message.family).ok_or(Verdict::DropRewrite)?;
    if hops <= 1 {
        return Err(Verdict::DropRoute);
    }
    let length = packet.length();
    packet
        .find_way(&rewritten(message, flow), length, None)
        .map_err(|reason| match reason {
            NoWay::NotForwarding => Verdict::DropForwarding,
            NoWay::Unreachable | NoWay::TooBig | NoWay::NotFromHere => Verdict::DropRoute,
        })?;
    wire::count_hop(packet, message.family).ok_or(Verdict::DropRewrite)
}

/// Rewrites an error as a flow says, and the packet that it quotes against it. `None` if the packet is shorter than it was
/// when it was read.
#[inline(never)]
pub(super) fn rewrite<P: Packet>(packet: &mut P, message: &Message, flow: &Flow) -> Option<()> {
    let inside = rewrite_quote(packet, message, flow)?;
    let addresses = wire::rewrite(packet, message.family, &message.outer, &rewritten(message, flow))?;
    let is_v6 = message.family == Family::V6;
    packet.correct_checksum(
        message.start() + CHECKSUM,
        ChecksumChange {
            // ICMP over IPv4 has no pseudo header.
            addresses: if is_v6 { addresses } else { Difference::NONE },
            ports: inside,
            zero_is_none: false,
            bare_network_header: is_v6,
        },
    )
}

/// Rewrites the quoted packet. Says what that did to the sum of its bytes.
#[inline(always)]
fn rewrite_quote<P: Packet>(packet: &mut P, message: &Message, flow: &Flow) -> Option<Difference> {
    let key = &message.key;
    let (old, new) = (key.reversed(), flow.twin(key.protocol));
    let (header, addresses) = quoted::rewrite(packet, message.family, message.quote(), (&old, &new))?;
    let [old_ports, new_ports]: [u32; 2] =
        [old, new].map(|tuple| bytemuck::cast([tuple.source_port.wire(), tuple.destination_port.wire()]));
    packet.store(message.transport(), new_ports)?;
    let ports = Difference::between([old_ports], [new_ports]);
    let Some(offset) = message.checksum() else {
        return Some(header.and(ports));
    };
    let is_udp = key.protocol == Protocol::UDP;
    let checksum: u16 = packet.load(offset)?;
    if is_udp && checksum == 0 {
        return Some(header.and(ports));
    }
    let corrected = match addresses.and(ports).apply(checksum) {
        0 if is_udp => u16::MAX,
        corrected => corrected,
    };
    packet.store(offset, corrected)?;
    let checksum = Difference::between([checksum.into()], [corrected.into()]);
    Some(header.and(ports).and(checksum))
}

/// Turns an echo request into its answer. What the addresses add to the sum is the same for both.
#[inline(never)]
pub(super) fn answer<P: Packet>(packet: &mut P, message: &Message) -> Option<()> {
    let reply = match message.family {
        Family::V4 => 0,
        Family::V6 => 129,
    };
    let old: [u8; 2] = packet.load(message.start())?;
    let new = [reply, old[1]];
    packet.store(message.start(), new)?;
    wire::rewrite(packet, message.family, &message.outer, &message.outer.reversed())?;
    wire::replace_hops(packet, message.family, HOPS)?;
    let [old, new] = [old, new].map(|word| u32::from(u16::from_ne_bytes(word)));
    packet.correct_checksum(
        message.start() + CHECKSUM,
        ChecksumChange {
            addresses: Difference::NONE,
            ports: Difference::between([old], [new]),
            zero_is_none: false,
            bare_network_header: message.family == Family::V6,
        },
    )
}
