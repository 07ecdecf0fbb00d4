//! What the socket door remembers, so that a process sees the service address as its peer.

use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Port};
use crate::backend::{BackendIndex, Generation};
use crate::check::check;
use crate::frontend::ServiceId;
use crate::settings::Nanoseconds;

/// Socket storage: what a socket that has asked for a service is to its process. Ordered as [`crate::Flow`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SocketPeer {
    /// The address the process asked for when it connected.
    pub service_address: Address,
    /// The address it got.
    pub backend_address: Address,
    /// Generation of the backend's record.
    pub generation: Generation,
    /// The service port.
    pub service: ServiceId,
    /// The backend's record.
    pub backend: BackendIndex,
    /// Not 0 if it has sent to a service without connecting, and `SOCKET_FLOWS` knows more.
    pub sends: u32,
    /// Always 0.
    pub padding: u32,
    /// The port the process asked for.
    pub service_port: Port,
    /// The port it got; 0 if it is not connected to a service.
    pub backend_port: Port,
}

const _: () = assert!(size_of::<SocketPeer>() == 56);

/// What the iterator over `SOCKET_PEERS` writes: a UDP socket whose backend is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct StalePeer {
    /// The kernel's cookie of the socket, by which `sock_diag` knows it as well.
    pub cookie: u64,
    /// What the socket door remembers of it.
    pub peer: SocketPeer,
}

const _: () = assert!(size_of::<StalePeer>() == 64);

/// The key of `SOCKET_FLOWS`: one peer of an unconnected UDP socket, seen from either side of the translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct SocketFlowKey {
    /// The kernel's cookie of the socket (`bpf_get_socket_cookie`).
    pub cookie: u64,
    /// A service address when sending, a backend's address when receiving.
    pub address: Address,
    /// The port that goes with it.
    pub port: Port,
    /// 0 when sending, 1 when receiving.
    pub receiving: u16,
    /// Always 0.
    pub padding: u32,
}

const _: () = assert!(size_of::<SocketFlowKey>() == 32);

impl SocketFlowKey {
    /// The fingerprint that a value carries of this key.
    #[must_use]
    #[inline(always)]
    pub const fn check(&self) -> u16 {
        let [a, b] = self.address.halves();
        check([
            self.cookie,
            a,
            b,
            (self.port.wire() as u64) << 16 | self.receiving as u64,
        ]) as u16
    }
}

/// The value of `SOCKET_FLOWS`: what stands for that peer on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SocketFlow {
    /// When the process last sent to this peer.
    pub seen: Nanoseconds,
    /// The backend's address when sending, the service's when receiving.
    pub address: Address,
    /// The port that goes with it.
    pub port: Port,
    /// [`SocketFlowKey::check`] of the key.
    pub check: u16,
    /// The service port.
    pub service: ServiceId,
    /// The backend's record.
    pub backend: BackendIndex,
    /// That record's generation.
    pub generation: Generation,
}

const _: () = assert!(size_of::<SocketFlow>() == 40);
