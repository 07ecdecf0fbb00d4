//! The output: map writes in a safe order, and what could not be planned.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use kproxy_common::{
    Address, AddressRange, AddressRole, Backend, BackendIndex, Device, DeviceIndex, Family, Frontend,
    FrontendKey, RangeSetId, Vlan,
};

use crate::model::Cidr;

use super::wanted::{Endpoint, ServicePortName};

/// One map write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fill a record of `BACKENDS`, or change the flags of a living one.
    WriteBackend {
        /// Which record.
        index: BackendIndex,
        /// Its new content.
        backend: Backend,
    },
    /// Fill a run of `SLOTS` that no frontend points at yet.
    WriteSlots {
        /// Index of the first slot.
        base: u32,
        /// The slots from there on.
        slots: Vec<BackendIndex>,
    },
    /// Add a range to a set of source ranges that no frontend points at yet.
    PutSourceRange {
        /// Which set.
        set: RangeSetId,
        /// The range.
        range: Cidr,
    },
    /// Remove a range of a set that no frontend points at any more.
    RemoveSourceRange {
        /// Which set.
        set: RangeSetId,
        /// The range.
        range: Cidr,
    },
    /// Write an element of `SERVICE_CIDRS`.
    WriteServiceCidr {
        /// Which element.
        index: u32,
        /// The range, unset at the end of the list.
        range: AddressRange,
    },
    /// Write an element of `NODE_ADDRESSES`.
    WriteNodeAddress {
        /// The family.
        family: Family,
        /// The node's address, unspecified if it is not known.
        address: Address,
    },
    /// Write an element of `POD_RANGES`.
    WritePodRange {
        /// The family.
        family: Family,
        /// The addresses, unset if they tell nobody apart.
        range: AddressRange,
    },
    /// Write an entry of `DEVICES`.
    PutDevice {
        /// Its key.
        index: DeviceIndex,
        /// What is known of the device.
        device: Device,
    },
    /// Remove an entry of `DEVICES`.
    RemoveDevice {
        /// Its key.
        index: DeviceIndex,
    },
    /// Write an entry of `VLANS`.
    PutVlan {
        /// Its key.
        vlan: Vlan,
        /// The VLAN's own device.
        device: DeviceIndex,
    },
    /// Remove an entry of `VLANS`.
    RemoveVlan {
        /// Its key.
        vlan: Vlan,
    },
    /// Open the address gate.
    PutAddress {
        /// The key of `ADDRESSES`.
        address: Address,
        /// What the address is now.
        role: AddressRole,
    },
    /// Create a frontend or swap it to other backends.
    PutFrontend {
        /// The key of `FRONTENDS`.
        key: FrontendKey,
        /// Its new value.
        frontend: Frontend,
    },
    /// Remove an entry of `FRONTENDS`.
    RemoveFrontend {
        /// Its key.
        key: FrontendKey,
    },
    /// Remove an entry of `ADDRESSES`.
    RemoveAddress {
        /// Its key.
        address: Address,
    },
    /// Mark a record of `BACKENDS` as gone: stale UDP flows leave it at once.
    RetireBackend {
        /// Which record.
        index: BackendIndex,
        /// Its last content: not alive, with the next generation.
        backend: Backend,
    },
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WriteBackend { index, backend } => {
                write!(f, "write BACKENDS[{}] = {}", index.0, at(backend))
            }
            Self::WriteSlots { base, slots } => write!(f, "write {} slots at SLOTS[{base}]", slots.len()),
            Self::PutSourceRange { set, range } => write!(f, "put SOURCE_RANGES[{} {range}]", set.0),
            Self::RemoveSourceRange { set, range } => write!(f, "remove SOURCE_RANGES[{} {range}]", set.0),
            Self::WriteServiceCidr { index, .. } => write!(f, "write SERVICE_CIDRS[{index}]"),
            Self::WriteNodeAddress { family, address } => {
                write!(f, "write NODE_ADDRESSES[{family}] = {address}")
            }
            Self::WritePodRange { family, range } if range.is_unset() => {
                write!(f, "write POD_RANGES[{family}] = nothing")
            }
            Self::WritePodRange { family, range } => write!(f, "write POD_RANGES[{family}] = {range}"),
            Self::PutDevice { index, .. } => write!(f, "put DEVICES[{}]", index.0),
            Self::RemoveDevice { index } => write!(f, "remove DEVICES[{}]", index.0),
            Self::PutVlan {
                vlan: Vlan { parent, id },
                device,
            } => write!(f, "put VLANS[{}.{id}] = {}", parent.0, device.0),
            Self::RemoveVlan {
                vlan: Vlan { parent, id },
            } => write!(f, "remove VLANS[{}.{id}]", parent.0),
            Self::PutAddress { address, .. } => write!(f, "put ADDRESSES[{address}]"),
            Self::PutFrontend { key, .. } => write!(f, "put FRONTENDS[{}]", Listener(*key)),
            Self::RemoveFrontend { key } => write!(f, "remove FRONTENDS[{}]", Listener(*key)),
            Self::RemoveAddress { address } => write!(f, "remove ADDRESSES[{address}]"),
            Self::RetireBackend { index, backend } => {
                write!(f, "retire BACKENDS[{}] = {}", index.0, at(backend))
            }
        }
    }
}

fn at(backend: &Backend) -> Endpoint {
    Endpoint {
        address: backend.address,
        port: backend.port,
    }
}

/// A frontend's key as people write it: `10.96.0.10:53 UDP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener(pub FrontendKey);

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(FrontendKey {
            address,
            port,
            protocol,
            padding: _,
        }) = *self;
        write!(f, "{} {protocol}", Endpoint { address, port })
    }
}

/// An action and the service port it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What to write.
    pub action: Action,
    /// For whom; `None` for an address (it may stand for several services) and for left-overs of an earlier run.
    pub service: Option<Arc<ServicePortName>>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, service } = self;
        match service {
            Some(service) => write!(f, "{action} for {service}"),
            None => write!(f, "{action}"),
        }
    }
}

/// Map writes in an order in which every prefix is safe, and what could not be done as wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be done in this order. Stopping anywhere is safe; the next start adopts what is there and heals.
    pub steps: Vec<Step>,
    /// Sorted by service; those of the node first.
    pub problems: Vec<Problem>,
    /// The service ports that were looked at, also those that go: their problems are all in this plan.
    pub considered: BTreeSet<Arc<ServicePortName>>,
    /// The frontends of UDP that lead to a backend from now on and did not before. Where a backend itself has the same
    /// address and port, it is none of them: who sends there may well mean the backend.
    pub newly_served: BTreeSet<FrontendKey>,
}

/// Why a service port is not served as wanted, or the node not known as it is. It is tried again when room returns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Which service port; `None` if it is about the node.
    pub service: Option<Arc<ServicePortName>>,
    /// What is wrong.
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, kind } = self;
        match service {
            Some(service) => write!(f, "{service}: {kind}"),
            None => write!(f, "this node: {kind}"),
        }
    }
}

impl std::error::Error for Problem {}

/// What stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum ProblemKind {
    /// A map is too small for all endpoints of the service, so it keeps those it had.
    #[error(
        "no room for its endpoints in map {map} ({entries} entries); it keeps its former ones; raise --{option}"
    )]
    NoRoomForEndpoints {
        /// The map.
        map: &'static str,
        /// Its size.
        entries: u32,
        /// The option of `kproxy run` that sets it.
        option: &'static str,
    },
    /// A map is too small for the Maglev table of the service, whose clients outside are balanced by their hash all the
    /// same.
    #[error(
        "no room for a Maglev table of {slots} slots in map {map} ({entries} entries, of which a quarter is for all else); \
         when its endpoints change, most clients outside get another one; raise --slots"
    )]
    NoRoomForTable {
        /// How large it would be.
        slots: u32,
        /// The map.
        map: &'static str,
        /// Its size.
        entries: u32,
    },
    /// A map is too small for the ranges of clients that may ask the service, so it stays as it was.
    #[error(
        "no room for its source ranges in map {map} ({entries} entries); it stays as it was; raise --{option}"
    )]
    NoRoomForSourceRanges {
        /// The map.
        map: &'static str,
        /// Its size.
        entries: u32,
        /// The option of `kproxy run` that sets it.
        option: &'static str,
    },
    /// A map is too small for an address of the node.
    #[error(
        "no room for {address} in map {map} ({entries} entries); NodePorts are not served there, and answers to it do \
         not reach clients outside; raise --{option}"
    )]
    NoRoomForNodeAddress {
        /// The address.
        address: Address,
        /// The map.
        map: &'static str,
        /// Its size.
        entries: u32,
        /// The option of `kproxy run` that sets it.
        option: &'static str,
    },
    /// A map is too small for ClusterIPs of services that are not served.
    #[error(
        "no room for {addresses} ClusterIPs of services in map {map} ({entries} entries); as long as that is so, packets \
         to ClusterIPs of no service are left alone; raise --{option}"
    )]
    NoRoomForClusterIps {
        /// How many.
        addresses: usize,
        /// The map.
        map: &'static str,
        /// Its size.
        entries: u32,
        /// The option of `kproxy run` that sets it.
        option: &'static str,
    },
    /// There are more ranges of ClusterIPs than the data plane looks at.
    #[error(
        "the data plane knows {entries} ranges of ClusterIPs; packets to addresses of {range} that are no service's are left alone"
    )]
    TooManyServiceCidrs {
        /// The range that is left out.
        range: Cidr,
        /// How many there can be.
        entries: u32,
    },
    /// There are more devices with addresses than the data plane has room for.
    #[error(
        "the data plane knows {entries} devices; {devices} others have no address there: towards backends that are reached \
         by them, the route or the node's own address decides whom backends see"
    )]
    TooManyDevices {
        /// How many are left out.
        devices: usize,
        /// How many there can be.
        entries: u32,
    },
    /// There are more VLANs than the data plane has room for.
    #[error("the data plane knows {entries} VLANs; XDP leaves the packets of {vlans} others to TC")]
    TooManyVlans {
        /// How many are left out.
        vlans: usize,
        /// How many there can be.
        entries: u32,
    },
    /// A map is too small for one of the service's frontends.
    #[error("no room for {listener} in map {map} ({entries} entries); it is not served; raise --{option}")]
    NoRoomForFrontend {
        /// The frontend as [`Listener`] writes it.
        listener: String,
        /// The map.
        map: &'static str,
        /// Its size.
        entries: u32,
        /// The option of `kproxy run` that sets it.
        option: &'static str,
    },
    /// Another service port has one of the service's frontends.
    #[error("{listener} already belongs to {owner}; remove it from one of the two")]
    Taken {
        /// The frontend as [`Listener`] writes it.
        listener: String,
        /// Who is served there.
        owner: Arc<ServicePortName>,
    },
}
