//! A packet at an XDP hook.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_TX};
use aya_ebpf::helpers::generated::{
    bpf_redirect, bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_get_buff_len, bpf_xdp_load_bytes,
};
use aya_ebpf::programs::XdpContext;
use bytemuck::Pod;
use kproxy_common::{DeviceFlags, DeviceIndex, Nanoseconds, Tuple};
use kproxy_ebpf::checksum::Difference;
use kproxy_ebpf::packet::ChecksumChange;
use kproxy_ebpf::{NoWay, Packet, Tables as _, Way};

use super::maps::Maps;
use super::{ETHERNET, local_socket, skb, vlan, way};

/// Length of both addresses in an Ethernet header, which the protocol follows.
pub(super) const LINK_ADDRESSES: usize = 12;

/// A packet at an XDP hook, read and written in place. Of one in several buffers, the first is seen.
pub(crate) struct XdpPacket<'a> {
    context: &'a XdpContext,
    device: DeviceIndex,
}

impl<'a> XdpPacket<'a> {
    /// Wraps a context, and takes the tag out of a packet of a VLAN that is known. `None` for what is a matter of the kernel's.
    #[inline(always)]
    pub(crate) fn enter(context: &'a XdpContext) -> Option<Self> {
        let device = if vlan::is_tagged(context) {
            DeviceIndex(vlan::enter(context))
        } else {
            device_of(context)
        };
        (device != DeviceIndex(0)).then_some(Self { context, device })
    }

    /// Puts back what was taken out.
    #[inline(always)]
    pub(crate) fn leave(self, action: u32) -> u32 {
        if self.device == device_of(self.context) {
            return action;
        }
        vlan::leave(self.context, action)
    }

    /// Swaps the Ethernet addresses and sends the packet out by the device it came from.
    #[inline(always)]
    pub(crate) fn turn_around_and_send(&mut self) -> u32 {
        match self.turn_around() {
            Some(()) => XDP_TX,
            None => XDP_DROP,
        }
    }

    /// Sends the packet out by the way that was found for it.
    #[inline(always)]
    pub(crate) fn forward(&mut self) -> u32 {
        let (device, addresses) = way::link();
        if self.store(0, addresses).is_none() {
            return XDP_DROP;
        }
        if device == self.device() {
            return XDP_TX;
        }
        // SAFETY: the helper takes numbers only.
        let action = unsafe { bpf_redirect(device.0, 0) };
        action.cast_unsigned() as u32
    }

    /// Whether the way that was found last can be taken from here. If it leads by the same device, the packet goes out with the
    /// address by which it must have come in.
    #[inline(always)]
    fn can_take_way(&self) -> bool {
        let (device, [_, ours]) = way::link();
        if device == self.device() {
            return self.load::<[u8; 6]>(0) == Some(ours);
        }
        self.can_cross_to(device)
    }

    /// Whether another device sends the packet: its driver must, and what is in several buffers needs more of it than this.
    #[inline(always)]
    fn can_cross_to(&self, device: DeviceIndex) -> bool {
        let flags = Maps.device(device).map(|device| device.flags);
        flags.is_some_and(|flags| flags.contains(DeviceFlags::SENDS_XDP))
            && self.is_in_one_buffer()
            && self.is_for_us()
    }

    #[inline(always)]
    fn is_in_one_buffer(&self) -> bool {
        let [start, end] = bounds(self.context);
        self.length() + ETHERNET as u32 == end.wrapping_sub(start) as u32
    }
}

/// The device by which a packet has come off its wire.
#[inline(always)]
pub(super) fn device_of(context: &XdpContext) -> DeviceIndex {
    // SAFETY: the context is the hook's own and this is a plain field.
    DeviceIndex(unsafe { (*context.ctx).ingress_ifindex })
}

/// Where the first buffer begins and ends.
#[inline(always)]
fn bounds(context: &XdpContext) -> [usize; 2] {
    let context = context.ctx;
    // SAFETY: the context is the hook's own and this is a plain field.
    let start = unsafe { &raw const (*context).data };
    // SAFETY: as above.
    let end = unsafe { &raw const (*context).data_end };
    // SAFETY: as above.
    let start = unsafe { start.read_volatile() } as usize;
    // SAFETY: as above.
    let end = unsafe { end.read_volatile() } as usize;
    [start, end]
}

/// Where a value stands, if all of it is there. The bounds are loaded anew each time, as in [`SkbPacket`](super::SkbPacket).
#[inline(always)]
fn pointer<T>(context: &XdpContext, offset: usize) -> Option<*mut T> {
    let [start, end] = bounds(context);
    (start + offset + size_of::<T>() <= end).then_some((start + offset) as *mut T)
}

/// Reads a value of the first buffer.
#[inline(always)]
pub(super) fn load<T: Pod>(context: &XdpContext, offset: usize) -> Option<T> {
    let pointer = pointer::<T>(context, offset)?;
    // SAFETY: `pointer` has compared the end of the value with the end of the buffer, as the verifier demands; a
    // `Pod` has no invalid bits, and nothing is assumed about alignment.
    Some(unsafe { pointer.read_unaligned() })
}

/// Writes a value of the first buffer.
#[inline(always)]
pub(super) fn store<T: Pod>(context: &XdpContext, offset: usize, value: T) -> Option<()> {
    let pointer = pointer::<T>(context, offset)?;
    // SAFETY: within the buffer, as above, and the packet is ours until we hand it on.
    unsafe { pointer.write_unaligned(value) };
    Some(())
}

impl Packet for XdpPacket<'_> {
    const NETWORK: usize = ETHERNET;
    const EARLY: bool = true;

    #[inline(always)]
    fn is_for_us(&self) -> bool {
        let destination: Option<[u8; 6]> = self.load(0);
        let device = Maps.device(self.device());
        device.is_some_and(|device| destination == Some(device.link_address))
    }

    #[inline(always)]
    fn ethertype(&self) -> Option<u16> {
        self.load(LINK_ADDRESSES)
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        // SAFETY: the context is the hook's own.
        let length = unsafe { bpf_xdp_get_buff_len(self.context.ctx) };
        (length as u32).wrapping_sub(ETHERNET as u32)
    }

    /// Mostly the first buffer has all of it, and nobody has to be asked.
    #[inline(always)]
    fn has(&self, length: u32) -> bool {
        let [start, end] = bounds(self.context);
        let whole = ETHERNET as u32 + length;
        whole <= end.wrapping_sub(start) as u32 || length <= self.length()
    }

    /// What is many in one is made behind this hook.
    #[inline(always)]
    fn segment_size(&self) -> u32 {
        0
    }

    #[inline(always)]
    fn device(&self) -> DeviceIndex {
        self.device
    }

    #[inline(always)]
    fn is_of_node(&self) -> bool {
        false
    }

    #[inline(always)]
    fn find_way(&mut self, tuple: &Tuple, length: u32, now: Option<Nanoseconds>) -> Result<(), NoWay> {
        let context = self.context.ctx.cast();
        way::find::<true>(
            context,
            self.device(),
            (tuple, length),
            now.unwrap_or(Nanoseconds(0)),
        )?;
        if self.can_take_way() {
            Ok(())
        } else {
            Err(NoWay::NotFromHere)
        }
    }

    #[inline(always)]
    fn way(&self) -> Way {
        way::found()
    }

    #[inline(always)]
    fn has_socket(&self, tuple: &Tuple) -> bool {
        local_socket::exists(self.context.ctx.cast(), tuple)
    }

    #[inline(always)]
    fn sctp_correction(changed: u32, length: u16) -> u32 {
        skb::sctp_correction(changed, length.into())
    }

    /// The first buffer has the headers.
    #[inline(always)]
    fn reach(&mut self, _offset: usize) {}

    #[inline(always)]
    fn turn_around(&mut self) -> Option<()> {
        let [destination, source]: [[u8; 6]; 2] = self.load(0)?;
        self.store(0, [source, destination])
    }

    #[inline(always)]
    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        load(self.context, offset)
    }

    #[inline(always)]
    fn fetch<T: Pod>(&self, offset: usize) -> Option<T> {
        let mut value = T::zeroed();
        // SAFETY: the context is the hook's own, and the value is as long as said; a `Pod` may have any bits.
        let copied = unsafe {
            bpf_xdp_load_bytes(
                self.context.ctx,
                offset as u32,
                (&raw mut value).cast(),
                size_of::<T>() as u32,
            )
        };
        (copied == 0).then_some(value)
    }

    #[inline(always)]
    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        store(self.context, offset, value)
    }

    /// By hand: what comes off a wire has its checksum.
    #[inline(always)]
    fn correct_checksum(&mut self, offset: usize, change: ChecksumChange) -> Option<()> {
        let old: u16 = self.load(offset)?;
        if change.zero_is_none && old == 0 {
            return Some(());
        }
        let new = change.addresses.and(change.ports).apply(old);
        self.store(
            offset,
            if change.zero_is_none && new == 0 {
                u16::MAX
            } else {
                new
            },
        )
    }

    /// No device has summed it up yet for anybody.
    #[inline(always)]
    fn note_change(&mut self, _change: Difference) {}

    #[inline(always)]
    fn reshape(&mut self, length: usize, room: usize) -> Option<()> {
        let context = self.context.ctx;
        let surplus = (self.length() + ETHERNET as u32).wrapping_sub(length as u32);
        // SAFETY: the context is the hook's own; pointers into the packet are computed anew by every access.
        let cut = unsafe { bpf_xdp_adjust_tail(context, -(surplus as i32)) };
        if cut != 0 {
            return None;
        }
        let link: [u8; ETHERNET] = self.load(0)?;
        // SAFETY: as above.
        let opened = unsafe { bpf_xdp_adjust_head(context, -(room as i32)) };
        if opened != 0 {
            return None;
        }
        self.store(0, link)
    }
}
