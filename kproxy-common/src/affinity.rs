//! Session affinity: which backend a client was given last.
//!
//! The client's address is the one that Kubernetes means: the pod's, the node's for its own processes, the sender's for
//! clients outside. A record counts only while its backend is in the set that the frontend offers this client.

use bytemuck::{Pod, Zeroable};

use crate::address::Address;
use crate::backend::{BackendIndex, Epoch, Generation};
use crate::check::check;
use crate::frontend::ServiceId;
use crate::settings::Nanoseconds;

/// The key of `AFFINITY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct AffinityKey {
    /// The client.
    pub client: Address,
    /// The service port, which all its frontends share.
    pub service: ServiceId,
    /// Always 0.
    pub padding: u32,
}

const _: () = assert!(size_of::<AffinityKey>() == 24);

impl AffinityKey {
    /// The key of one client at one service port.
    #[must_use]
    #[inline(always)]
    pub const fn new(client: Address, service: ServiceId) -> Self {
        Self {
            client,
            service,
            padding: 0,
        }
    }

    /// The fingerprint that a value carries of this key.
    #[must_use]
    #[inline(always)]
    pub const fn check(&self) -> u32 {
        let [a, b] = self.client.halves();
        check([a, b, self.service.0 as u64])
    }
}

/// The value of `AFFINITY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Affinity {
    /// When the client last began a connection: the timeout slides with new connections only.
    pub seen: Nanoseconds,
    /// The backend's record.
    pub backend: BackendIndex,
    /// That record's generation.
    pub generation: Generation,
    /// That record's epoch.
    pub epoch: Epoch,
    /// [`AffinityKey::check`] of the key.
    pub check: u32,
}

const _: () = assert!(size_of::<Affinity>() == 24);
