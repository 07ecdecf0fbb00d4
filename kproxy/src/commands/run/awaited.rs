//! The addresses of the Node object, which may come later than the agent, and what stands in for them meanwhile
//! (semantics 10.19).
//!
//! kube-proxy waits for them before it does anything. Here only what they decide waits: where NodePorts answer if that
//! is the node's primary address. What an earlier run has programmed of it stays as long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use kproxy_common::{Address, AddressRole, Family};

use crate::config::NodePortAddresses;
use crate::plan::{MapContents, WantedNode};

/// Addresses that are waited for.
#[derive(Debug)]
pub(super) struct Awaited {
    until: Instant,
    node_ports: BTreeSet<Address>,
    primary: BTreeMap<Family, Address>,
}

impl Awaited {
    /// They are waited for until then, on a node with this left of an earlier run.
    pub(super) fn new(until: Instant, contents: &MapContents) -> Self {
        let roles = contents.addresses.iter();
        Self {
            until,
            node_ports: roles
                .filter(|(_, role)| role.contains(AddressRole::NODE))
                .map(|(address, _)| *address)
                .collect(),
            primary: contents.node_addresses.clone(),
        }
    }

    /// When waiting ends.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Puts what is left in the place of what an unknown address decides.
    pub(super) fn stand_in(&self, wanted: &mut WantedNode, node_ports: &NodePortAddresses) {
        for family in [Family::V4, Family::V6] {
            // By `bindAddress`, which waits for nothing.
            if wanted.primary.contains_key(&family) {
                continue;
            }
            if *node_ports == NodePortAddresses::Primary {
                let stays =
                    |address: &Address| address.family() != family || self.node_ports.contains(address);
                wanted.node_port_addresses.retain(stays);
            }
            let left = self.primary.get(&family).copied();
            let left = left.filter(|address| !address.ip().is_unspecified());
            wanted.primary.extend(left.map(|address| (family, address)));
        }
    }
}
