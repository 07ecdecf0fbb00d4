//! Constants that the agent fixes when it loads the programs, so that the verifier can fold them.

use bytemuck::{Pod, Zeroable};

use crate::address::Family;
use crate::spare::SparePorts;

/// A span of time, or a moment of the kernel's monotonic clock (`bpf_ktime_get_ns`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Pod, Zeroable)]
#[repr(transparent)]
pub struct Nanoseconds(pub u64);

impl Nanoseconds {
    /// A span of whole seconds.
    #[must_use]
    #[inline(always)]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds * 1_000_000_000)
    }

    /// Time passed since an earlier moment; 0 if that moment is in the future (another CPU's clock).
    #[must_use]
    #[inline(always)]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// The `.rodata` variable `SETTINGS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Settings {
    /// A UDP flow that was silent for longer chooses a backend anew (conntrack's stream timeout).
    pub udp_idle: Nanoseconds,
    /// A TCP flow that was silent for longer is forgotten when its client sends a SYN.
    pub tcp_idle: Nanoseconds,
    /// How old a last-seen time may get before it is written again.
    pub touch_after: Nanoseconds,
    /// Cookie of the node's own network namespace (`SO_NETNS_COOKIE`): who lives there is a process of the node. 0 if
    /// it is not known, and then no process is taken for one.
    pub node_namespace: u64,
    /// Whether the kernel's route lookup names a source address (`BPF_FIB_LOOKUP_SRC`, Linux 6.7): 0 or 1.
    pub route_source: u32,
    /// What the programs note of flows, in bytes before lookups: see [`Settings::NOTES`].
    pub notes: u32,
    /// Ports of the node's addresses that flows may take whose client's own port is taken.
    pub spare_ports: SparePorts,
    /// The families in which `NodePorts` are served on loopback addresses, to the node's own processes: see
    /// [`Settings::loopback_node_ports`].
    pub loopback_node_ports: u64,
}

const _: () = assert!(size_of::<Settings>() == 64);

impl Settings {
    /// What the programs use when the agent sets nothing else.
    pub const DEFAULT: Self = Self {
        udp_idle: Nanoseconds::from_seconds(120),
        tcp_idle: Nanoseconds::from_seconds(86_400),
        touch_after: Nanoseconds::from_seconds(1),
        node_namespace: 0,
        route_source: 1,
        notes: Self::NOTES,
        spare_ports: SparePorts::DEFAULT,
        loopback_node_ports: 0,
    };

    /// Raised whenever programs note something more of each flow that they record and rely on it: what those of a lower number have
    /// recorded is not noted. 1: [`Asking`](crate::Asking).
    pub const NOTES: u32 = 1;

    /// What to set for these families.
    #[must_use]
    pub fn loopback_node_ports(families: impl IntoIterator<Item = Family>) -> u64 {
        families.into_iter().fold(0, |set, family| set | bit(family))
    }

    /// Whether `NodePorts` are served on loopback addresses of a family.
    #[must_use]
    #[inline(always)]
    pub const fn serves_loopback(&self, family: Family) -> bool {
        self.loopback_node_ports & bit(family) != 0
    }
}

#[inline(always)]
const fn bit(family: Family) -> u64 {
    match family {
        Family::V4 => 1 << 0,
        Family::V6 => 1 << 1,
    }
}
