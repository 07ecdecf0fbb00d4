//! Everything known about this network namespace's devices, and which doors open and close as it changes.
//!
//! Pure: [`mod@super::follow`] feeds it and passes its answers on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kproxy_common::{Address, Family, Vlan};

use super::classify::{Door, Facts, Kind, Link, Peer, Prefix, Tag, classify};
use super::message::Message;
use super::patterns::Rules;
use super::untagging::{self, Untagging};
use super::{Addresses, Named};

/// A device that programs can be attached to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Its interface index.
    pub index: u32,
    /// The name it had when the door opened.
    pub name: String,
    /// Whether there is a driver of a device behind it, and no software alone.
    pub hardware: bool,
    /// Who takes the tags of its VLANs off before XDP; as long as there is somebody, it is not for XDP.
    pub untagged_by: Vec<Untagging>,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.index)
    }
}

/// A door opened or closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The device is this door now. Told again when it is another one for XDP, and for every device after events were
    /// lost, because a device may have been replaced by another with the same index meanwhile.
    Attached {
        /// The device.
        device: Device,
        /// What it is. Never [`Door::None`].
        door: Door,
    },
    /// The device is gone or no longer this door.
    Detached {
        /// The device.
        device: Device,
        /// What it was. Never [`Door::None`].
        door: Door,
    },
}

/// The devices, their addresses and their doors.
#[derive(Debug, Default)]
pub struct Table {
    rules: Rules,
    links: BTreeMap<u32, Link>,
    /// In the order in which they came.
    addresses: BTreeMap<u32, Vec<Prefix>>,
    default_routes: BTreeSet<u32>,
    /// Whose drivers send what XDP redirects to them.
    xdp_senders: BTreeSet<u32>,
    /// Whose drivers take VLANs' tags off, as far as it was asked for.
    untags: BTreeMap<u32, BTreeSet<Tag>>,
    doors: BTreeMap<u32, (Device, Door)>,
}

impl Table {
    /// A table without devices.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// Takes in one event; closed doors are told before opened ones.
    pub fn apply(&mut self, message: Message) -> Vec<Change> {
        self.take_in(message);
        let doors = self.classify();
        let mut changes = Vec::new();
        for (device, door) in self.doors.values() {
            if doors.get(&device.index).is_none_or(|(_, now)| now != door) {
                changes.push(Change::Detached {
                    device: device.clone(),
                    door: *door,
                });
            }
        }
        for (device, door) in doors.values() {
            let is_the_same =
                |(before, was): &(Device, Door)| was == door && before.untagged_by == device.untagged_by;
            if !self.doors.get(&device.index).is_some_and(is_the_same) {
                changes.push(Change::Attached {
                    device: device.clone(),
                    door: *door,
                });
            }
        }
        self.doors = doors;
        changes
    }

    /// Forgets everything and takes in a full listing: at the start, and after events were lost.
    pub fn replace(&mut self, listing: Vec<Message>) -> Vec<Change> {
        self.links.clear();
        self.addresses.clear();
        self.default_routes.clear();
        self.xdp_senders.clear();
        self.untags.clear();
        for message in listing {
            self.take_in(message);
        }
        let doors = self.classify();
        let closed = self
            .doors
            .values()
            .filter(|(device, door)| doors.get(&device.index).is_none_or(|(_, now)| now != door));
        let closed = closed.map(|(device, door)| Change::Detached {
            device: device.clone(),
            door: *door,
        });
        let open = doors.values().map(|(device, door)| Change::Attached {
            device: device.clone(),
            door: *door,
        });
        let changes = closed.chain(open).collect();
        self.doors = doors;
        changes
    }

    /// Of which devices the drivers must be asked what they do with VLANs' tags, before this is taken in.
    #[must_use]
    pub fn asks_for(&self, message: &Message) -> BTreeSet<u32> {
        let Message::Link(link) = message else {
            return BTreeSet::new();
        };
        let belongs = |link: &Link| (link.vlan, link.master);
        let known = self.links.get(&link.index);
        if known.is_some_and(|known| belongs(known) == belongs(link)) {
            return BTreeSet::new();
        }
        // What carries it, and whatever else is a port there.
        let carriers = [link.vlan.map(|tagged| tagged.parent), link.master];
        let concerns = |one: &&Link| {
            let places = [Some(one.index), one.master];
            carriers
                .iter()
                .flatten()
                .any(|carrier| places.contains(&Some(*carrier)))
        };
        let others = self.links.values().filter(|other| other.index != link.index);
        let links: Vec<&Link> = others.chain([link]).collect();
        let concerned = links.iter().copied().filter(concerns);
        let concerned: BTreeSet<u32> = concerned.map(|one| one.index).collect();
        &untagging::deciding(&links) & &concerned
    }

    /// Whether it matters what a driver does with VLANs' tags.
    #[must_use]
    pub fn depends_on(&self, index: u32) -> bool {
        let links: Vec<&Link> = self.links.values().collect();
        untagging::deciding(&links).contains(&index)
    }

    /// Every address that is bound to a device, and which devices have which.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        let prefixes = self.addresses.values().flatten();
        let is_pod = |index| matches!(self.doors.get(index), Some((_, Door::Pod)));
        let devices = self.links.values().filter(|link| !is_pod(&link.index));
        Addresses {
            bound: prefixes.map(|prefix| prefix.address.into()).collect(),
            devices: devices.map(|link| (link.index, self.named(link))).collect(),
        }
    }

    fn named(&self, link: &Link) -> Named {
        let of = |family| {
            let mut prefixes = self.addresses.get(&link.index).into_iter().flatten();
            // As `inet_select_addr` has it: the first one.
            let primary = prefixes.find(|prefix| {
                prefix.global && prefix.preferred && Address::from(prefix.address).family() == family
            });
            primary.map(|prefix| prefix.address.into())
        };
        Named {
            name: link.name.clone(),
            v4: of(Family::V4),
            v6: of(Family::V6),
            link_address: link.address,
            sends_xdp: self.xdp_senders.contains(&link.index),
            vlan: self.carried(link, &self.doors),
        }
    }

    /// Where XDP meets the packets of an uplink, if it is a VLAN's device.
    fn carried(&self, link: &Link, doors: &BTreeMap<u32, (Device, Door)>) -> Option<Vlan> {
        let tagged = link.vlan?;
        let is_uplink = matches!(doors.get(&link.index), Some((_, Door::Uplink)));
        let parent_is_known = self.links.contains_key(&tagged.parent);
        tagged.vlan().filter(|_| is_uplink && parent_is_known)
    }

    fn take_in(&mut self, message: Message) {
        match message {
            Message::Link(link) => drop(self.links.insert(link.index, link)),
            Message::Gone { index, moved } => self.remove(index, moved),
            Message::Address { index, prefix } => {
                let addresses = self.addresses.entry(index).or_default();
                match addresses.iter_mut().find(|known| known.is_same(prefix)) {
                    Some(known) => *known = prefix,
                    None => addresses.push(prefix),
                }
            }
            Message::AddressGone { index, prefix } => {
                if let Some(addresses) = self.addresses.get_mut(&index) {
                    addresses.retain(|known| !known.is_same(prefix));
                }
            }
            Message::DefaultRoutes(devices) => self.default_routes = devices,
            Message::Xdp { index, sends: true } => drop(self.xdp_senders.insert(index)),
            Message::Xdp { index, sends: false } => drop(self.xdp_senders.remove(&index)),
            Message::Untags { index, tags } => drop(self.untags.insert(index, tags)),
        }
    }

    /// When one end of a cable moves to another network namespace, the kernel tells nothing about the end that
    /// stays until that one is set up, which may be too late for the first packet.
    fn remove(&mut self, index: u32, moved: bool) {
        self.links.remove(&index);
        self.addresses.remove(&index);
        self.untags.remove(&index);
        for link in self.links.values_mut() {
            if link.peer == Peer::Here(index) {
                link.peer = if moved { Peer::Elsewhere } else { Peer::Unknown };
                link.vlan = None;
            }
        }
    }

    /// A device depends on the VLANs that it carries, and they may carry others.
    fn classify(&self) -> BTreeMap<u32, (Device, Door)> {
        let mut carriers = BTreeSet::new();
        loop {
            let doors = self.classify_with(&carriers);
            let vlans = self.links.values().filter_map(|link| self.carried(link, &doors));
            let before = carriers.len();
            carriers.extend(vlans.map(|vlan| vlan.parent.0));
            if carriers.len() == before {
                return doors;
            }
        }
    }

    fn classify_with(&self, carriers: &BTreeSet<u32>) -> BTreeMap<u32, (Device, Door)> {
        let (bridges, others): (Vec<_>, Vec<_>) =
            self.links.values().partition(|link| link.kind == Kind::Bridge);
        let carried = untagging::carried(self.links.values());
        let mut doors = BTreeMap::new();
        let mut joining_pods = BTreeSet::new();
        // A bridge depends on its ports.
        for link in others.into_iter().chain(bridges) {
            let door = self.classify_link(
                link,
                joining_pods.contains(&link.index),
                carriers.contains(&link.index),
            );
            if door == Door::Pod {
                joining_pods.extend(link.master);
            }
            if door != Door::None {
                doors.insert(
                    link.index,
                    (
                        Device {
                            index: link.index,
                            name: link.name.clone(),
                            hardware: link.hardware,
                            untagged_by: carried
                                .get(&link.index)
                                .map_or_else(Vec::new, |tags| self.untagging(link, tags)),
                        },
                        door,
                    ),
                );
            }
        }
        doors
    }

    /// Who takes these tags off a device's packets.
    fn untagging(&self, device: &Link, tags: &BTreeSet<Tag>) -> Vec<Untagging> {
        let receivers = untagging::receivers(self.links.values(), device);
        let untagging = receivers.flat_map(|receiver| {
            let taken = self.untags.get(&receiver.index).into_iter().flatten();
            taken.filter(|tag| tags.contains(tag)).map(|tag| Untagging {
                device: receiver.name.clone(),
                tag: *tag,
            })
        });
        untagging.collect()
    }

    fn classify_link(&self, link: &Link, joins_pods: bool, carries_uplink: bool) -> Door {
        let addresses = self.addresses.get(&link.index).map(Vec::as_slice);
        let default_route = self.default_routes.contains(&link.index);
        classify(
            &self.rules,
            Facts {
                link,
                addresses: addresses.unwrap_or_default(),
                default_route,
                joins_pods,
                carries_uplink,
            },
        )
    }
}

#[cfg(test)]
mod tests;
