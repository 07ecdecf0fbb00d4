//! The mirror of `ADDRESSES`: how many frontends stand on each address.
//!
//! An address keeps its entry when its last frontend goes: packets of connections that are open meet the gate first,
//! and they live on when their service is gone (semantics 4.02). Nothing new begins there, since there is no frontend.
//! As soon as the map is more than half full, such addresses go, the oldest first.

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{Address, AddressRole};

use super::draft::Draft;

#[derive(Clone, Copy, Debug, Default)]
struct Use {
    frontends: u32,
    /// What the map says; `None` if it has no entry.
    written: Option<AddressRole>,
    /// When the last frontend went, as a key of [`Addresses::former`].
    former: Option<u64>,
}

impl Use {
    fn role(self) -> AddressRole {
        if self.frontends > 0 {
            AddressRole::SERVICE
        } else {
            AddressRole::empty()
        }
    }
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
}

impl Addresses {
    pub(super) fn new(capacity: u32, written: BTreeMap<Address, AddressRole>) -> Self {
        let uses = written
            .into_iter()
            .map(|(address, role)| {
                (
                    address,
                    Use {
                        frontends: 0,
                        written: Some(role),
                        former: None,
                    },
                )
            })
            .collect();
        Self {
            capacity,
            uses,
            touched: BTreeSet::new(),
            former: BTreeMap::new(),
            turn: 0,
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
        let unclaimed = self.uses.iter().filter(|(_, entry)| entry.frontends == 0);
        self.touched.extend(unclaimed.map(|(address, _)| *address));
    }

    /// One more frontend stands on the address; false if there is no room for another address.
    pub(super) fn claim(&mut self, address: Address) -> bool {
        if is_unspecified(address) {
            return true;
        }
        // Removals come last in a plan, so what was given up in the same plan still takes its place.
        if !self.uses.contains_key(&address) && self.uses.len() >= self.capacity as usize {
            return false;
        }
        self.uses.entry(address).or_default().frontends += 1;
        self.touched.insert(address);
        true
    }

    /// A frontend of the map stands on the address, whether or not there is room for the address.
    pub(super) fn inherit(&mut self, address: Address) {
        if !is_unspecified(address) {
            self.uses.entry(address).or_default().frontends += 1;
            self.touched.insert(address);
        }
    }

    /// One frontend less.
    pub(super) fn release(&mut self, address: Address) {
        if let Some(entry) = self.uses.get_mut(&address) {
            entry.frontends = entry.frontends.saturating_sub(1);
            self.touched.insert(address);
        }
    }

    /// Writes the difference into the draft; true if entries were given back.
    pub(super) fn settle(&mut self, draft: &mut Draft) -> bool {
        let mut removed = false;
        for address in std::mem::take(&mut self.touched) {
            let Some(entry) = self.uses.get_mut(&address) else {
                continue;
            };
            let role = entry.role();
            if !role.is_empty() {
                if let Some(turn) = entry.former.take() {
                    self.former.remove(&turn);
                }
                if entry.written != Some(role) {
                    entry.written = Some(role);
                    draft.addresses.insert(address, role);
                }
            } else if entry.written == Some(AddressRole::SERVICE) {
                if entry.former.is_none() {
                    entry.former = Some(self.turn);
                    self.former.insert(self.turn, address);
                    self.turn += 1;
                }
            } else {
                if entry.written.is_some() {
                    draft.gone_addresses.push(address);
                }
                self.uses.remove(&address);
                removed = true;
            }
        }
        while self.uses.len() > self.capacity as usize / 2
            && let Some((_, address)) = self.former.pop_first()
        {
            self.uses.remove(&address);
            draft.gone_addresses.push(address);
            removed = true;
        }
        removed
    }
}

/// `NodePorts` stand under the unspecified address, which no packet carries: it needs no gate.
fn is_unspecified(address: Address) -> bool {
    address == Address::unspecified(address.family())
}
