//! What pinned maps hold, and how much they can hold.

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{
    Address, AddressRange, AddressRole, Backend, BackendIndex, Device, DeviceIndex, Family, Frontend,
    FrontendKey, RangeSetId, Vlan,
};

use crate::model::Cidr;

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
    /// Entries of `SOURCE_RANGES`.
    pub source_ranges: u32,
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
    /// All of `SOURCE_RANGES`, by set.
    pub source_ranges: BTreeMap<RangeSetId, BTreeSet<Cidr>>,
    /// `SERVICE_CIDRS` from index 0; what is missing at the end is unset.
    pub service_cidrs: Vec<AddressRange>,
    /// What `NODE_ADDRESSES` says; what is missing is unspecified.
    pub node_addresses: BTreeMap<Family, Address>,
    /// What `POD_RANGES` says; what is missing is unset.
    pub pod_ranges: BTreeMap<Family, AddressRange>,
    /// All of `DEVICES`.
    pub devices: BTreeMap<DeviceIndex, Device>,
    /// All of `VLANS`.
    pub vlans: BTreeMap<Vlan, DeviceIndex>,
}
