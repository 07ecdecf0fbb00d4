//! What pinned maps hold, and how much they can hold.

use std::collections::BTreeMap;

use kproxy_common::{Address, AddressRole, Backend, BackendIndex, Frontend, FrontendKey};

/// Entries per map. Nothing is planned that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Entries of `ADDRESSES`.
    pub addresses: u32,
    /// Entries of `FRONTENDS`.
    pub frontends: u32,
    /// Entries of `SLOTS`.
    pub slots: u32,
    /// Entries of `BACKENDS`, of which index 0 is never used.
    pub backends: u32,
}

/// Everything the maps of the plan hold, as it was read. Nothing in it is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapContents {
    /// All of `ADDRESSES`.
    pub addresses: BTreeMap<Address, AddressRole>,
    /// All of `FRONTENDS`.
    pub frontends: BTreeMap<FrontendKey, Frontend>,
    /// `SLOTS` from index 0; what is missing at the end is zero.
    pub slots: Vec<BackendIndex>,
    /// `BACKENDS` from index 0; what is missing at the end is zero.
    pub backends: Vec<Backend>,
}
