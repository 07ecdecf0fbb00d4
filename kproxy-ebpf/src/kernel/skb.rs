//! A packet at a TC hook.

use aya_ebpf::bindings::{
    BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, TC_ACT_SHOT, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
};
use aya_ebpf::helpers::generated::{
    bpf_csum_update, bpf_l4_csum_replace, bpf_redirect, bpf_skb_adjust_room, bpf_skb_change_tail,
};
use aya_ebpf::programs::TcContext;
use bytemuck::Pod;
use kproxy_ebpf::Packet;
use kproxy_ebpf::packet::ChecksumChange;

/// The most that is read of a packet's headers: Ethernet, IPv4 with all options, TCP without.
const HEADERS: u32 = 14 + 60 + 20;

/// A packet at a TC hook, read and written in place.
pub(crate) struct SkbPacket<'a> {
    context: &'a TcContext,
}

impl<'a> SkbPacket<'a> {
    /// Wraps a context. Headers that lie in page fragments are pulled into the linear part, where they can be read.
    #[inline(always)]
    pub(crate) fn new(context: &'a TcContext) -> Self {
        let wanted = context.len().min(HEADERS);
        if context.data() + wanted as usize > context.data_end() {
            // If it fails, the packet is short of headers, and is judged so.
            let _ = context.pull_data(wanted);
        }
        Self { context }
    }

    /// The context, for the log.
    #[cfg(feature = "debug-log")]
    pub(crate) fn context(&self) -> &TcContext {
        self.context
    }

    /// Sends the packet out by the device it came from.
    #[inline(always)]
    pub(crate) fn send_back(&self) -> i32 {
        // SAFETY: the context is the hook's own and its ifindex a plain field.
        let ifindex = unsafe { (*self.context.skb.skb).ifindex };
        // SAFETY: the helper takes numbers only. Flags 0 mean egress of that device.
        let action = unsafe { bpf_redirect(ifindex, 0) };
        action as i32
    }

    /// Swaps the Ethernet addresses and sends the packet out by the device it came from.
    #[inline(always)]
    pub(crate) fn turn_around_and_send(&mut self) -> i32 {
        match self.turn_around() {
            Some(()) => self.send_back(),
            None => TC_ACT_SHOT,
        }
    }

    #[inline(always)]
    fn pointer<T>(&self, offset: usize) -> Option<*mut T> {
        let start = self.context.data();
        (start + offset + size_of::<T>() <= self.context.data_end()).then_some((start + offset) as *mut T)
    }
}

impl Packet for SkbPacket<'_> {
    #[inline(always)]
    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        let pointer = self.pointer::<T>(offset)?;
        // SAFETY: `pointer` has compared the end of the value with the end of the packet, as the verifier demands;
        // a `Pod` has no invalid bits, and nothing is assumed about alignment.
        Some(unsafe { pointer.read_unaligned() })
    }

    #[inline(always)]
    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        let pointer = self.pointer::<T>(offset)?;
        // SAFETY: within the packet, as above. The verifier's prologue has made the packet private before the first
        // direct write (`bpf_unclone_prologue`).
        unsafe { pointer.write_unaligned(value) };
        Some(())
    }

    /// By the kernel's helper, which knows whether the checksum is there already or a device shall complete it.
    #[inline(always)]
    fn correct_checksum(&mut self, offset: usize, change: ChecksumChange) -> Option<()> {
        let skb = self.context.skb.skb;
        let zero = if change.zero_is_none {
            u64::from(BPF_F_MARK_MANGLED_0)
        } else {
            0
        };
        let (addresses, ports) = (change.addresses, change.ports);
        if !addresses.is_none() {
            let flags = u64::from(BPF_F_PSEUDO_HDR) | zero;
            // SAFETY: the context is the hook's own; a size of 0 in the flags means that `to` is a difference.
            let result =
                unsafe { bpf_l4_csum_replace(skb, offset as u32, 0, u64::from(addresses.wide()), flags) };
            if result != 0 {
                return None;
            }
            if change.bare_network_header {
                // For CHECKSUM_COMPLETE the helper corrects the device's sum as if a header checksum had swallowed
                // the change of the addresses. IPv6 has none, so the sum of the packet is what it was: undo it.
                // SAFETY: as above. It fails, rightly, when the device gave no sum.
                unsafe { bpf_csum_update(skb, addresses.wide()) };
            }
        }
        if !ports.is_none() {
            // SAFETY: as above; without the pseudo header flag a partial checksum is left alone.
            let result = unsafe { bpf_l4_csum_replace(skb, offset as u32, 0, u64::from(ports.wide()), zero) };
            if result != 0 {
                return None;
            }
        }
        Some(())
    }

    #[inline(always)]
    fn reshape(&mut self, length: usize, room: usize) -> Option<()> {
        let skb = self.context.skb.skb;
        // SAFETY: the context is the hook's own; pointers into the packet are computed anew by every access.
        let cut = unsafe { bpf_skb_change_tail(skb, length as u32, 0) };
        if cut != 0 {
            return None;
        }
        // SAFETY: as above.
        let opened = unsafe { bpf_skb_adjust_room(skb, room as i32, BPF_ADJ_ROOM_MAC, 0) };
        (opened == 0).then_some(())
    }
}
