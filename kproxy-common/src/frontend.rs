//! Service addresses and the runs of backends behind them.

use bitflags::bitflags;
use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Port, Protocol};
use crate::check::check;
use crate::range::RangeSetId;

bitflags! {
    /// What an address is to the data plane: the value of `ADDRESSES`, the gate that every packet meets first.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
    #[repr(transparent)]
    pub struct AddressRole: u32 {
        /// A frontend stands on this address, or has: flows may be there.
        const SERVICE = 1 << 0;
        /// An address of this node under which NodePorts are served.
        const NODE = 1 << 1;
        /// The ClusterIP of a service that is served: its other ports are rejected (semantics 4.08).
        const CLUSTER_IP = 1 << 2;
        /// The ClusterIP of a service that is not served here: what is sent there is somebody else's, and never dropped
        /// as unallocated.
        const EXEMPT = 1 << 3;
        /// Bound to a device of this node: what is no service there is the node's own, wherever ClusterIPs come from
        /// (semantics 4.13), nobody outside has it, and answers to clients whom the node stands in for come back to it.
        const OWN = 1 << 4;
    }
}

/// The key of `FRONTENDS`. A NodePort is stored under [`Address::unspecified`] of its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct FrontendKey {
    /// The service address.
    pub address: Address,
    /// The service port.
    pub port: Port,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// Always 0.
    pub padding: u32,
}

const _: () = assert!(size_of::<FrontendKey>() == 24);

impl FrontendKey {
    /// The fingerprint that a value carries of this key.
    #[must_use]
    #[inline(always)]
    pub const fn check(&self) -> u32 {
        let [a, b] = self.address.halves();
        check([
            a,
            b,
            (self.port.wire() as u64) << 16 | self.protocol.number() as u64,
        ])
    }

    /// The key of one service address, port and protocol.
    #[must_use]
    #[inline(always)]
    pub const fn new(address: Address, port: Port, protocol: Protocol) -> Self {
        Self {
            address,
            port,
            protocol,
            padding: 0,
        }
    }

    /// The key of the `NodePort` with this port and protocol, in the address's family.
    #[must_use]
    #[inline(always)]
    pub const fn node_port(&self) -> Self {
        Self {
            address: Address::unspecified(self.address.family()),
            ..*self
        }
    }
}

/// Identifies one service port in one family for as long as it exists on this node. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct ServiceId(pub u32);

/// A run of slots in the arena: `SLOTS[base..base + count]`. A count of 0 is an empty set, whatever the base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct SlotRun {
    /// Index of the first slot.
    pub base: u32,
    /// Number of slots.
    pub count: u32,
}

bitflags! {
    /// What is special about a frontend.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
    #[repr(transparent)]
    pub struct FrontendFlags: u32 {
        /// An empty inside set drops instead of rejecting: endpoints exist, but policy forbids them here.
        const DROP_INSIDE = 1 << 0;
        /// The same for the outside set.
        const DROP_OUTSIDE = 1 << 1;
        /// The address is the service's ClusterIP; all others are external frontends.
        const CLUSTER_IP = 1 << 2;
        /// A NodePort, stored under the unspecified address of its family.
        const NODE_PORT = 1 << 3;
        /// The address is one of the service's externalIPs.
        const EXTERNAL_IP = 1 << 4;
        /// The address is one of the service's load-balancer IPs.
        const LOAD_BALANCER = 1 << 5;
        /// The inside set is the service's Local set, and not its Cluster set.
        const INSIDE_LOCAL = 1 << 6;
        /// The same for the outside set.
        const OUTSIDE_LOCAL = 1 << 7;
        /// Clients outside are balanced by a hash and not by chance, see [`crate::maglev`]. The outside run has more slots
        /// than backends then, unless it has one backend, or the arena no room.
        const MAGLEV = 1 << 8;
    }
}

/// The value of `FRONTENDS`: all that a new flow needs to know, replaced as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Frontend {
    /// The service port behind this frontend; its backends carry the same id.
    pub service: ServiceId,
    /// What is special about it.
    pub flags: FrontendFlags,
    /// Session affinity by client address in seconds, 0 for none.
    pub affinity_seconds: u32,
    /// Who may ask.
    pub ranges: RangeSetId,
    /// Backends for clients inside the cluster.
    pub inside: SlotRun,
    /// Backends for everybody else.
    pub outside: SlotRun,
    /// [`FrontendKey::check`] of the key.
    pub check: u32,
    /// Always 0.
    pub padding: u32,
}

const _: () = assert!(size_of::<Frontend>() == 40);
