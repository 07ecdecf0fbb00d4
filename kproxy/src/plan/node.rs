//! What the maps say about the node itself: `SERVICE_CIDRS`, `NODE_ADDRESSES`, `POD_RANGES`, `DEVICES`, `VLANS`, and its
//! part of `ADDRESSES`.

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{Address, Family, maps};

use crate::model::Cidr;

use super::addresses::{Addresses, Here};
use super::cidrs::ServiceCidrs;
use super::contents::MapContents;
use super::devices::Devices;
use super::draft::Draft;
use super::step::ProblemKind;
use super::wanted::WantedNode;

/// The mirror of the small maps. Until the node is known, what was adopted stays.
#[derive(Clone, Debug)]
pub(super) struct Node {
    wanted: Option<WantedNode>,
    /// Wanted, and not looked at yet.
    changed: bool,
    service_cidrs: ServiceCidrs,
    left_out: Vec<Cidr>,
    /// No range was given to the data plane, since not every ClusterIP could be.
    withheld: bool,
    /// What the map says, without unspecified addresses.
    addresses: BTreeMap<Family, Address>,
    devices: Devices,
}

impl Node {
    /// What was found in the maps.
    pub(super) fn new(found: &mut MapContents) -> Self {
        let mut addresses = std::mem::take(&mut found.node_addresses);
        addresses.retain(|_, address| !address.is_unspecified());
        Self {
            wanted: None,
            changed: false,
            service_cidrs: ServiceCidrs::new(std::mem::take(&mut found.service_cidrs)),
            left_out: Vec::new(),
            withheld: false,
            addresses,
            devices: Devices::new(
                std::mem::take(&mut found.pod_ranges),
                std::mem::take(&mut found.devices),
                std::mem::take(&mut found.vlans),
            ),
        }
    }

    /// Remembers what is wanted for the next [`Node::settle`].
    pub(super) fn want(&mut self, wanted: WantedNode) {
        self.changed |= self.wanted.as_ref() != Some(&wanted);
        self.wanted = Some(wanted);
    }

    pub(super) fn into_wanted(self) -> Option<WantedNode> {
        self.wanted
    }

    /// Tells the gate what the node's addresses are.
    pub(super) fn place(&self, addresses: &mut Addresses) {
        if let Some(wanted) = self.wanted.as_ref().filter(|_| self.changed) {
            addresses.place(Here {
                node_ports: wanted.node_port_addresses.clone(),
                own: wanted.own().collect(),
            });
        }
    }

    /// Writes the difference into the draft. A ClusterIP that the gate has no room for would be dropped as unallocated;
    /// as long as there is one, nothing is.
    pub(super) fn settle(&mut self, addresses: &Addresses, draft: &mut Draft) {
        let withheld = addresses.without_room() > 0;
        let changed = std::mem::take(&mut self.changed);
        if let Some(wanted) = &self.wanted {
            let WantedNode {
                node_port_addresses: _,
                bound: _,
                primary,
                service_cidrs,
                pod_ranges: _,
                devices: _,
                vlans: _,
            } = wanted;
            if changed || withheld != self.withheld {
                let nothing = BTreeSet::new();
                let listed = if withheld { &nothing } else { service_cidrs };
                self.left_out = self.service_cidrs.follow(listed, draft);
            }
            for family in [Family::V4, Family::V6] {
                let address = primary.get(&family).copied();
                if changed && self.addresses.get(&family).copied() != address {
                    let written = address.unwrap_or_else(|| Address::unspecified(family));
                    draft.node_addresses.insert(family, written);
                }
            }
            if changed {
                self.addresses.clone_from(primary);
                self.devices.follow(wanted, draft);
            }
        }
        self.withheld = withheld;
        self.devices.tell(draft);
        for range in &self.left_out {
            let kind = ProblemKind::TooManyServiceCidrs {
                range: *range,
                entries: maps::SERVICE_CIDRS_MAX,
            };
            draft.problem(None, kind);
        }
        let has_ranges = |wanted: &WantedNode| !wanted.service_cidrs.is_empty();
        if withheld && self.wanted.as_ref().is_some_and(has_ranges) {
            let kind = ProblemKind::NoRoomForClusterIps {
                addresses: addresses.without_room(),
                map: maps::ADDRESSES,
                entries: addresses.capacity(),
                option: "frontends",
            };
            draft.problem(None, kind);
        }
    }
}
