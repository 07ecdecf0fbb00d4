//! A socket at a `cgroup_sock_addr` hook.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::{bpf_sock, bpf_sock_addr};
use aya_ebpf::helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_set_retval};
use aya_ebpf::programs::SockAddrContext;
use kproxy_common::{Address, Family, Port, Protocol, SocketPeer};
use kproxy_ebpf::socket::{Peer, Socket, SocketVerdict};

use super::maps::SOCKET_PEERS;

/// State of a connected socket, also of UDP.
const TCP_ESTABLISHED: u32 = 1;

/// The hook lets the call go on.
const ALLOW: i32 = 1;
/// The hook fails the call, with EPERM or what `bpf_set_retval` said.
const DENY: i32 = 0;

/// A socket and the address that its process gave, or will see.
pub(crate) struct SocketAddress<'a> {
    context: &'a SockAddrContext,
    family: Family,
    /// The context says where the message comes from.
    has_message: bool,
}

impl<'a> SocketAddress<'a> {
    /// At a hook for `AF_INET`.
    #[inline(always)]
    pub(crate) const fn v4(context: &'a SockAddrContext) -> Self {
        Self {
            context,
            family: Family::V4,
            has_message: false,
        }
    }

    /// At a hook for `AF_INET6`.
    #[inline(always)]
    pub(crate) const fn v6(context: &'a SockAddrContext) -> Self {
        Self {
            context,
            family: Family::V6,
            has_message: false,
        }
    }

    /// At a hook for messages that are about to be sent.
    #[inline(always)]
    pub(crate) const fn with_message(self) -> Self {
        Self {
            has_message: true,
            ..self
        }
    }

    /// The socket's protocol, if it is one that the socket door translates.
    #[inline(always)]
    pub(crate) fn protocol(&self) -> Option<Protocol> {
        // SAFETY: a plain field of the hook's own context.
        match unsafe { (*self.raw()).protocol } {
            6 => Some(Protocol::TCP),
            17 => Some(Protocol::UDP),
            _ => None,
        }
    }

    /// The address. An IPv4-mapped IPv6 address is the IPv4 address it stands for, by the way addresses are stored.
    #[inline(always)]
    pub(crate) fn peer(&self) -> Peer {
        // SAFETY: a plain field; the kernel gives the 16 bits of the port in network order, in a 32-bit word.
        let port = unsafe { (*self.raw()).user_port };
        let address = match self.family {
            // SAFETY: a plain field, in network order.
            Family::V4 => Address::from_v4_word(unsafe { (*self.raw()).user_ip4 }),
            // SAFETY: plain fields, in network order.
            Family::V6 => Address::from_words(unsafe { (*self.raw()).user_ip6 }),
        };
        Peer {
            address,
            port: Port::from_wire(port as u16),
        }
    }

    /// Carries out the verdict on a `connect` or `sendmsg`.
    #[inline(always)]
    pub(crate) fn act(&self, verdict: SocketVerdict) -> i32 {
        match verdict {
            SocketVerdict::Pass => ALLOW,
            SocketVerdict::Translate(peer) => self.show(Some(peer)),
            SocketVerdict::Deny(errno) => {
                // SAFETY: the helper takes a number only. Kernel 5.18 and later.
                unsafe { bpf_set_retval(-errno.number()) };
                DENY
            }
        }
    }

    /// Replaces the address, if there is something to replace it by.
    #[inline(always)]
    pub(crate) fn show(&self, peer: Option<Peer>) -> i32 {
        if let Some(Peer { address, port }) = peer {
            let raw = self.raw();
            match self.family {
                // SAFETY: a field that this hook may write.
                Family::V4 => unsafe { (*raw).user_ip4 = address.v4_word() },
                Family::V6 => {
                    // SAFETY: the address of a field of the hook's own context.
                    let field = unsafe { &raw mut (*raw).user_ip6 }.cast::<u32>();
                    for (index, word) in address.words().into_iter().enumerate() {
                        // SAFETY: one of the field's four words, which this hook may write one by one.
                        unsafe { field.wrapping_add(index).write_volatile(word) };
                    }
                }
            }
            // SAFETY: as above.
            unsafe { (*raw).user_port = u32::from(port.wire()) };
        }
        ALLOW
    }

    /// The hook's socket: not null at these hooks, and alive while the hook runs.
    #[inline(always)]
    fn socket(&self) -> *mut bpf_sock {
        // SAFETY: the address of the context's socket field; the union has this member only.
        let field = unsafe { &raw const (*self.raw()).__bindgen_anon_1 }.cast::<*mut bpf_sock>();
        // SAFETY: a plain field of the hook's own context.
        unsafe { *field }
    }

    #[inline(always)]
    const fn raw(&self) -> *mut bpf_sock_addr {
        self.context.sock_addr
    }
}

impl Socket for SocketAddress<'_> {
    #[inline(always)]
    fn cookie(&self) -> u64 {
        // SAFETY: the context is the hook's own.
        unsafe { bpf_get_socket_cookie(self.context.as_ptr()) }
    }

    #[inline(always)]
    fn network_namespace(&self) -> u64 {
        // SAFETY: the context is the hook's own; the helper reads its socket's namespace. Kernel 5.7 and later.
        unsafe { bpf_get_netns_cookie(self.context.as_ptr()) }
    }

    #[inline(always)]
    fn bound_address(&self) -> Option<Address> {
        let address = match (self.has_message, self.family) {
            // SAFETY: a plain field, in network order: where the message comes from.
            (true, Family::V4) => Address::from_v4_word(unsafe { (*self.raw()).msg_src_ip4 }),
            // SAFETY: the address of a field of the hook's own context.
            (true, Family::V6) => words(unsafe { &raw const (*self.raw()).msg_src_ip6 }),
            // SAFETY: a plain field of a living socket, in network order.
            (false, Family::V4) => Address::from_v4_word(unsafe { (*self.socket()).src_ip4 }),
            // SAFETY: the address of a field of a living socket.
            (false, Family::V6) => words(unsafe { &raw const (*self.socket()).src_ip6 }),
        };
        Some(address).filter(|address| !address.is_unspecified())
    }

    #[inline(always)]
    fn is_connected(&self) -> bool {
        // SAFETY: a plain field of a living socket (`enum` in net/tcp_states.h, which UDP uses as well).
        let state = unsafe { (*self.socket()).state };
        state == TCP_ESTABLISHED
    }

    #[inline(always)]
    fn peer(&self) -> Option<SocketPeer> {
        // SAFETY: the socket of the hook's context is alive while the hook runs.
        let stored = unsafe { SOCKET_PEERS.get_ptr_mut(self.context) };
        if stored.is_null() {
            return None;
        }
        // SAFETY: not null, and socket storage lives as long as the socket; copied out at once.
        Some(unsafe { *stored })
    }

    #[inline(always)]
    fn remember(&self, peer: &SocketPeer) -> bool {
        let mut value = *peer;
        // SAFETY: as in `peer`.
        let stored = unsafe { SOCKET_PEERS.get_or_insert_ptr_mut(self.context, Some(&mut value)) };
        if stored.is_null() {
            return false;
        }
        // SAFETY: not null; a socket that was connected before has its older translation there.
        unsafe { *stored = value };
        true
    }
}

/// An IPv6 address in a context, read word by word: wider reads are refused.
#[inline(always)]
fn words(field: *const [u32; 4]) -> Address {
    let first = field.cast::<u32>();
    // SAFETY: one of the field's four words, which these hooks may read.
    Address::from_words([0, 1, 2, 3].map(|index| unsafe { first.wrapping_add(index).read_volatile() }))
}
