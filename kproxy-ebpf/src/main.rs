//! The kernel programs: entry points that wrap their context, ask the library and carry out its answer.

#![no_std]
#![no_main]
#![expect(
    missing_docs,
    unreachable_pub,
    clippy::needless_pass_by_value,
    reason = "the entry point macros want public functions that own their context, and generate undocumented ones"
)]

mod kernel;

use core::ffi::c_void;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::{cgroup_sock_addr, classifier, xdp};
use aya_ebpf::programs::{SockAddrContext, TcContext, XdpContext};
use kernel::{BarePacket, EthernetPacket, Maps, SkbPacket, SocketAddress, StoredPeer, XdpPacket};
use kproxy_ebpf::{Action, Scratch, Verdict, forward, reject, reply, socket};

/// Requests of a pod: TC ingress at the host end of its interface.
#[classifier]
pub fn pod_ingress(context: TcContext) -> i32 {
    let packet = EthernetPacket::new(&context);
    if packet.is_of_a_vlan() {
        return TC_ACT_UNSPEC;
    }
    decide(packet, forward::pod_ingress)
}

/// Answers to a pod: TC egress at the host end of its interface.
#[classifier]
pub fn pod_egress(context: TcContext) -> i32 {
    let packet = EthernetPacket::new(&context);
    if packet.is_of_a_vlan() {
        return TC_ACT_UNSPEC;
    }
    decide(packet, reply::pod_egress)
}

/// Packets from outside: TC ingress of a device with Ethernet headers.
#[classifier]
pub fn uplink_ingress(context: TcContext) -> i32 {
    from_outside(EthernetPacket::new(&context))
}

/// Answers to the outside: TC egress of a device with Ethernet headers.
#[classifier]
pub fn uplink_egress(context: TcContext) -> i32 {
    if EthernetPacket::was_sent_on(&context) {
        return TC_ACT_UNSPEC;
    }
    to_outside(EthernetPacket::new(&context))
}

/// Packets from outside: TC ingress of a device without.
#[classifier]
pub fn bare_ingress(context: TcContext) -> i32 {
    from_outside(BarePacket::new(&context))
}

/// Answers to the outside: TC egress of a device without.
#[classifier]
pub fn bare_egress(context: TcContext) -> i32 {
    if BarePacket::was_sent_on(&context) {
        return TC_ACT_UNSPEC;
    }
    to_outside(BarePacket::new(&context))
}

/// Packets from outside, before the kernel has made anything of them: what leaves the node again.
#[xdp(frags)]
pub fn uplink_xdp(context: XdpContext) -> u32 {
    early(&context)
}

/// The same behind the driver, on packets of the kernel's (generic XDP). Of each that may be in several buffers the kernel would make a
/// copy that lacks the length of its Ethernet header (`skb_pp_cow_data`, since Linux 6.9), and TC would not find anything in it.
#[xdp]
pub fn uplink_xdp_generic(context: XdpContext) -> u32 {
    early(&context)
}

#[inline(always)]
fn early(context: &XdpContext) -> u32 {
    let Some(scratch) = kernel::scratch() else {
        return XDP_PASS;
    };
    let Some(mut packet) = XdpPacket::enter(context) else {
        return XDP_PASS;
    };
    let verdict = forward::uplink_ingress(&mut packet, &Maps, scratch);
    let action = match verdict.action() {
        Action::Continue | Action::Requeue => XDP_PASS,
        Action::Drop => XDP_DROP,
        Action::TurnAround => packet.turn_around_and_send(),
        Action::Forward => packet.forward(),
        Action::Refuse(refusal) => match reject::refuse(&mut packet, &Maps, refusal) {
            Some(()) => XDP_TX,
            None => XDP_DROP,
        },
    };
    packet.leave(action)
}

#[inline(always)]
fn from_outside<const LINK: usize>(packet: SkbPacket<'_, LINK>) -> i32 {
    if !packet.is_ours() {
        return TC_ACT_UNSPEC;
    }
    decide(packet, forward::uplink_ingress)
}

#[inline(always)]
fn to_outside<const LINK: usize>(packet: SkbPacket<'_, LINK>) -> i32 {
    if packet.is_tagged() {
        return TC_ACT_UNSPEC;
    }
    decide(packet, reply::uplink_egress)
}

/// Asks the library about a packet.
#[inline(always)]
fn decide<'a, const LINK: usize>(
    mut packet: SkbPacket<'a, LINK>,
    door: impl FnOnce(&mut SkbPacket<'a, LINK>, &Maps, &mut Scratch) -> Verdict,
) -> i32 {
    let Some(scratch) = kernel::scratch() else {
        return TC_ACT_UNSPEC;
    };
    let verdict = door(&mut packet, &Maps, scratch);
    act(packet, verdict)
}

/// Carries out a verdict. Whatever goes on is left to the programs behind us on the device.
#[inline(always)]
fn act<const LINK: usize>(mut packet: SkbPacket<'_, LINK>, verdict: Verdict) -> i32 {
    kernel::log(&packet, verdict);
    match verdict.action() {
        Action::Continue => TC_ACT_UNSPEC,
        Action::Drop => TC_ACT_SHOT,
        Action::TurnAround => packet.turn_around_and_send(),
        Action::Forward => packet.forward(),
        Action::Requeue => packet.requeue(),
        Action::Refuse(refusal) => match reject::refuse(&mut packet, &Maps, refusal) {
            Some(()) => packet.send_back(),
            None => TC_ACT_SHOT,
        },
    }
}

/// `connect` of an `AF_INET` socket.
#[cgroup_sock_addr(connect4)]
pub fn connect4(context: SockAddrContext) -> i32 {
    connect(&SocketAddress::v4(&context))
}

/// `connect` of an `AF_INET6` socket, also to an IPv4-mapped address.
#[cgroup_sock_addr(connect6)]
pub fn connect6(context: SockAddrContext) -> i32 {
    connect(&SocketAddress::v6(&context))
}

#[inline(always)]
fn connect(address: &SocketAddress<'_>) -> i32 {
    address.act(match address.protocol() {
        Some(protocol) => socket::connect(address, &Maps, address.peer(), protocol),
        None => socket::SocketVerdict::Pass,
    })
}

/// `sendto` or `sendmsg` with a destination, `AF_INET`.
#[cgroup_sock_addr(sendmsg4)]
pub fn sendmsg4(context: SockAddrContext) -> i32 {
    send(&SocketAddress::v4(&context).with_message())
}

/// `sendto` or `sendmsg` with a destination, `AF_INET6`.
#[cgroup_sock_addr(sendmsg6)]
pub fn sendmsg6(context: SockAddrContext) -> i32 {
    send(&SocketAddress::v6(&context).with_message())
}

#[inline(always)]
fn send(address: &SocketAddress<'_>) -> i32 {
    address.act(socket::send(address, &Maps, address.peer()))
}

/// `recvfrom` or `recvmsg` that asks for the sender, `AF_INET`.
#[cgroup_sock_addr(recvmsg4)]
pub fn recvmsg4(context: SockAddrContext) -> i32 {
    receive(&SocketAddress::v4(&context))
}

/// `recvfrom` or `recvmsg` that asks for the sender, `AF_INET6`.
#[cgroup_sock_addr(recvmsg6)]
pub fn recvmsg6(context: SockAddrContext) -> i32 {
    receive(&SocketAddress::v6(&context))
}

#[inline(always)]
fn receive(address: &SocketAddress<'_>) -> i32 {
    address.show(socket::receive(address, &Maps, address.peer()))
}

/// `getpeername`, `AF_INET`.
#[cgroup_sock_addr(getpeername4)]
pub fn getpeername4(context: SockAddrContext) -> i32 {
    peer_name(&SocketAddress::v4(&context))
}

/// `getpeername`, `AF_INET6`.
#[cgroup_sock_addr(getpeername6)]
pub fn getpeername6(context: SockAddrContext) -> i32 {
    peer_name(&SocketAddress::v6(&context))
}

#[inline(always)]
fn peer_name(address: &SocketAddress<'_>) -> i32 {
    address.show(socket::peer_name(address, address.peer()))
}

/// For each socket in `SOCKET_PEERS`: writes those down that are UDP and have lost their backend.
#[expect(
    unsafe_code,
    reason = "aya-ebpf 0.2 has no macro for iterators, which is no more than this"
)]
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
pub extern "C" fn stale_peers(context: *mut c_void) -> i32 {
    if let Some(stored) = StoredPeer::of_udp(context)
        && socket::has_lost_its_backend(&Maps, &stored.peer())
    {
        stored.write_down();
    }
    0
}

/// The library does not panic, and the linker drops this; the target demands it.
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
