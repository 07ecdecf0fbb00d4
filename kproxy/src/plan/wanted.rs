//! What the data plane shall do for one service port: the output of the compile step and the input of the diff.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::model::{Cidr, Name};
use kproxy_common::{
    Address, AddressRange, BackendFlags, Device, DeviceIndex, Family, FrontendFlags, FrontendKey, Port,
    Protocol, Vlan,
};

/// Names one proxied entry: a port of a Service in one family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServicePortName {
    /// The Service's namespace.
    pub namespace: Name,
    /// The Service's name.
    pub name: Name,
    /// The port's name, empty for an unnamed port.
    pub port: Name,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The half of a dual-stack Service.
    pub family: Family,
}

impl fmt::Display for ServicePortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)?;
        if !self.port.is_empty() {
            write!(f, ":{}", self.port)?;
        }
        write!(f, " ({} {})", self.family, self.protocol)
    }
}

/// An address and port that traffic can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The endpoint's address.
    pub address: Address,
    /// The endpoint's port.
    pub port: Port,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address.family() {
            Family::V4 => write!(f, "{}:{}", self.address, self.port),
            Family::V6 => write!(f, "[{}]:{}", self.address, self.port),
        }
    }
}

/// One of the two sets of usable endpoints that a service port has on a node (semantics 2.22 to 2.25).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendSet {
    /// Usable endpoints anywhere, after topology hints.
    Cluster,
    /// Usable endpoints on this node.
    Local,
}

/// How one frontend of a service port picks among the service's backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedFrontend {
    /// What is special about it.
    pub flags: FrontendFlags,
    /// Session affinity by client address in seconds, 0 for none.
    pub affinity_seconds: u32,
    /// The set for clients inside the cluster.
    pub inside: BackendSet,
    /// The set for everybody else.
    pub outside: BackendSet,
    /// Whether only clients in the service's source ranges may ask.
    pub restricted: bool,
}

/// Everything the data plane needs to know about one service port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedService {
    /// The addresses it is served under.
    pub frontends: BTreeMap<FrontendKey, WantedFrontend>,
    /// Every serving endpoint: the two sets below and those that only keep the flows they have.
    pub endpoints: BTreeMap<Endpoint, BackendFlags>,
    /// Usable endpoints anywhere, sorted, each a key of `endpoints`.
    pub cluster: Vec<Endpoint>,
    /// Usable endpoints on this node, sorted, each a key of `endpoints`.
    pub local: Vec<Endpoint>,
    /// Who may ask a [restricted](WantedFrontend::restricted) frontend.
    pub source_ranges: BTreeSet<Cidr>,
    /// The ClusterIP that another proxy serves, and that is left alone; there is nothing else then.
    pub left_alone: Option<Address>,
}

/// What the data plane shall know about the node itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedNode {
    /// Addresses of the node under which `NodePorts` are served; never loopback addresses.
    pub node_port_addresses: BTreeSet<Address>,
    /// Every address that is bound to an interface of the node: undefined ports of a ClusterIP among them belong to
    /// whoever listens there (semantics 4.13), and answers to clients whom the node stands in for come back to them.
    pub bound: BTreeSet<Address>,
    /// The node's own address of each family as Kubernetes knows it: the client that its processes are.
    pub primary: BTreeMap<Family, Address>,
    /// Where ClusterIPs come from: other addresses there lead nowhere (semantics 4.09).
    pub service_cidrs: BTreeSet<Cidr>,
    /// The source addresses that the local-traffic detector takes for pods' (semantics 5.13).
    pub pod_ranges: BTreeMap<Family, AddressRange>,
    /// The devices by which packets come and go, but for those of pods.
    pub devices: BTreeMap<DeviceIndex, Device>,
    /// Where XDP meets the packets of uplinks that are VLANs' devices.
    pub vlans: BTreeMap<Vlan, DeviceIndex>,
}

impl WantedNode {
    /// The addresses that are this node's wherever they are seen. An address of one link alone (RFC 4291 section 2.5.6)
    /// may be another host's on the next one, and a loopback address is everybody's.
    pub(super) fn own(&self) -> impl Iterator<Item = Address> {
        let of_one_link =
            |address: &Address| matches!(address.ip(), IpAddr::V6(v6) if v6.is_unicast_link_local());
        let bound = self.bound.iter().copied();
        bound.filter(move |address| !address.is_loopback() && !of_one_link(address))
    }
}

impl WantedService {
    /// A service that another proxy serves at this ClusterIP.
    #[must_use]
    pub fn left_alone(cluster_ip: Address) -> Self {
        Self {
            left_alone: Some(cluster_ip),
            ..Self::default()
        }
    }

    /// The endpoints of one of the two sets.
    #[must_use]
    pub fn set(&self, set: BackendSet) -> &[Endpoint] {
        match set {
            BackendSet::Cluster => &self.cluster,
            BackendSet::Local => &self.local,
        }
    }

    /// The ClusterIPs that the cluster has given to it.
    pub(super) fn cluster_ips(&self) -> impl Iterator<Item = Address> {
        let frontends = self.frontends.iter();
        frontends
            .filter(|(_, frontend)| frontend.flags.contains(FrontendFlags::CLUSTER_IP))
            .map(|(key, _)| key.address)
            .chain(self.left_alone)
    }
}
