//! Names and sizes of the maps, and the version of their layout.

/// Part of the pin path. Raised whenever a key, a value or their meaning changes.
pub const LAYOUT_VERSION: u32 = 1;

/// `hash`: [`crate::Address`] -> [`crate::AddressRole`].
pub const ADDRESSES: &str = "ADDRESSES";
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
/// Socket storage: [`crate::SocketPeer`].
pub const SOCKET_PEERS: &str = "SOCKET_PEERS";
/// `LRU hash`: [`crate::SocketFlowKey`] -> [`crate::SocketFlow`].
pub const SOCKET_FLOWS: &str = "SOCKET_FLOWS";
/// Per-CPU `array`: [`crate::counter::index`] -> `u64`.
pub const COUNTERS: &str = "COUNTERS";

/// Every map, in the order in which they are listed above.
pub const ALL: &[&str] = &[
    ADDRESSES,
    FRONTENDS,
    SLOTS,
    BACKENDS,
    FLOWS,
    FLOWS_NEW,
    SOCKET_PEERS,
    SOCKET_FLOWS,
    COUNTERS,
];
