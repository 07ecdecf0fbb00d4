//! What the maps say about the node itself: `SERVICE_CIDRS`, `NODE_ADDRESSES`, and its part of `ADDRESSES`.

use std::collections::BTreeMap;

use kproxy_common::{Address, AddressRange, Family, maps};

use crate::model::Cidr;

use super::addresses::{Addresses, Here};
use super::cidrs::ServiceCidrs;
use super::draft::Draft;
use super::step::ProblemKind;
use super::wanted::WantedNode;

/// The mirror of the two small maps. Until the node is known, what was adopted stays.
#[derive(Clone, Debug)]
pub(super) struct Node {
    wanted: Option<WantedNode>,
    /// Wanted, and not looked at yet.
    changed: bool,
    service_cidrs: ServiceCidrs,
    left_out: Vec<Cidr>,
    /// What the map says, without unspecified addresses.
    addresses: BTreeMap<Family, Address>,
}

impl Node {
    /// What was found in the maps.
    pub(super) fn new(service_cidrs: Vec<AddressRange>, mut addresses: BTreeMap<Family, Address>) -> Self {
        addresses.retain(|_, address| !address.is_unspecified());
        Self {
            wanted: None,
            changed: false,
            service_cidrs: ServiceCidrs::new(service_cidrs),
            left_out: Vec::new(),
            addresses,
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

    /// Writes the difference into the draft, and tells the gate.
    pub(super) fn settle(&mut self, addresses: &mut Addresses, draft: &mut Draft) {
        if let Some(wanted) = self.wanted.as_ref().filter(|_| self.changed) {
            let WantedNode {
                node_port_addresses,
                bound,
                primary,
                service_cidrs,
            } = wanted;
            let in_a_range = |address: &&Address| service_cidrs.iter().any(|cidr| cidr.contains(address));
            addresses.place(Here {
                node_ports: node_port_addresses.clone(),
                bound: bound.clone(),
                exempt: bound.iter().filter(in_a_range).copied().collect(),
            });
            self.left_out = self.service_cidrs.follow(service_cidrs, draft);
            for family in [Family::V4, Family::V6] {
                let address = primary.get(&family).copied();
                if self.addresses.get(&family).copied() != address {
                    let written = address.unwrap_or_else(|| Address::unspecified(family));
                    draft.node_addresses.insert(family, written);
                }
            }
            self.addresses.clone_from(primary);
        }
        self.changed = false;
        for range in &self.left_out {
            let kind = ProblemKind::TooManyServiceCidrs {
                range: *range,
                entries: maps::SERVICE_CIDRS_MAX,
            };
            draft.problem(None, kind);
        }
    }
}
