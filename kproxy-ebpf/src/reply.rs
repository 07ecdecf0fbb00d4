//! Answers that leave: to a pod by its door, to a client outside by an uplink.

use kproxy_common::{Door, Flow, FlowState};

use crate::fragment;
use crate::glance::{self, Glance};
use crate::icmp;
use crate::own;
use crate::packet::Packet;
use crate::parse::{self, NoTuple, Segment};
use crate::scratch::Scratch;
use crate::tables::{InsertError, Tables};
use crate::track;
use crate::translate;
use crate::verdict::Verdict;
use crate::wire;

/// Decides on a packet that goes to a pod, and translates it back if it answers a translated request.
#[inline(always)]
pub fn pod_egress<P: Packet, T: Tables>(packet: &mut P, tables: &T, scratch: &mut Scratch) -> Verdict {
    leave(packet, tables, scratch, Door::PodEgress)
}

/// Decides on a packet that leaves by an uplink, and translates it back if it answers a translated request.
#[inline(always)]
pub fn uplink_egress<P: Packet, T: Tables>(packet: &mut P, tables: &T, scratch: &mut Scratch) -> Verdict {
    leave(packet, tables, scratch, Door::UplinkEgress)
}

#[inline(always)]
fn leave<P: Packet, T: Tables>(packet: &mut P, tables: &T, scratch: &mut Scratch, door: Door) -> Verdict {
    let of_node = door == Door::UplinkEgress && packet.is_of_node();
    match glance::leave(packet, tables, (door, of_node), &mut scratch.segment) {
        Glance::Passes => return Verdict::Bystander,
        Glance::Plain { .. } => (),
        Glance::Other => {
            if let Err(verdict) = read(packet, tables, scratch, (door, of_node)) {
                return verdict.counted(tables, door);
            }
        }
    }
    let Scratch { segment, work, .. } = scratch;
    let now = tables.now();
    // Both maps: the answer to a connection that was forgotten and begun again in its middle is no SYN, and yet its
    // entry is in `FLOWS_NEW`.
    let decided = match track::find(tables, &segment.tuple, &mut work.flow) {
        Some(_) if !is_here(&work.flow, door, of_node) => return Verdict::Bystander,
        Some(age) if track::is_left_over(tables, segment, &work.flow, now) => {
            track::remove(tables, age, &segment.tuple, &work.flow);
            None
        }
        Some(age) => match track::note(tables, door, segment, (age, &work.flow), now) {
            Ok(()) => Some(Verdict::Reply),
            // The client's next packets would not find a flow that was not recorded: let the peer answer again.
            Err(InsertError::Exists | InsertError::Failed) => Some(Verdict::DropMap),
        },
        None => None,
    };
    let decided = match decided {
        None if of_node => own::begin(tables, work, segment, now),
        decided => decided,
    };
    let verdict = match decided {
        Some(verdict @ (Verdict::Reply | Verdict::New)) => translate(packet, segment, &work.flow, verdict),
        Some(verdict) => verdict,
        None => return fragment::forgotten(segment).counted(tables, door),
    };
    if segment.is_first_fragment() {
        fragment::note(tables, segment, &mut work.datagram, verdict);
    }
    verdict.counted(tables, door)
}

/// Reads what is not plain, as far as it may have a flow.
#[inline(always)]
fn read<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    scratch: &mut Scratch,
    (door, of_node): (Door, bool),
) -> Result<(), Verdict> {
    if !wire::read(packet, &mut scratch.network) {
        return Err(Verdict::Bystander);
    }
    match parse::segment(packet, &scratch.network) {
        Ok(segment) => scratch.segment = segment,
        Err(NoTuple::Fragment) => fragment::follow_out(tables, scratch)?,
        Err(NoTuple::OtherProtocol) if scratch.network.is_icmp() => {
            return Err(icmp::leave(packet, tables, scratch, door).unwrap_or(Verdict::Bystander));
        }
        Err(NoTuple::OtherProtocol | NoTuple::Truncated) => return Err(Verdict::Bystander),
    }
    if glance::leaves_with_flow(tables, &scratch.segment.tuple, of_node) {
        Ok(())
    } else {
        Err(Verdict::Bystander)
    }
}

/// Whether an entry's rewrite is made here. A request that leaves is the node's own: what it sends on for a client may look
/// the same, and is finished.
#[inline(always)]
fn is_here(flow: &Flow, door: Door, of_node: bool) -> bool {
    track::applies(flow, door) && (of_node || flow.state.contains(FlowState::REPLY))
}

#[inline(always)]
fn translate<P: Packet>(packet: &mut P, segment: &Segment, flow: &Flow, verdict: Verdict) -> Verdict {
    if fragment::is_beyond_correction(segment, flow) {
        return Verdict::DropSctpFragment;
    }
    match translate::rewrite(packet, segment, flow) {
        Some(()) => verdict,
        None => Verdict::DropRewrite,
    }
}
