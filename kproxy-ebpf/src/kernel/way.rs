//! Routes: the kernel's lookup, and the way out by what it found.

use core::ffi::c_void;

use aya_ebpf::bindings::{
    __sk_buff, BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_FWD_DISABLED, BPF_FIB_LKUP_RET_NO_NEIGH,
    BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LOOKUP_SRC, bpf_check_mtu_flags::BPF_MTU_CHK_SEGS,
    bpf_check_mtu_ret::BPF_MTU_CHK_RET_SEGS_TOOBIG, bpf_fib_lookup, bpf_redir_neigh,
    bpf_redir_neigh__bindgen_ty_1,
};
use aya_ebpf::helpers::generated::{
    bpf_check_mtu, bpf_fib_lookup as fib_lookup, bpf_redirect, bpf_redirect_neigh,
};
use kproxy_common::{Address, DeviceIndex, Family, Nanoseconds, Tuple};
use kproxy_ebpf::packet::BY_FRAGS;
use kproxy_ebpf::{NoWay, Tables, Way};

use super::maps::{Maps, WAY, WAYS};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// For how long a way is not looked up again. Routes and neighbours that change are obeyed after it, far within the time
/// in which anybody hears of them, and a busy flow asks for its way once where it asked for each packet.
const FRESH: Nanoseconds = Nanoseconds(10_000_000);

/// The way that was found last.
#[repr(C)]
pub(super) struct Last {
    way: bpf_fib_lookup,
    /// Not 0 if it is not this one, but a known one: its place and 1.
    known: u32,
}

/// A way that was found a moment ago.
#[repr(C)]
pub(super) struct Known {
    tuple: Tuple,
    found: Nanoseconds,
    way: bpf_fib_lookup,
    /// Where its packets come in.
    device: DeviceIndex,
    /// Not 0 if the neighbour's address on the link, an Ethernet, is in it.
    has_link: u32,
}

impl Known {
    /// A power of two.
    pub(super) const PLACES: u32 = 256;

    /// Where a flow's way is kept.
    #[inline(always)]
    pub(super) fn place(tuple: &Tuple) -> u32 {
        let ([a, b], [c, d]) = (tuple.source.halves(), tuple.destination.halves());
        let ports = u64::from(tuple.source_port.wire()) << 16 | u64::from(tuple.destination_port.wire());
        let mixed = a ^ b ^ c ^ d ^ ports;
        let mixed = mixed ^ mixed >> 32;
        let mixed = mixed ^ mixed >> 16;
        (mixed ^ mixed >> 8) as u32 % Self::PLACES
    }

    /// Whether it is the way of packets that become this and come in there.
    #[inline(always)]
    fn is_of(&self, device: DeviceIndex, tuple: &Tuple, now: Nanoseconds) -> bool {
        now.since(self.found) < FRESH && self.device == device && self.tuple == *tuple
    }
}

/// Finds a way and keeps it on this CPU: the one that was found a moment ago, or else the one that is looked up. Whoever gives no
/// time (0) has it looked up. The neighbour's address on the link must be known already if the way shall be `WHOLE`; else it is asked
/// for, and waited for, when the packet is sent. A function of its own, for the sake of the stack.
#[inline(never)]
pub(super) fn find<const WHOLE: bool>(
    context: *mut c_void,
    device: DeviceIndex,
    (tuple, length): (&Tuple, u32),
    now: Nanoseconds,
) -> Result<(), NoWay> {
    let place = Known::place(tuple);
    let (Some(last), Some(known)) = (WAY.get_ptr_mut(0), WAYS.get_ptr_mut(place)) else {
        return Err(NoWay::Unreachable);
    };
    // SAFETY: the entry is this CPU's own, and array entries live as long as the map.
    let last = unsafe { &mut *last };
    // SAFETY: as above. It begins as zeros, which are a value of this type, and only we write it.
    let known = unsafe { &mut *known };
    // Without a length nobody asks how much fits.
    let may_be_known = length != 0 && now != Nanoseconds(0);
    if may_be_known && known.is_of(device, tuple, now) {
        last.known = place + 1;
        // SAFETY: all members of this union are numbers of the same size.
        let mtu = unsafe { known.way.__bindgen_anon_1.mtu_result };
        return if length > u32::from(mtu) {
            Err(NoWay::TooBig)
        } else {
            Ok(())
        };
    }
    last.known = 0;
    let is_whole = look_up(context, device, (tuple, length), &mut last.way)?;
    if WHOLE && !is_whole {
        return Err(NoWay::NotFromHere);
    }
    if may_be_known && is_whole {
        known.tuple = *tuple;
        known.device = device;
        copy(&last.way, &mut known.way);
        known.has_link = u32::from(is_ethernet(&last.way));
        known.found = now;
    }
    Ok(())
}

/// Copies word by word: the compiler's own copy is a function that goes by bytes.
#[inline(always)]
fn copy(from: &bpf_fib_lookup, to: &mut bpf_fib_lookup) {
    const WORDS: usize = size_of::<bpf_fib_lookup>() / size_of::<u32>();
    let (from, to) = (
        core::ptr::from_ref(from).cast::<u32>(),
        core::ptr::from_mut(to).cast::<u32>(),
    );
    for word in 0..WORDS {
        // SAFETY: within a value that begins at a multiple of four, and of which every bit pattern is one.
        let value = unsafe { from.wrapping_add(word).read_volatile() };
        // SAFETY: as above.
        unsafe { to.wrapping_add(word).write_volatile(value) };
    }
}

/// Whether a way leads by a device that sends with this Ethernet address.
#[inline(always)]
fn is_ethernet(way: &bpf_fib_lookup) -> bool {
    let device = Maps.device(DeviceIndex(way.ifindex));
    device.is_some_and(|device| device.link_address != [0; 6] && device.link_address == way.smac)
}

/// Looks a way up. Whether it is known to the neighbour's address on the link.
#[inline(always)]
fn look_up(
    context: *mut c_void,
    device: DeviceIndex,
    (tuple, length): (&Tuple, u32),
    way: &mut bpf_fib_lookup,
) -> Result<bool, NoWay> {
    let family = tuple.source.family();
    let mut flags = 0;
    if tuple.source.is_unspecified() && Maps.settings().route_source != 0 {
        flags |= BPF_FIB_LOOKUP_SRC;
    }
    way.l4_protocol = tuple.protocol.number();
    way.sport = tuple.source_port.wire();
    way.dport = tuple.destination_port.wire();
    way.__bindgen_anon_1.tot_len = length.min(u32::from(u16::MAX)) as u16;
    way.ifindex = device.0;
    way.__bindgen_anon_2.rt_metric = 0;
    match family {
        Family::V4 => {
            way.family = AF_INET;
            way.__bindgen_anon_3.ipv4_src = tuple.source.v4_word();
            way.__bindgen_anon_4.ipv4_dst = tuple.destination.v4_word();
        }
        Family::V6 => {
            way.family = AF_INET6;
            way.__bindgen_anon_3.ipv6_src = tuple.source.words();
            way.__bindgen_anon_4.ipv6_dst = tuple.destination.words();
        }
    }
    way.__bindgen_anon_5.tbid = 0;
    // SAFETY: the context is the hook's own, and the parameters are as long as said.
    let found = unsafe {
        fib_lookup(
            context,
            core::ptr::from_mut(way),
            size_of::<bpf_fib_lookup>() as i32,
            flags,
        )
    };
    match u32::try_from(found) {
        Ok(BPF_FIB_LKUP_RET_SUCCESS) => Ok(true),
        Ok(BPF_FIB_LKUP_RET_NO_NEIGH) => Ok(false),
        // Without a length the kernel compares the packet's own, whoever asked.
        Ok(BPF_FIB_LKUP_RET_FRAG_NEEDED) if length == 0 => Ok(false),
        Ok(BPF_FIB_LKUP_RET_FRAG_NEEDED) => Err(NoWay::TooBig),
        Ok(BPF_FIB_LKUP_RET_FWD_DISABLED) => Err(NoWay::NotForwarding),
        Ok(_) | Err(_) => Err(NoWay::Unreachable),
    }
}

/// Whether all packets fit their device that are in one as their sender has cut them, as `ip_forward` asks
/// (`skb_gso_validate_network_len`). That a route is narrower than its device can not be asked: the sender learns it when it
/// repeats one of them alone.
#[inline(always)]
pub(super) fn fits_in_segments(skb: *mut __sk_buff) -> Result<(), NoWay> {
    // SAFETY: the context is the hook's own and this is a plain field.
    let segment_size = unsafe { (*skb).gso_size };
    if segment_size != BY_FRAGS {
        return Ok(());
    }
    let Some(way) = WAY.get_ptr_mut(0) else {
        return Err(NoWay::Unreachable);
    };
    // SAFETY: the entry is this CPU's own, and array entries live as long as the map.
    let Last { way, .. } = unsafe { &mut *way };
    let mut mtu = 0;
    // SAFETY: the context is the hook's own, and the length is a number of this function's.
    let answer = unsafe { bpf_check_mtu(skb.cast(), way.ifindex, &raw mut mtu, 0, BPF_MTU_CHK_SEGS.into()) };
    if u32::try_from(answer) == Ok(BPF_MTU_CHK_RET_SEGS_TOOBIG) {
        way.__bindgen_anon_1.mtu_result = mtu as u16;
        return Err(NoWay::TooBig);
    }
    Ok(())
}

/// The way that was found last on this CPU, and whether it has the neighbour's address on the link.
#[inline(always)]
fn last() -> Option<(&'static bpf_fib_lookup, bool)> {
    let last = WAY.get(0)?;
    match last.known.checked_sub(1) {
        Some(place) => WAYS.get(place).map(|known| (&known.way, known.has_link != 0)),
        None => Some((&last.way, false)),
    }
}

/// The way that was found last on this CPU.
#[inline(always)]
pub(super) fn found() -> Way {
    let nowhere = Way {
        device: DeviceIndex(0),
        source: None,
        mtu: 0,
    };
    let Some((way, _)) = last() else {
        return nowhere;
    };
    let source = if way.family == AF_INET {
        // SAFETY: all members of this union are numbers.
        Address::from_v4_word(unsafe { way.__bindgen_anon_3.ipv4_src })
    } else {
        // SAFETY: as above.
        Address::from_words(unsafe { way.__bindgen_anon_3.ipv6_src })
    };
    // SAFETY: all members of this union are numbers of the same size.
    let mtu = unsafe { way.__bindgen_anon_1.mtu_result };
    Way {
        device: DeviceIndex(way.ifindex),
        source: (!source.is_unspecified()).then_some(source),
        mtu: mtu.into(),
    }
}

/// The way that was found last on its link: by which device, and to and from which addresses.
#[inline(always)]
pub(super) fn link() -> (DeviceIndex, [[u8; 6]; 2]) {
    match last() {
        Some((way, _)) => (DeviceIndex(way.ifindex), [way.dmac, way.smac]),
        None => (DeviceIndex(0), [[0; 6]; 2]),
    }
}

/// Whether the link's addresses of the way that was found last can be relied on. A neighbour is asked whenever its way is looked
/// up, so that one that is in use is not forgotten.
#[inline(always)]
pub(super) fn has_link() -> bool {
    last().is_some_and(|(_, has_link)| has_link)
}

/// Sends the packet out by the way that was found last, with the Ethernet addresses that it has.
#[inline(always)]
pub(super) fn take_link() -> i32 {
    let ifindex = last().map_or(0, |(way, _)| way.ifindex);
    // SAFETY: the helper takes numbers only. Flags 0 mean egress of that device.
    let action = unsafe { bpf_redirect(ifindex, 0) };
    action as i32
}

/// Sends the packet out by the way that was found last, to the neighbour that it names.
#[inline(always)]
pub(super) fn take() -> Option<i32> {
    let (way, _) = last()?;
    // A gateway may be of the other family (RFC 9229).
    let mut neighbour = bpf_redir_neigh {
        nh_family: way.family.into(),
        __bindgen_anon_1: bpf_redir_neigh__bindgen_ty_1 {
            // SAFETY: all members of this union are numbers, and this one covers them all.
            ipv6_nh: unsafe { way.__bindgen_anon_4.ipv6_dst },
        },
    };
    // SAFETY: the parameters are as long as said.
    let action = unsafe {
        bpf_redirect_neigh(
            way.ifindex,
            &raw mut neighbour,
            size_of::<bpf_redir_neigh>() as i32,
            0,
        )
    };
    Some(action as i32)
}
