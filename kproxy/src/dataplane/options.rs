//! What the data plane is told when it is opened.

use std::path::PathBuf;

use kproxy_common::{Settings, maps};

use super::early::XdpMode;
use super::hooks::DeviceHooks;
use crate::plan::Capacity;

/// How and where to open the data plane.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where maps and links are pinned; below a BPF file system.
    pub pin_dir: PathBuf,
    /// The cgroup v2 directory whose processes get the socket door.
    pub cgroup: PathBuf,
    /// How large the maps are.
    pub sizes: Sizes,
    /// Constants of the kernel programs. `node_namespace` is filled in if it is 0: by the caller's network namespace.
    pub settings: Settings,
    /// How programs are put on devices.
    pub device_hooks: DeviceHooks,
    /// Where XDP decides on what comes in by uplinks.
    pub xdp: XdpMode,
}

/// Entries per map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Different service addresses.
    pub addresses: u32,
    /// Service addresses with their ports and protocols.
    pub frontends: u32,
    /// Places in backend sets, eight bytes each. A changed set needs its place twice for a moment.
    pub slots: u32,
    /// Endpoints of service ports.
    pub backends: u32,
    /// Directions of translated connections whose peer has answered.
    pub flows: u32,
    /// Directions of translated connections whose peer has not answered yet.
    pub flows_new: u32,
    /// Peers of unconnected UDP sockets.
    pub socket_flows: u32,
    /// Clients that stay with their backends, once for each service port.
    pub affinity: u32,
    /// Ranges of clients that may ask services. A changed set needs its place twice for a moment.
    pub source_ranges: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            addresses: 65_536,
            frontends: 65_536,
            slots: 1_048_576,
            backends: 262_144,
            flows: 262_144,
            flows_new: 65_536,
            socket_flows: 65_536,
            affinity: 65_536,
            source_ranges: 65_536,
        }
    }
}

impl Sizes {
    /// No map at all.
    pub const NONE: Self = Self {
        addresses: 0,
        frontends: 0,
        slots: 0,
        backends: 0,
        flows: 0,
        flows_new: 0,
        socket_flows: 0,
        affinity: 0,
        source_ranges: 0,
    };

    /// What the plan may fill.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        let &Self {
            addresses,
            frontends,
            slots,
            backends,
            flows: _,
            flows_new: _,
            socket_flows: _,
            affinity: _,
            source_ranges,
        } = self;
        Capacity {
            addresses,
            frontends,
            slots,
            backends,
            source_ranges,
        }
    }

    /// Entries by name of the map; the object fixes those of the others.
    pub(super) fn by_map(&self) -> [(&'static str, u32); 10] {
        let &Self {
            addresses,
            frontends,
            slots,
            backends,
            flows,
            flows_new,
            socket_flows,
            affinity,
            source_ranges,
        } = self;
        [
            (maps::ADDRESSES, addresses),
            (maps::FRONTENDS, frontends),
            (maps::SLOTS, slots),
            (maps::BACKENDS, backends),
            (maps::FLOWS, flows),
            (maps::FLOWS_NEW, flows_new),
            (maps::SOCKET_FLOWS, socket_flows),
            (maps::AFFINITY, affinity),
            (maps::SOURCE_RANGES, source_ranges),
            // Every service port has a frontend, and an id rests for a moment before it is given out again.
            (maps::SERVICE_NAMES, frontends.saturating_mul(2)),
        ]
    }
}
