//! Everything known about this network namespace's devices, and which doors open and close as it changes.
//!
//! Pure: [`mod@super::follow`] feeds it and passes its answers on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kproxy_common::Address;

use super::classify::{Door, Facts, Kind, Link, Peer, Prefix, classify};
use super::message::Message;
use super::patterns::Rules;

/// A device that programs can be attached to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Its interface index.
    pub index: u32,
    /// The name it had when the door opened.
    pub name: String,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.index)
    }
}

/// A door opened or closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The device is this door now. Told again for every device after events were lost, because a device may have
    /// been replaced by another with the same index meanwhile.
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
    addresses: BTreeMap<u32, BTreeSet<Prefix>>,
    default_routes: BTreeSet<u32>,
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
            if self
                .doors
                .get(&device.index)
                .is_none_or(|(_, before)| before != door)
            {
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

    /// Every address that is bound to a device.
    #[must_use]
    pub fn bound(&self) -> BTreeSet<Address> {
        let prefixes = self.addresses.values().flatten();
        prefixes.map(|prefix| prefix.address.into()).collect()
    }

    fn take_in(&mut self, message: Message) {
        match message {
            Message::Link(link) => drop(self.links.insert(link.index, link)),
            Message::Gone { index, moved } => self.remove(index, moved),
            Message::Address { index, prefix } => {
                self.addresses.entry(index).or_default().insert(prefix);
            }
            Message::AddressGone { index, prefix } => {
                if let Some(addresses) = self.addresses.get_mut(&index) {
                    addresses.remove(&prefix);
                }
            }
            Message::DefaultRoutes(devices) => self.default_routes = devices,
        }
    }

    /// When one end of a cable moves to another network namespace, the kernel tells nothing about the end that
    /// stays until that one is set up, which may be too late for the first packet.
    fn remove(&mut self, index: u32, moved: bool) {
        self.links.remove(&index);
        self.addresses.remove(&index);
        for link in self.links.values_mut() {
            if link.peer == Peer::Here(index) {
                link.peer = if moved { Peer::Elsewhere } else { Peer::Unknown };
            }
        }
    }

    fn classify(&self) -> BTreeMap<u32, (Device, Door)> {
        let (bridges, others): (Vec<_>, Vec<_>) =
            self.links.values().partition(|link| link.kind == Kind::Bridge);
        let mut doors = BTreeMap::new();
        let mut joining_pods = BTreeSet::new();
        // A bridge depends on its ports.
        for link in others.into_iter().chain(bridges) {
            let door = self.classify_link(link, joining_pods.contains(&link.index));
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
                        },
                        door,
                    ),
                );
            }
        }
        doors
    }

    fn classify_link(&self, link: &Link, joins_pods: bool) -> Door {
        let addresses: Vec<_> = self
            .addresses
            .get(&link.index)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let default_route = self.default_routes.contains(&link.index);
        classify(
            &self.rules,
            Facts {
                link,
                addresses: &addresses,
                default_route,
                joins_pods,
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veth(index: u32, name: &str, peer: Peer) -> Message {
        Message::Link(Link {
            index,
            name: name.into(),
            kind: Kind::Veth,
            peer,
            ..Link::default()
        })
    }

    fn bridge(index: u32, name: &str) -> Message {
        Message::Link(Link {
            index,
            name: name.into(),
            kind: Kind::Bridge,
            ..Link::default()
        })
    }

    fn address(index: u32) -> Message {
        let prefix = Prefix {
            address: "10.0.0.1".parse().expect("address"),
            length: 24,
            global: true,
        };
        Message::Address { index, prefix }
    }

    fn attached(index: u32, name: &str, door: Door) -> Change {
        Change::Attached {
            device: Device {
                index,
                name: name.into(),
            },
            door,
        }
    }

    fn detached(index: u32, name: &str, door: Door) -> Change {
        Change::Detached {
            device: Device {
                index,
                name: name.into(),
            },
            door,
        }
    }

    #[test]
    fn a_door_is_told_once() {
        let mut table = Table::default();
        assert_eq!(
            table.apply(veth(5, "veth5", Peer::Elsewhere)),
            [attached(5, "veth5", Door::Pod)]
        );
        assert_eq!(table.apply(veth(5, "veth5", Peer::Elsewhere)), []);
        assert_eq!(
            table.apply(Message::Gone {
                index: 5,
                moved: false
            }),
            [detached(5, "veth5", Door::Pod)]
        );
        assert_eq!(
            table.apply(Message::Gone {
                index: 5,
                moved: false
            }),
            []
        );
    }

    #[test]
    fn a_device_that_comes_back_under_its_name_is_another_door() {
        let mut table = Table::default();
        table.apply(veth(5, "veth5", Peer::Elsewhere));
        assert_eq!(
            table.apply(Message::Gone {
                index: 5,
                moved: false
            }),
            [detached(5, "veth5", Door::Pod)]
        );
        assert_eq!(
            table.apply(veth(6, "veth5", Peer::Elsewhere)),
            [attached(6, "veth5", Door::Pod)]
        );
    }

    #[test]
    fn a_new_name_matters_only_to_patterns() {
        let mut table = Table::default();
        table.apply(veth(5, "veth5", Peer::Elsewhere));
        assert_eq!(table.apply(veth(5, "renamed", Peer::Elsewhere)), []);
        assert_eq!(
            table.apply(Message::Gone {
                index: 5,
                moved: true
            }),
            [detached(5, "renamed", Door::Pod)]
        );

        let mut table = Table::new(Rules::parse(&["pod*".into()], &[]).expect("rules"));
        assert_eq!(table.apply(veth(5, "veth5", Peer::Elsewhere)), []);
        assert_eq!(
            table.apply(veth(5, "pod5", Peer::Elsewhere)),
            [attached(5, "pod5", Door::Pod)]
        );
        assert_eq!(
            table.apply(veth(5, "veth5", Peer::Elsewhere)),
            [detached(5, "pod5", Door::Pod)]
        );
    }

    #[test]
    fn a_cable_becomes_a_pod_when_its_other_end_moves_away() {
        let mut table = Table::default();
        table.apply(veth(5, "veth5", Peer::Here(6)));
        table.apply(veth(6, "eth0", Peer::Here(5)));
        assert_eq!(
            table.apply(Message::Gone {
                index: 6,
                moved: true
            }),
            [attached(5, "veth5", Door::Pod)]
        );
    }

    #[test]
    fn addresses_and_routes_tell_an_uplink_from_a_pod() {
        let mut table = Table::default();
        table.apply(veth(5, "eth0", Peer::Elsewhere));
        assert_eq!(
            table.apply(address(5)),
            [detached(5, "eth0", Door::Pod), attached(5, "eth0", Door::Uplink)]
        );
        table.apply(veth(6, "eth1", Peer::Elsewhere));
        assert_eq!(
            table.apply(Message::DefaultRoutes([6].into())),
            [detached(6, "eth1", Door::Pod)]
        );
    }

    #[test]
    fn an_address_is_bound_as_long_as_one_device_has_it() {
        let mut table = Table::default();
        let bound = |table: &Table| table.bound().iter().map(ToString::to_string).collect::<Vec<_>>();
        table.replace(vec![veth(5, "eth0", Peer::Elsewhere), address(5), address(6)]);
        assert_eq!(bound(&table), ["10.0.0.1"]);
        let gone = |index| Message::Gone { index, moved: false };
        table.apply(gone(5));
        assert_eq!(bound(&table), ["10.0.0.1"]);
        table.apply(gone(6));
        assert_eq!(table.bound(), BTreeSet::new());
    }

    #[test]
    fn a_bridge_follows_its_ports() {
        let mut table = Table::default();
        table.apply(bridge(3, "cni0"));
        assert_eq!(table.apply(address(3)), [attached(3, "cni0", Door::Uplink)]);
        let port = Link {
            master: Some(3),
            index: 4,
            kind: Kind::Tun,
            name: "tap4".into(),
            ..Link::default()
        };
        assert_eq!(
            table.apply(Message::Link(port)),
            [detached(3, "cni0", Door::Uplink), attached(4, "tap4", Door::Pod)]
        );
    }

    #[test]
    fn a_listing_after_lost_events_tells_every_door_again() {
        let mut table = Table::default();
        table.replace(vec![
            veth(5, "veth5", Peer::Elsewhere),
            veth(6, "veth6", Peer::Elsewhere),
            address(7),
        ]);
        let listing = vec![
            veth(6, "veth6", Peer::Elsewhere),
            veth(7, "veth7", Peer::Elsewhere),
        ];
        assert_eq!(
            table.replace(listing),
            [
                detached(5, "veth5", Door::Pod),
                attached(6, "veth6", Door::Pod),
                attached(7, "veth7", Door::Pod)
            ]
        );
    }
}
