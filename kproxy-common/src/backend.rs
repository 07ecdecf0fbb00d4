//! Backends: one record per endpoint of a service port.
//!
//! A record belongs to one service port in one family. Two services with the same pods have two records, so that a
//! record's generation alone tells a flow whether *its service* still has *its endpoint*.

use bitflags::bitflags;
use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Port};
use crate::frontend::ServiceId;

/// An index into `BACKENDS`. Index 0 is never used, so that a zeroed slot points at nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct BackendIndex(pub u32);

/// Counts how often a record was freed. A flow whose generation differs belongs to a backend that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Generation(pub u32);

/// Counts how often an endpoint came into the sets of its service. Affinity of an earlier stay is void (semantics 6.06),
/// while flows go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct Epoch(pub u32);

bitflags! {
    /// State of a backend record.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
    #[repr(transparent)]
    pub struct BackendFlags: u16 {
        /// The record is in use. Cleared, together with a new generation, when the endpoint is gone.
        const ALIVE = 1 << 0;
        /// The endpoint runs on this node.
        const LOCAL = 1 << 1;
        /// The endpoint is in its service's Cluster set.
        const IN_CLUSTER_SET = 1 << 2;
        /// The endpoint is in its service's Local set.
        const IN_LOCAL_SET = 1 << 3;
    }
}

/// The value of `BACKENDS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Backend {
    /// The endpoint's address.
    pub address: Address,
    /// The endpoint's port.
    pub port: Port,
    /// State.
    pub flags: BackendFlags,
    /// How often this record was freed before.
    pub generation: Generation,
    /// The service port this record belongs to.
    pub service: ServiceId,
    /// Which stay in its service's sets this is.
    pub epoch: Epoch,
}

const _: () = assert!(size_of::<Backend>() == 32);
