//! The addresses of the Node object, which may come later than the agent, and what stands in for them meanwhile
//! (semantics 10.19).
//!
//! kube-proxy waits for them before it does anything. Here only what they decide waits: where NodePorts answer if that
//! is the node's primary address. What an earlier run has programmed of it stays as long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use kproxy_common::{Address, AddressRole, Family};

use crate::plan::MapContents;

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

    /// Where NodePorts of a family have answered, as far as the node still has these addresses.
    pub(super) fn node_ports(&self, family: Family, bound: &BTreeSet<Address>) -> BTreeSet<Address> {
        let left = self.node_ports.intersection(bound).copied();
        left.filter(|address| address.family() == family).collect()
    }

    /// What the node's own address of a family was.
    pub(super) fn primary(&self, family: Family) -> Option<Address> {
        let left = self.primary.get(&family).copied();
        left.filter(|address| !address.ip().is_unspecified())
    }
}
