//! A packet at a TC hook.

use aya_ebpf::bindings::{
    BPF_F_INGRESS, BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, TC_ACT_SHOT, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
};
use aya_ebpf::helpers::generated::{
    bpf_csum_update, bpf_l4_csum_replace, bpf_redirect, bpf_skb_adjust_room, bpf_skb_change_head,
    bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_vlan_pop,
};
use aya_ebpf::programs::TcContext;
use bytemuck::Pod;
use kproxy_common::{DeviceIndex, Nanoseconds, Tuple};
use kproxy_ebpf::checksum::Difference;
use kproxy_ebpf::packet::{BY_FRAGS, ChecksumChange};
use kproxy_ebpf::{NoWay, Packet, Way, wire};

use super::way;
use super::{ETHERNET, local_socket};

/// `skb->pkt_type` of a packet that came in for this machine.
const PACKET_HOST: u32 = 0;
/// What `skb->tc_index` of a packet is that the way in has sent on, for the way out to know. No packet comes into the node with an
/// index, and the programs behind us on the way out find none.
const SENT_ON: u32 = 0x6b70;
/// The VLAN in a tag control information (IEEE 802.1Q); 0 for a tag that gives only a priority.
const VLAN: u32 = 0x0fff;

/// A packet at a TC hook of a device with Ethernet headers.
pub(crate) type EthernetPacket<'a> = SkbPacket<'a, ETHERNET>;
/// A packet at a TC hook of a device without link headers (tun, `WireGuard`, IPIP).
pub(crate) type BarePacket<'a> = SkbPacket<'a, 0>;

/// A packet at a TC hook, read and written in place. `LINK` is the length of the device's link headers.
pub(crate) struct SkbPacket<'a, const LINK: usize> {
    context: &'a TcContext,
}

impl<'a, const LINK: usize> SkbPacket<'a, LINK> {
    /// Wraps a context. Headers that lie in page fragments are pulled into the linear part, where they can be read, and no more than
    /// those: to pull a byte of what a socket has sent and keeps itself (TCP) is to copy all that is linear.
    #[inline(always)]
    pub(crate) fn new(context: &'a TcContext) -> Self {
        let mut packet = Self { context };
        packet.reach(LINK + wire::headers(packet.protocol()));
        packet
    }

    /// The ethertype, by the kernel's word: what comes in accelerated has its VLAN tag beside it.
    #[inline(always)]
    fn protocol(&self) -> u16 {
        // SAFETY: the context is the hook's own and this is a plain field.
        unsafe { (*self.context.skb.skb).protocol as u16 }
    }

    /// Whether a packet that leaves is one that the way in has sent on, translated.
    #[inline(always)]
    pub(crate) fn was_sent_on(context: &TcContext) -> bool {
        let skb = context.skb.skb;
        // SAFETY: the context is the hook's own and this is a plain field.
        if unsafe { (*skb).tc_index } != SENT_ON {
            return false;
        }
        // SAFETY: as above.
        unsafe { (*skb).tc_index = 0 };
        true
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

    /// Puts the packet at the end of this CPU's queue (`dev_forward_skb_nomtu`, `netif_rx`), to come in again by the device
    /// it has come in by.
    #[inline(always)]
    pub(crate) fn requeue(&self) -> i32 {
        // SAFETY: the context is the hook's own and its ifindex a plain field.
        let ifindex = unsafe { (*self.context.skb.skb).ifindex };
        // SAFETY: the helper takes numbers only.
        let action = unsafe { bpf_redirect(ifindex, u64::from(BPF_F_INGRESS)) };
        action as i32
    }

    /// Whether the packet is for this machine, and no VLAN device's. What a bridge or a promiscuous device overhears is
    /// another machine's, and what has a VLAN tag comes again by the VLAN's own device.
    #[inline(always)]
    pub(crate) fn is_ours(&self) -> bool {
        // SAFETY: the context is the hook's own and this is a plain field.
        let kind = unsafe { (*self.context.skb.skb).pkt_type };
        kind == PACKET_HOST && !self.is_of_a_vlan()
    }

    /// Whether the packet carries a VLAN tag beside it that names a VLAN: on another link than what has none, where the
    /// addresses of services may mean something else.
    #[inline(always)]
    pub(crate) fn is_of_a_vlan(&self) -> bool {
        // SAFETY: the context is the hook's own and this is a plain field.
        let tag = unsafe { (*self.context.skb.skb).vlan_tci };
        self.is_tagged() && tag & VLAN != 0
    }

    /// Whether the packet carries a VLAN tag beside it, which the VLAN's own device has put there.
    #[inline(always)]
    pub(crate) fn is_tagged(&self) -> bool {
        // SAFETY: the context is the hook's own and this is a plain field.
        unsafe { (*self.context.skb.skb).vlan_present != 0 }
    }

    /// Sends the packet out by the way that was found for it.
    #[inline(always)]
    pub(crate) fn forward(&mut self) -> i32 {
        let skb = self.context.skb.skb;
        if self.is_tagged() {
            // A priority tag of the way in means nothing on the way out.
            // SAFETY: the context is the hook's own; pointers into the packet are computed anew by every access.
            let popped = unsafe { bpf_skb_vlan_pop(skb) };
            if popped != 0 {
                return TC_ACT_SHOT;
            }
        }
        if LINK == 0 {
            // `__bpf_redirect_neigh` takes packets with Ethernet headers only, and takes them off.
            // SAFETY: as above.
            let opened = unsafe { bpf_skb_change_head(skb, ETHERNET as u32, 0) };
            if opened != 0 {
                return TC_ACT_SHOT;
            }
        }
        // SAFETY: as above, and a field that programs may write.
        unsafe { (*skb).tc_index = SENT_ON };
        if LINK != 0 && way::has_link() {
            let (_, addresses) = way::link();
            return match self.store(0, addresses) {
                Some(()) => way::take_link(),
                None => TC_ACT_SHOT,
            };
        }
        way::take().unwrap_or(TC_ACT_SHOT)
    }

    /// Swaps the Ethernet addresses and sends the packet out by the device it came from.
    #[inline(always)]
    pub(crate) fn turn_around_and_send(&mut self) -> i32 {
        match self.turn_around() {
            Some(()) => self.send_back(),
            None => TC_ACT_SHOT,
        }
    }

    /// Where a value stands, if all of it is there. The bounds are loaded anew each time: the compiler would keep them as
    /// 32-bit numbers from one access to the next, and the verifier forgets what a register is that is cut to 32 bits.
    #[inline(always)]
    fn pointer<T>(&self, offset: usize) -> Option<*mut T> {
        let skb = self.context.skb.skb;
        // SAFETY: the context is the hook's own and this is a plain field.
        let start = unsafe { &raw const (*skb).data };
        // SAFETY: as above.
        let end = unsafe { &raw const (*skb).data_end };
        // SAFETY: as above.
        let start = unsafe { start.read_volatile() } as usize;
        // SAFETY: as above.
        let end = unsafe { end.read_volatile() } as usize;
        (start + offset + size_of::<T>() <= end).then_some((start + offset) as *mut T)
    }
}

impl<const LINK: usize> Packet for SkbPacket<'_, LINK> {
    const NETWORK: usize = LINK;

    // The entry point has asked.
    #[inline(always)]
    fn is_for_us(&self) -> bool {
        true
    }

    #[inline(always)]
    fn ethertype(&self) -> Option<u16> {
        Some(self.protocol())
    }

    #[inline(always)]
    fn length(&self) -> u32 {
        self.context.len().wrapping_sub(LINK as u32)
    }

    #[inline(always)]
    fn segment_size(&self) -> u32 {
        // SAFETY: the context is the hook's own and this is a plain field.
        unsafe { (*self.context.skb.skb).gso_size }
    }

    #[inline(always)]
    fn device(&self) -> DeviceIndex {
        // SAFETY: the context is the hook's own and this is a plain field.
        DeviceIndex(unsafe { (*self.context.skb.skb).ifindex })
    }

    #[inline(always)]
    fn is_of_node(&self) -> bool {
        // The device that it came in by stays with a packet that is routed or redirected (`skb_iif`).
        // SAFETY: the context is the hook's own and this is a plain field.
        unsafe { (*self.context.skb.skb).ingress_ifindex == 0 }
    }

    #[inline(always)]
    fn find_way(&mut self, tuple: &Tuple, length: u32, now: Option<Nanoseconds>) -> Result<(), NoWay> {
        let context = self.context.skb.skb.cast();
        way::find::<false>(
            context,
            self.device(),
            (tuple, length),
            now.unwrap_or(Nanoseconds(0)),
        )?;
        way::fits_in_segments(self.context.skb.skb)
    }

    #[inline(always)]
    fn way(&self) -> Way {
        way::found()
    }

    #[inline(always)]
    fn has_socket(&self, tuple: &Tuple) -> bool {
        local_socket::exists(self.context.skb.skb.cast(), tuple)
    }

    #[inline(always)]
    fn sctp_correction(changed: u32, length: u16) -> u32 {
        sctp_correction(changed, length.into())
    }

    #[inline(always)]
    fn reach(&mut self, offset: usize) {
        let wanted = self.context.len().min(offset as u32);
        // What is pulled out of packets that are cut at the ends of their fragments leaves them in disorder (`skb_segment`).
        if self.context.data() + wanted as usize > self.context.data_end() && self.segment_size() != BY_FRAGS
        {
            // If it fails, the packet is short of headers, and is judged so.
            let _ = self.context.pull_data(wanted);
        }
    }

    #[inline(always)]
    fn turn_around(&mut self) -> Option<()> {
        if LINK == 0 {
            return Some(());
        }
        let [d0, d1, d2, s0, s1, s2]: [u16; 6] = self.load(0)?;
        self.store(0, [s0, s1, s2, d0, d1, d2])
    }

    #[inline(always)]
    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        let pointer = self.pointer::<T>(offset)?;
        // SAFETY: `pointer` has compared the end of the value with the end of the packet, as the verifier demands;
        // a `Pod` has no invalid bits, and nothing is assumed about alignment.
        Some(unsafe { pointer.read_unaligned() })
    }

    #[inline(always)]
    fn fetch<T: Pod>(&self, offset: usize) -> Option<T> {
        let mut value = T::zeroed();
        // SAFETY: the context is the hook's own, and the value is as long as said; a `Pod` may have any bits.
        let copied = unsafe {
            bpf_skb_load_bytes(
                self.context.skb.skb.cast_const().cast(),
                offset as u32,
                (&raw mut value).cast(),
                size_of::<T>() as u32,
            )
        };
        (copied == 0).then_some(value)
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
    fn note_change(&mut self, change: Difference) {
        // SAFETY: the context is the hook's own. It fails, rightly, when the device gave no sum.
        unsafe { bpf_csum_update(self.context.skb.skb, change.wide()) };
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

/// Global, which makes the verifier follow its loops once and not for every state that a caller may be in.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn sctp_correction(changed: u32, length: u32) -> u32 {
    kproxy_ebpf::crc32c::correction(changed, length as u16)
}
