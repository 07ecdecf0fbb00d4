//! The mirror of `ADDRESSES`: how many frontends stand on each address, and what the address is to this node.
//!
//! An address keeps its entry when its last frontend goes: packets of connections that are open meet the gate first,
//! and they live on when their service is gone (semantics 4.02). Nothing new begins there, since there is no frontend, and
//! it is no active ClusterIP any more (semantics 4.10). As soon as the map is more than half full, such addresses go, the
//! oldest first.
//!
//! The node's own addresses come before everything else: services leave them their places, and some for those to come.
//!
//! A ClusterIP that a service has and that is not served, for want of room or by another proxy, is exempt from being dropped as unallocated.
//! Should there be no room for saying so, no range may say where ClusterIPs come from: [`Addresses::without_room`].

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{Address, AddressRole, maps};

use super::draft::Draft;
use super::step::ProblemKind;

/// Packets of open connections may be on their way to such an address.
const HAS_FLOWS: AddressRole = AddressRole::SERVICE
    .union(AddressRole::NODE)
    .union(AddressRole::CLUSTER_IP);

/// One entry of so many is kept for own addresses of the node that are not known yet.
const ENTRIES_PER_OWN: usize = 64;

/// What addresses are to this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Here {
    /// `NodePorts` are served there.
    pub(super) node_ports: BTreeSet<Address>,
    /// Bound to one of its devices.
    pub(super) own: BTreeSet<Address>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Use {
    frontends: u32,
    /// How many of them are ClusterIPs.
    cluster_ips: u32,
    /// How many service ports have it as their ClusterIP, served or not.
    allocated: u32,
    /// What the map says; `None` if it has no entry.
    written: Option<AddressRole>,
    /// When the last frontend went, as a key of [`Addresses::former`].
    former: Option<u64>,
}

/// Addresses with their reference counts. Changes are collected and become steps by [`Addresses::settle`].
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    capacity: u32,
    uses: BTreeMap<Address, Use>,
    touched: BTreeSet<Address>,
    /// Entries without frontends, the oldest first.
    former: BTreeMap<u64, Address>,
    turn: u64,
    /// Unknown after an adoption: what the map says about the node's addresses stays then.
    here: Option<Here>,
    /// How many entries are the node's own addresses.
    own_entries: usize,
    /// Addresses of the node without an entry.
    homeless: BTreeSet<Address>,
    /// ClusterIPs of services without an entry, and how many service ports have each.
    unlisted: BTreeMap<Address, u32>,
    /// Adopted frontends may stand where nobody has claimed any.
    keeps_unclaimed: bool,
}

impl Addresses {
    /// What was found in the map.
    pub(super) fn new(capacity: u32, written: BTreeMap<Address, AddressRole>) -> Self {
        let found = |(address, role)| {
            let entry = Use {
                written: Some(role),
                ..Use::default()
            };
            (address, entry)
        };
        Self {
            capacity,
            uses: written.into_iter().map(found).collect(),
            touched: BTreeSet::new(),
            former: BTreeMap::new(),
            turn: 0,
            here: None,
            own_entries: 0,
            homeless: BTreeSet::new(),
            unlisted: BTreeMap::new(),
            keeps_unclaimed: true,
        }
    }

    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.uses.len()
    }

    /// Has the next [`Addresses::settle`] look at every adopted entry that no frontend stands on.
    pub(super) fn drop_unclaimed(&mut self) {
        self.keeps_unclaimed = false;
        // Also those that only some of their frontends were claimed of.
        self.touched.extend(self.uses.keys());
    }

    /// What addresses are to this node from now on.
    pub(super) fn place(&mut self, here: Here) {
        let entitled = here.node_ports.union(&here.own);
        self.homeless = entitled
            .filter(|address| !self.uses.contains_key(address))
            .copied()
            .collect();
        match &self.here {
            None => self.touched.extend(self.uses.keys()),
            Some(before) => {
                let sets = [(&before.node_ports, &here.node_ports), (&before.own, &here.own)];
                for (before, now) in sets {
                    self.touched.extend(before.symmetric_difference(now));
                }
            }
        }
        let own = here.own.iter();
        self.own_entries = own.filter(|address| self.uses.contains_key(address)).count();
        self.here = Some(here);
    }

    /// A service port has the address as its ClusterIP, whether or not it can be served.
    pub(super) fn allocate(&mut self, address: Address) {
        if self.uses.contains_key(&address) || self.has_room(address) {
            self.entry(address).allocated += 1;
            self.touched.insert(address);
        } else {
            *self.unlisted.entry(address).or_default() += 1;
        }
    }

    /// A service port has it no more.
    pub(super) fn deallocate(&mut self, address: Address) {
        if let Some(entry) = self.uses.get_mut(&address) {
            entry.allocated = entry.allocated.saturating_sub(1);
            self.touched.insert(address);
        } else if let Some(count) = self.unlisted.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.unlisted.remove(&address);
            }
        }
    }

    /// How many ClusterIPs of services the map does not know; true of the map as the last [`Addresses::settle`] leaves it.
    pub(super) fn without_room(&self) -> usize {
        self.unlisted.len()
    }

    /// One more frontend stands on the address; false if there is no room for another address.
    pub(super) fn claim(&mut self, address: Address, cluster_ip: bool) -> bool {
        if address.is_unspecified() {
            return true;
        }
        if !self.uses.contains_key(&address) && !self.has_room(address) {
            return false;
        }
        self.count(address, cluster_ip);
        true
    }

    /// A frontend of the map stands on the address, whether or not there is room for the address.
    pub(super) fn inherit(&mut self, address: Address, cluster_ip: bool) {
        if !address.is_unspecified() {
            self.count(address, cluster_ip);
        }
    }

    /// One frontend less.
    pub(super) fn release(&mut self, address: Address, cluster_ip: bool) {
        if let Some(entry) = self.uses.get_mut(&address) {
            entry.frontends = entry.frontends.saturating_sub(1);
            entry.cluster_ips = entry.cluster_ips.saturating_sub(u32::from(cluster_ip));
            self.touched.insert(address);
        }
    }

    /// A frontend on the address has become a `ClusterIP`, or is none any more.
    pub(super) fn change_kind(&mut self, address: Address, cluster_ip: bool) {
        self.release(address, !cluster_ip);
        self.inherit(address, cluster_ip);
    }

    fn count(&mut self, address: Address, cluster_ip: bool) {
        let entry = self.entry(address);
        entry.frontends += 1;
        entry.cluster_ips += u32::from(cluster_ip);
        self.touched.insert(address);
    }

    /// The entry of an address, which is not unlisted any more.
    fn entry(&mut self, address: Address) -> &mut Use {
        let is_own = self.is_own(address);
        let (unlisted, own_entries) = (&mut self.unlisted, &mut self.own_entries);
        self.uses.entry(address).or_insert_with(|| {
            *own_entries += usize::from(is_own);
            Use {
                allocated: unlisted.remove(&address).unwrap_or_default(),
                ..Use::default()
            }
        })
    }

    fn remove(&mut self, address: Address) {
        if self.uses.remove(&address).is_some() && self.is_own(address) {
            self.own_entries -= 1;
        }
    }

    fn is_own(&self, address: Address) -> bool {
        self.here.as_ref().is_some_and(|here| here.own.contains(&address))
    }

    /// Whether there is room for an address. Removals come last in a plan, so what was given up in the same plan still
    /// takes its place.
    fn has_room(&self, address: Address) -> bool {
        let capacity = self.capacity as usize;
        if self.is_own(address) {
            return self.uses.len() < capacity;
        }
        let own = self.here.as_ref().map_or(0, |here| here.own.len());
        let others = self.uses.len() - self.own_entries;
        self.uses.len() < capacity && others + own.max(capacity / ENTRIES_PER_OWN) < capacity
    }

    /// Writes the difference into the draft; true if entries were given back.
    pub(super) fn settle(&mut self, draft: &mut Draft) -> bool {
        self.house(draft);
        let mut removed = false;
        for address in std::mem::take(&mut self.touched) {
            let Some(&entry) = self.uses.get(&address) else {
                continue;
            };
            let mut role = self.role(address, entry);
            let mut former = None;
            let has_flows = entry.written.is_some_and(|role| role.intersects(HAS_FLOWS));
            if has_flows && role.is_empty() {
                former = entry.former.or_else(|| Some(self.retire(address)));
            } else if let Some(turn) = entry.former {
                self.former.remove(&turn);
            }
            if has_flows && !role.intersects(HAS_FLOWS) {
                // Also beside an exemption, which may go before they do.
                role |= AddressRole::SERVICE;
            }
            if role.is_empty() {
                if entry.written.is_some() {
                    draft.gone_addresses.push(address);
                }
                self.remove(address);
                removed = true;
                continue;
            }
            if entry.written != Some(role) {
                draft.put_address(address, entry.written, role);
            }
            let entry = Use {
                written: Some(role),
                former,
                ..entry
            };
            self.uses.insert(address, entry);
        }
        while self.uses.len() > self.capacity as usize / 2
            && let Some((_, address)) = self.former.pop_first()
        {
            self.remove(address);
            draft.gone_addresses.push(address);
            removed = true;
        }
        removed
    }

    /// Gives the node's addresses their entries as far as there is room, and ClusterIPs that have none.
    fn house(&mut self, draft: &mut Draft) {
        for address in std::mem::take(&mut self.homeless) {
            if self.uses.contains_key(&address) {
                continue;
            }
            // Where `NodePorts` are served is the node's own as well.
            if self.uses.len() < self.capacity as usize {
                self.entry(address);
                self.touched.insert(address);
                continue;
            }
            let kind = ProblemKind::NoRoomForNodeAddress {
                address,
                map: maps::ADDRESSES,
                entries: self.capacity,
                option: "frontends",
            };
            draft.problem(None, kind);
            self.homeless.insert(address);
        }
        while let Some((&address, _)) = self.unlisted.first_key_value()
            && self.has_room(address)
        {
            self.entry(address);
            self.touched.insert(address);
        }
    }

    fn retire(&mut self, address: Address) -> u64 {
        let turn = self.turn;
        self.former.insert(turn, address);
        self.turn += 1;
        turn
    }

    fn role(&self, address: Address, entry: Use) -> AddressRole {
        let written = entry.written.unwrap_or(AddressRole::empty());
        let unclaimed = |role| self.keeps_unclaimed && written.contains(role);
        let service = entry.frontends > 0 || unclaimed(AddressRole::SERVICE);
        let cluster_ip = entry.cluster_ips > 0 || unclaimed(AddressRole::CLUSTER_IP);
        let mut role = AddressRole::empty();
        role.set(AddressRole::SERVICE, service);
        role.set(AddressRole::EXEMPT, entry.allocated > 0 && !cluster_ip);
        match &self.here {
            None => {
                role |= written & (AddressRole::NODE | AddressRole::OWN | AddressRole::EXEMPT);
                role.set(
                    AddressRole::CLUSTER_IP,
                    cluster_ip && written.contains(AddressRole::CLUSTER_IP),
                );
            }
            Some(Here { node_ports, own }) => {
                let is_own = own.contains(&address);
                role.set(AddressRole::NODE, node_ports.contains(&address));
                role.set(AddressRole::OWN, is_own);
                role.set(AddressRole::CLUSTER_IP, cluster_ip && !is_own);
            }
        }
        role
    }
}
