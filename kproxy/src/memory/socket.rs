//! A socket at its hooks.

use std::cell::{Cell, RefCell};

use kproxy_common::{Address, SocketPeer};
use kproxy_ebpf::socket::Socket;

/// A socket with its storage.
#[derive(Clone, Debug)]
pub struct MemorySocket {
    cookie: u64,
    namespace: u64,
    bound: Option<Address>,
    connected: Cell<bool>,
    peer: RefCell<Option<SocketPeer>>,
    is_full: bool,
}

impl MemorySocket {
    /// A socket with this cookie.
    #[must_use]
    pub fn new(cookie: u64) -> Self {
        Self {
            cookie,
            namespace: 0,
            bound: None,
            connected: Cell::default(),
            peer: RefCell::default(),
            is_full: false,
        }
    }

    /// A socket for whose storage there is no memory.
    #[must_use]
    pub fn without_storage(cookie: u64) -> Self {
        Self {
            is_full: true,
            ..Self::new(cookie)
        }
    }

    /// In the network namespace with this cookie.
    #[must_use]
    pub fn in_namespace(self, namespace: u64) -> Self {
        Self { namespace, ..self }
    }

    /// Bound to this address.
    #[must_use]
    pub fn bound_to(self, address: Address) -> Self {
        Self {
            bound: Some(address),
            ..self
        }
    }

    /// Says whether the kernel has given it a peer.
    pub fn set_connected(&self, connected: bool) {
        self.connected.set(connected);
    }
}

impl Socket for MemorySocket {
    fn cookie(&self) -> u64 {
        self.cookie
    }

    fn network_namespace(&self) -> u64 {
        self.namespace
    }

    fn bound_address(&self) -> Option<Address> {
        self.bound
    }

    fn is_connected(&self) -> bool {
        self.connected.get()
    }

    fn peer(&self) -> Option<SocketPeer> {
        *self.peer.borrow()
    }

    fn remember(&self, peer: &SocketPeer) -> bool {
        if !self.is_full {
            self.peer.replace(Some(*peer));
        }
        !self.is_full
    }
}
