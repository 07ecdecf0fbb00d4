//! What the node's addresses are to the data plane: put together from its devices, its Node object, the ranges of
//! ClusterIPs and the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Instant;

use kproxy_common::{Address, Device, DeviceFlags, DeviceIndex, Family, Vlan};

use crate::compile::NodeFacts;
use crate::config::{LocalDetector, NodeAddresses, NodePortAddresses, loopback};
use crate::devices::{Addresses, Named};
use crate::index::Index;
use crate::model::Cidr;
use crate::plan::WantedNode;
use crate::serve::service_health::{Addresses as ListenAddresses, ListenAt};

use super::awaited::Awaited;

/// Everything that decides it.
#[derive(Debug)]
pub(super) struct Placing {
    node_ports: NodePortAddresses,
    bind_address: Option<IpAddr>,
    detector: LocalDetector,
    here: Option<Addresses>,
    /// `None` when they have come, or are not waited for any more.
    awaited: Option<Awaited>,
    /// What it was put together from last; `None` if it is not up to date.
    last: Option<Inputs>,
    placed: bool,
}

/// What the cluster says.
#[derive(Debug, PartialEq, Eq)]
struct Inputs {
    addresses: Vec<Address>,
    pod_cidrs: Vec<Cidr>,
    service_cidrs: BTreeSet<Cidr>,
}

impl Placing {
    /// `bind_address` replaces the node's address of its family (semantics 10.18).
    pub(super) fn new(node_ports: NodePortAddresses, bind_address: Option<IpAddr>) -> Self {
        Self {
            node_ports,
            bind_address,
            detector: LocalDetector::None,
            here: None,
            awaited: None,
            last: None,
            placed: false,
        }
    }

    /// The Node object's addresses may come later (semantics 10.19).
    pub(super) fn awaiting(self, awaited: Awaited) -> Self {
        Self {
            awaited: Some(awaited),
            ..self
        }
    }

    /// How clients inside are told from those outside (semantics 5.13 to 5.18).
    pub(super) fn telling_apart(self, detector: LocalDetector) -> Self {
        Self { detector, ..self }
    }

    /// When [`Placing::give_up`] is due.
    pub(super) fn gives_up_at(&self) -> Option<Instant> {
        self.awaited.as_ref().map(Awaited::until)
    }

    /// Ends the wait for the Node object's addresses if that is due; whether there still are none then.
    pub(super) fn give_up(&mut self, now: Instant, index: &Index) -> bool {
        if self.gives_up_at().is_none_or(|at| now < at) {
            return false;
        }
        self.awaited = None;
        self.last = None;
        index.node().is_none_or(|node| node.addresses.is_empty())
    }

    /// Whether the node's addresses have been known once.
    pub(super) fn is_placed(&self) -> bool {
        self.placed
    }

    /// The devices and the addresses that are bound to them now.
    pub(super) fn take_in(&mut self, here: Option<Addresses>) {
        self.here = here;
        self.last = None;
    }

    /// The node's own address of each family, as far as it is known.
    pub(super) fn primary(&self, index: &Index) -> BTreeMap<Family, Address> {
        let addresses = index.node().map(|node| &node.addresses[..]).unwrap_or_default();
        let own = NodeAddresses::of(addresses, self.bind_address);
        let known = [Family::V4, Family::V6].map(|family| Some((family, own.known(family)?)));
        known.into_iter().flatten().collect()
    }

    /// Where health-check node ports are open on such a node: where NodePorts are, and on loopback addresses only if
    /// they are named (semantics 3.49).
    pub(super) fn health_checks_at(&self, node: &WantedNode) -> ListenAddresses {
        let of = |family: Family| {
            let primary = node.primary.get(&family).copied();
            if self.node_ports.means_all(family, primary) {
                return ListenAt::All;
            }
            let addresses = node.node_port_addresses.iter();
            let mut only: Vec<IpAddr> = addresses
                .filter(|address| address.family() == family)
                .map(|address| address.ip())
                .collect();
            if matches!(self.node_ports, NodePortAddresses::Cidrs(_))
                && self.node_ports.covers_loopback(family)
            {
                only.push(loopback(family).ip());
            }
            ListenAt::Only(only)
        };
        ListenAddresses {
            v4: of(Family::V4),
            v6: of(Family::V6),
        }
    }

    /// What is wanted now, if it may be something else than the last time; nothing as long as it is not known.
    pub(super) fn changed(&mut self, index: &Index) -> Option<WantedNode> {
        let here = self.here.as_ref()?;
        let node = index.node();
        let inputs = Inputs {
            addresses: node.map(|node| node.addresses.clone()).unwrap_or_default(),
            pod_cidrs: node.map(|node| node.pod_cidrs.clone()).unwrap_or_default(),
            service_cidrs: index.service_cidrs(),
        };
        if self.last.as_ref() == Some(&inputs) {
            return None;
        }
        let facts = NodeFacts {
            known: &inputs.addresses,
            bind_address: self.bind_address,
            bound: &here.bound,
            node_ports: &self.node_ports,
        };
        let detector = self.detector.with_pod_cidrs(&inputs.pod_cidrs);
        let mut wanted = WantedNode {
            pod_ranges: detector.ranges(),
            devices: devices(here, &detector),
            vlans: vlans(here),
            ..facts.wanted(inputs.service_cidrs.clone())
        };
        if inputs.addresses.is_empty() {
            if let Some(awaited) = &self.awaited {
                awaited.stand_in(&mut wanted, &self.node_ports);
            }
        } else {
            self.awaited = None;
        }
        self.last = Some(inputs);
        self.placed = true;
        Some(wanted)
    }
}

/// What the data plane needs to know of a device, of those that it needs to know anything of.
fn devices(here: &Addresses, detector: &LocalDetector) -> BTreeMap<DeviceIndex, Device> {
    let known = |(index, named): (&u32, &Named)| {
        let or_none = |address: Option<Address>, family| address.unwrap_or(Address::unspecified(family));
        let mut flags = DeviceFlags::empty();
        flags.set(DeviceFlags::INSIDE, detector.recognises_device(&named.name));
        flags.set(DeviceFlags::SENDS_XDP, named.sends_xdp);
        let device = Device {
            v4: or_none(named.v4, Family::V4),
            v6: or_none(named.v6, Family::V6),
            flags,
            link_address: named.link_address,
            padding: 0,
        };
        let has_address = named.v4.is_some() || named.v6.is_some();
        let means_something = has_address || named.vlan.is_some() || !flags.is_empty();
        means_something.then_some((DeviceIndex(*index), device))
    };
    here.devices.iter().filter_map(known).collect()
}

/// Which uplinks are VLANs' devices, by where XDP meets their packets.
fn vlans(here: &Addresses) -> BTreeMap<Vlan, DeviceIndex> {
    let devices = here.devices.iter();
    devices
        .filter_map(|(index, named)| Some((named.vlan?, DeviceIndex(*index))))
        .collect()
}

#[cfg(test)]
mod tests;
