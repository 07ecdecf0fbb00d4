//! Sockets of the node itself.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp};
use kproxy_common::{Family, Protocol, Tuple};

/// `BPF_F_CURRENT_NETNS`: the network namespace of the device.
const THIS_NAMESPACE: u64 = u64::MAX;

/// Whether a socket would be given a packet with this tuple: one that is connected like this, or one that listens. A
/// function of its own, for the sake of the stack.
#[inline(never)]
pub(super) fn exists(context: *mut c_void, tuple: &Tuple) -> bool {
    let ports: u32 = bytemuck::cast([tuple.source_port.wire(), tuple.destination_port.wire()]);
    // `struct bpf_sock_tuple` of either family, which the kernel tells by the size.
    let (mut asked, words) = match tuple.source.family() {
        Family::V4 => {
            let (source, destination) = (tuple.source.v4_word(), tuple.destination.v4_word());
            ([source, destination, ports, 0, 0, 0, 0, 0, 0], 3)
        }
        Family::V6 => {
            let mut words = [0; 9];
            let (source, rest) = words.split_at_mut(4);
            source.copy_from_slice(&tuple.source.words());
            let (destination, last) = rest.split_at_mut(4);
            destination.copy_from_slice(&tuple.destination.words());
            last.copy_from_slice(&[ports]);
            (words, 9)
        }
    };
    let (asked, size) = ((&raw mut asked).cast(), words * size_of::<u32>() as u32);
    let socket = match tuple.protocol {
        // SAFETY: the context is the hook's own and the tuple as long as said.
        Protocol::TCP => unsafe { bpf_skc_lookup_tcp(context, asked, size, THIS_NAMESPACE, 0) },
        // SAFETY: as above.
        Protocol::UDP => unsafe { bpf_sk_lookup_udp(context, asked, size, THIS_NAMESPACE, 0) },
        _ => return false,
    };
    if socket.is_null() {
        return false;
    }
    // SAFETY: the lookup has handed out this socket, which is not used any more.
    unsafe { bpf_sk_release(socket.cast()) };
    true
}
