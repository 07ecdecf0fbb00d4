//! From the addresses of a node to what its data plane shall know of them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use kproxy_common::{Address, Family};

use crate::config::{NodeAddresses, NodePortAddresses};
use crate::model::Cidr;
use crate::plan::WantedNode;

/// What there is to know of a node's addresses.
#[derive(Clone, Copy, Debug)]
pub struct NodeFacts<'a> {
    /// Those that Kubernetes knows, in its order.
    pub known: &'a [Address],
    /// What replaces the one of its family (semantics 10.18).
    pub bind_address: Option<IpAddr>,
    /// Those that are bound to devices.
    pub bound: &'a BTreeSet<Address>,
    /// On which of them NodePorts answer.
    pub node_ports: &'a NodePortAddresses,
}

impl NodeFacts<'_> {
    /// What the data plane shall know of them, with these ranges of ClusterIPs.
    #[must_use]
    pub fn wanted(&self, service_cidrs: BTreeSet<Cidr>) -> WantedNode {
        let own = NodeAddresses::of(self.known, self.bind_address);
        let families = [Family::V4, Family::V6];
        let eligible = families.map(|family| self.node_ports.eligible(family, self.bound, own.known(family)));
        let primary = families.map(|family| Some((family, own.known(family)?)));
        WantedNode {
            node_port_addresses: eligible.into_iter().flatten().collect(),
            bound: self.bound.clone(),
            primary: primary.into_iter().flatten().collect(),
            service_cidrs,
            ..WantedNode::default()
        }
    }
}
