//! The seam between the library and the kernel: the only unsafe code on the kernel side.

#![expect(
    unsafe_code,
    reason = "contexts, packets and maps are raw pointers on the kernel side"
)]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "helpers take 32-bit offsets into packets far smaller, and 16-bit fields in 32-bit words"
)]

mod local_socket;
mod maps;
mod skb;
mod sock_addr;
mod sock_storage;
mod vlan;
mod way;
mod xdp;

pub(crate) use maps::{Maps, scratch};
pub(crate) use skb::{BarePacket, EthernetPacket, SkbPacket};
pub(crate) use sock_addr::SocketAddress;
pub(crate) use sock_storage::StoredPeer;
pub(crate) use xdp::XdpPacket;

use kproxy_ebpf::Verdict;

/// Length of an Ethernet header.
const ETHERNET: usize = 14;

/// Logs a decision through aya-log, in builds made for debugging.
///
/// A function of its own in the kernel: inlined, its stack would come on top of the deepest chain of calls, which then
/// has more than the 512 bytes that the verifier allows.
#[cfg(feature = "debug-log")]
#[inline(never)]
pub(crate) fn log<const LINK: usize>(packet: &SkbPacket<'_, LINK>, verdict: Verdict) {
    if let Some(counter) = verdict.counter() {
        aya_log_ebpf::debug!(packet.context(), "{}", counter.name());
    }
}

/// Nothing: other builds have no log.
#[cfg(not(feature = "debug-log"))]
#[inline(always)]
pub(crate) fn log<const LINK: usize>(_packet: &SkbPacket<'_, LINK>, _verdict: Verdict) {}

/// The helpers that we call are for GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
