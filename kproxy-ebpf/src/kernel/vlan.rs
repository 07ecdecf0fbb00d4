//! Tags of VLANs (IEEE 802.1Q) at an XDP hook, which sees packets before the kernel has taken the tag out.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::helpers::generated::bpf_xdp_adjust_head;
use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::XdpContext;
use kproxy_common::{DeviceIndex, Vlan};

use super::maps::VLANS;
use super::xdp::{self, LINK_ADDRESSES};

/// The type of a frame with a tag, as it stands in the header.
const TAGGED: u16 = 0x8100_u16.to_be();
/// Type and control information of a tag.
type Tag = [u16; 2];
/// The VLAN in a control information; 0 for a tag that gives only a priority.
const ID: u16 = 0x0fff;

/// The tag that was taken out of the packet at hand.
#[map]
static TAG: PerCpuArray<Tag> = PerCpuArray::with_max_entries(1, 0);

/// Whether a frame has a tag.
#[inline(always)]
pub(super) fn is_tagged(context: &XdpContext) -> bool {
    xdp::load(context, LINK_ADDRESSES) == Some(TAGGED)
}

/// Takes the tag out of a packet of a VLAN that is known, and answers the VLAN's own device; 0 for what is a matter of the kernel's.
/// A function of its own: most packets have no tag.
#[inline(never)]
pub(super) fn enter(context: &XdpContext) -> u32 {
    let Some(tag): Option<Tag> = xdp::load(context, LINK_ADDRESSES) else {
        return 0;
    };
    let [_, control] = tag;
    let vlan = Vlan {
        parent: xdp::device_of(context),
        id: u32::from(u16::from_be(control) & ID),
    };
    // SAFETY: copied out at once; a value of this type has no invalid bits. Another VLAN's device, of an element that was reused,
    // decides on one packet.
    match unsafe { VLANS.get(vlan) }.copied() {
        Some(DeviceIndex(device)) if take_out(context, tag).is_some() => device,
        _ => 0,
    }
}

/// Puts the tag back into what goes to the kernel, or out again by the VLAN.
#[inline(never)]
pub(super) fn leave(context: &XdpContext, action: u32) -> u32 {
    match action {
        XDP_PASS | XDP_TX if put_back(context).is_some() => action,
        XDP_PASS | XDP_TX => XDP_DROP,
        _ => action,
    }
}

#[inline(always)]
fn take_out(context: &XdpContext, tag: Tag) -> Option<()> {
    let place = TAG.get_ptr_mut(0)?;
    // SAFETY: the entry is this CPU's own, and nothing else of this CPU uses it before this packet has left.
    unsafe { *place = tag };
    let addresses: [u8; LINK_ADDRESSES] = xdp::load(context, 0)?;
    move_head(context, size_of::<Tag>() as i32)?;
    xdp::store(context, 0, addresses)
}

#[inline(always)]
fn put_back(context: &XdpContext) -> Option<()> {
    let tag = *TAG.get(0)?;
    let addresses: [u8; LINK_ADDRESSES] = xdp::load(context, 0)?;
    move_head(context, -(size_of::<Tag>() as i32))?;
    xdp::store(context, 0, addresses)?;
    xdp::store(context, LINK_ADDRESSES, tag)
}

#[inline(always)]
fn move_head(context: &XdpContext, by: i32) -> Option<()> {
    // SAFETY: the context is the hook's own; pointers into the packet are computed anew by every access.
    let moved = unsafe { bpf_xdp_adjust_head(context.ctx, by) };
    (moved == 0).then_some(())
}
