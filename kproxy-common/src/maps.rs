//! Names and sizes of the maps, and the version of their layout.

use crate::address::Family;

/// Part of the pin path. Raised whenever a key, a value or their meaning changes.
pub const LAYOUT_VERSION: u32 = 4;

/// `hash`: [`crate::Address`] -> [`crate::AddressRole`].
pub const ADDRESSES: &str = "ADDRESSES";
/// `array`, mmap-able: [`crate::gate::Place::word`] -> eight [`crate::gate::Sign`]s.
pub const GATE: &str = "GATE";
/// `hash`: [`crate::FrontendKey`] -> [`crate::Frontend`].
pub const FRONTENDS: &str = "FRONTENDS";
/// `array`, mmap-able: `u32` -> [`crate::BackendIndex`].
pub const SLOTS: &str = "SLOTS";
/// `array`, mmap-able: [`crate::BackendIndex`] -> [`crate::Backend`].
pub const BACKENDS: &str = "BACKENDS";
/// `LRU hash`: [`crate::Tuple`] -> [`crate::Flow`], flows whose peer has answered.
pub const FLOWS: &str = "FLOWS";
/// `LRU hash`: [`crate::Tuple`] -> [`crate::Flow`], flows whose peer has not answered yet.
pub const FLOWS_NEW: &str = "FLOWS_NEW";
/// `array` of one: [`crate::Answering`].
pub const ANSWERING: &str = "ANSWERING";
/// `array` of one: [`crate::Asking`].
pub const ASKING: &str = "ASKING";
/// Socket storage: [`crate::SocketPeer`].
pub const SOCKET_PEERS: &str = "SOCKET_PEERS";
/// `LRU hash`: [`crate::SocketFlowKey`] -> [`crate::SocketFlow`].
pub const SOCKET_FLOWS: &str = "SOCKET_FLOWS";
/// `LRU hash`: [`crate::AffinityKey`] -> [`crate::Affinity`].
pub const AFFINITY: &str = "AFFINITY";
/// `LPM trie`: prefix length and [`crate::SourceRange`] -> `u32`, always 1.
pub const SOURCE_RANGES: &str = "SOURCE_RANGES";
/// `array`: `u32` -> [`crate::AddressRange`], up to the first unset one; [`SERVICE_CIDRS_MAX`] entries.
pub const SERVICE_CIDRS: &str = "SERVICE_CIDRS";
/// `array`: [`family_index`] -> [`crate::Address`], the node's own address that Kubernetes knows, or unspecified.
pub const NODE_ADDRESSES: &str = "NODE_ADDRESSES";
/// `array`: [`family_index`] -> [`crate::AddressRange`], the addresses that the local-traffic detector takes for pods'.
pub const POD_RANGES: &str = "POD_RANGES";
/// `hash`: [`crate::DeviceIndex`] -> [`crate::Device`].
pub const DEVICES: &str = "DEVICES";
/// `hash`: [`crate::Vlan`] -> [`crate::DeviceIndex`].
pub const VLANS: &str = "VLANS";
/// `LRU hash`: [`crate::SnatKey`] -> [`crate::PortSearch`].
pub const SNAT_PORTS: &str = "SNAT_PORTS";
/// `LRU hash`: [`crate::FragmentKey`] -> [`crate::Fragment`].
pub const FRAGMENTS: &str = "FRAGMENTS";
/// `hash`: [`crate::ServiceId`] -> [`crate::ServiceName`], for people only; may name ids that are free again.
pub const SERVICE_NAMES: &str = "SERVICE_NAMES";
/// `array` of one: [`crate::Settings`], those of the programs in force, which can not be read back from them without
/// more privileges than the agent has.
pub const LOADED_SETTINGS: &str = "LOADED_SETTINGS";
/// Per-CPU `array`: [`crate::counter::index`] -> `u64`.
pub const COUNTERS: &str = "COUNTERS";

/// Every map, in the order in which they are listed above.
pub const ALL: &[&str] = &[
    ADDRESSES,
    GATE,
    FRONTENDS,
    SLOTS,
    BACKENDS,
    FLOWS,
    FLOWS_NEW,
    ANSWERING,
    ASKING,
    SOCKET_PEERS,
    SOCKET_FLOWS,
    AFFINITY,
    SOURCE_RANGES,
    SERVICE_CIDRS,
    NODE_ADDRESSES,
    POD_RANGES,
    DEVICES,
    VLANS,
    SNAT_PORTS,
    FRAGMENTS,
    SERVICE_NAMES,
    LOADED_SETTINGS,
    COUNTERS,
];

/// Entries of `SERVICE_CIDRS`: both families together.
pub const SERVICE_CIDRS_MAX: u32 = 32;

/// Entries of `DEVICES`.
pub const DEVICES_MAX: u32 = 4_096;

/// Entries of `VLANS`.
pub const VLANS_MAX: u32 = 4_096;

/// Entries of maps that have one for each family.
pub const FAMILIES: u32 = 2;

/// The index of a family's entry in maps that have one for each family.
#[must_use]
#[inline(always)]
pub const fn family_index(family: Family) -> u32 {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}
