//! A socket and its value in `SOCKET_PEERS`, as an iterator over that map meets them.

use core::ffi::c_void;

use aya_ebpf::bindings::seq_file;
use aya_ebpf::helpers::generated::{bpf_get_socket_cookie, bpf_seq_write, bpf_skc_to_tcp_sock};
use kproxy_common::{SocketPeer, StalePeer};

/// `struct bpf_iter__bpf_sk_storage_map` (`net/core/bpf_sk_storage.c`, 5.10). Every field is 64 bits wide.
#[repr(C)]
struct Context {
    meta: *const Meta,
    map: *const c_void,
    socket: *mut c_void,
    value: *const SocketPeer,
}

/// The beginning of `struct bpf_iter_meta` (include/linux/bpf.h).
#[repr(C)]
struct Meta {
    output: *mut seq_file,
}

/// A UDP socket and what the socket door remembers of it.
pub(crate) struct StoredPeer {
    output: *mut seq_file,
    socket: *mut c_void,
    peer: SocketPeer,
}

impl StoredPeer {
    /// `None` for a TCP socket, and at the end of the iteration, which is told with null pointers.
    #[inline(always)]
    pub(crate) fn of_udp(context: *mut c_void) -> Option<Self> {
        // Volatile: a pointer that is read twice is a new one to the verifier, which has not seen it compared with null.
        // SAFETY: the program's own context, which is made of these four.
        let context = unsafe { context.cast::<Context>().read_volatile() };
        let Context {
            meta,
            map: _,
            socket,
            value,
        } = context;
        if socket.is_null() || value.is_null() {
            return None;
        }
        // SAFETY: the socket is not null and alive while the program runs.
        if !unsafe { bpf_skc_to_tcp_sock(socket) }.is_null() {
            return None;
        }
        // SAFETY: never null, and the first field of a struct that lives while the program runs.
        let output = unsafe { (*meta).output };
        // SAFETY: not null, and as long as the map's values, which the kernel has compared; copied out at once.
        let peer = unsafe { *value };
        Some(Self { output, socket, peer })
    }

    #[inline(always)]
    pub(crate) fn peer(&self) -> SocketPeer {
        self.peer
    }

    /// Hands it to whoever reads the iterator.
    #[inline(always)]
    pub(crate) fn write_down(&self) {
        let found = StalePeer {
            // SAFETY: the socket is not null and alive while the program runs.
            cookie: unsafe { bpf_get_socket_cookie(self.socket) },
            peer: self.peer,
        };
        // Too much for the present read: the kernel notices, and shows this socket again at the next one.
        // SAFETY: the output is the iterator's own, and the memory is on this program's stack, initialised to its end.
        let _ = unsafe {
            bpf_seq_write(
                self.output,
                (&raw const found).cast(),
                size_of::<StalePeer>() as u32,
            )
        };
    }
}
