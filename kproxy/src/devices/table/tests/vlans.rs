//! VLANs, and the devices that carry them.

use kproxy_common::DeviceIndex;

use super::*;
use crate::devices::{Tag, Tagged};

pub(super) fn nic(index: u32, name: &str) -> Link {
    Link {
        index,
        name: name.into(),
        ..Link::default()
    }
}

pub(super) fn port(index: u32, name: &str, master: u32) -> Link {
    Link {
        master: Some(master),
        ..nic(index, name)
    }
}

pub(super) fn vlan(index: u32, name: &str, parent: u32, tag: Tag, id: u16) -> Link {
    Link {
        peer: Peer::Here(parent),
        vlan: Some(Tagged { parent, tag, id }),
        ..nic(index, name)
    }
}

fn eth0_100() -> Message {
    Message::Link(vlan(6, "eth0.100", 5, Tag::Customer, 100))
}

pub(super) fn gone(index: u32, moved: bool) -> Message {
    Message::Gone { index, moved }
}

/// The VLANs that XDP is told of, as parent, number and device.
fn told(table: &Table) -> Vec<(u32, u32, u32)> {
    let devices = table.addresses().devices;
    let vlans = devices.iter().filter_map(|(index, named)| {
        let vlan = named.vlan?;
        Some((vlan.parent.0, vlan.id, *index))
    });
    vlans.collect()
}

#[test]
fn a_device_is_an_uplink_as_long_as_it_carries_one() {
    let mut table = Table::default();
    table.replace(vec![Message::Link(nic(5, "eth0")), eth0_100()]);
    assert_eq!(told(&table), [], "no uplink yet");
    assert_eq!(
        table.apply(address(6)),
        [
            attached(5, "eth0", Door::Uplink),
            attached(6, "eth0.100", Door::Uplink)
        ]
    );
    assert_eq!(told(&table), [(5, 100, 6)]);
    assert_eq!(table.apply(eth0_100()), [], "once");
    assert_eq!(
        table.apply(gone(6, false)),
        [
            detached(5, "eth0", Door::Uplink),
            detached(6, "eth0.100", Door::Uplink)
        ]
    );
    assert_eq!(told(&table), []);
    table.apply(eth0_100());
    table.apply(address(6));
    let Message::Address { index, prefix } = address(6) else {
        unreachable!("an address")
    };
    assert_eq!(
        table.apply(Message::AddressGone { index, prefix }),
        [
            detached(5, "eth0", Door::Uplink),
            detached(6, "eth0.100", Door::Uplink)
        ],
        "a VLAN without address is nobody's"
    );
}

#[test]
fn an_uplink_of_its_own_stays_one_without_its_vlan() {
    let mut table = Table::default();
    table.replace(vec![
        Message::Link(nic(5, "eth0")),
        address(5),
        eth0_100(),
        address(6),
    ]);
    assert_eq!(
        table.apply(gone(6, false)),
        [detached(6, "eth0.100", Door::Uplink)]
    );
}

/// Links of which the one with index 6 has an address; the door of 5, and the VLANs that XDP is told of.
type Row = (&'static str, Vec<Link>, Door, Vec<(u32, u32, u32)>);

fn check(rules: &Rules, rows: Vec<Row>) {
    for (what, links, door, vlans) in rows {
        let mut table = Table::new(rules.clone());
        let mut listing: Vec<_> = links.into_iter().map(Message::Link).collect();
        listing.push(address(6));
        table.replace(listing);
        let of_eth0 = table.doors.get(&5).map_or(Door::None, |(_, door)| *door);
        assert_eq!(of_eth0, door, "{what}");
        assert_eq!(told(&table), vlans, "{what}");
    }
}

fn eth0() -> Link {
    nic(5, "eth0")
}

fn customer() -> Link {
    vlan(6, "eth0.100", 5, Tag::Customer, 100)
}

#[test]
fn only_what_xdp_meets_there_makes_a_device_an_uplink() {
    let told = || vec![(5, 100, 6)];
    let service = vlan(6, "eth0.100", 5, Tag::Service, 100);
    let pod = Link {
        kind: Kind::Veth,
        peer: Peer::Elsewhere,
        ..eth0()
    };
    let bare = Link {
        bare: true,
        ..customer()
    };
    let loopback = Link {
        loopback: true,
        ..eth0()
    };
    let in_a_bond = vec![port(5, "eth0", 3), nic(3, "bond0"), customer()];
    let of_a_vlan = vec![
        eth0(),
        vlan(4, "eth0.7", 5, Tag::Customer, 7),
        vlan(6, "eth0.7.8", 4, Tag::Customer, 8),
    ];
    check(
        &Rules::default(),
        vec![
            ("802.1Q", vec![eth0(), customer()], Door::Uplink, told()),
            ("802.1ad", vec![eth0(), service], Door::None, vec![]),
            ("not Ethernet", vec![eth0(), bare], Door::None, vec![]),
            ("of a pod", vec![pod, customer()], Door::Pod, told()),
            ("of loopback", vec![loopback, customer()], Door::None, told()),
            ("of a port", in_a_bond, Door::None, told()),
            ("of a VLAN", of_a_vlan, Door::Uplink, vec![(5, 7, 4), (4, 8, 6)]),
            ("of nobody here", vec![customer()], Door::None, vec![]),
        ],
    );
}

#[test]
fn the_operator_has_the_last_word_about_vlans() {
    let told = vec![(5, 100, 6)];
    // (what, pods' names, uplinks' names; the door of 5, what XDP is told of)
    let rows = [
        ("neither is named", "", "ens*", Door::None, vec![]),
        ("only the VLAN is named", "", "eth0.*", Door::None, told.clone()),
        ("only the parent is named", "", "eth0", Door::Uplink, vec![]),
        ("both are named", "", "eth*", Door::Uplink, told.clone()),
        ("the VLAN is a pod's", "eth0.*", "", Door::None, vec![]),
        ("the parent is a pod's", "eth0", "", Door::Pod, told),
    ];
    for (what, pods, uplinks, door, vlans) in rows {
        let words = |text: &str| text.split_whitespace().map(String::from).collect::<Vec<_>>();
        let rules = Rules::parse(&words(pods), &words(uplinks)).expect("rules");
        check(&rules, vec![(what, vec![eth0(), customer()], door, vlans)]);
    }
}

#[test]
fn a_bridge_that_joins_pods_and_carries_an_uplink_is_none() {
    let mut table = Table::default();
    table.replace(vec![
        bridge(5, "cni0"),
        eth0_100(),
        address(6),
        Message::Link(Link {
            kind: Kind::Tun,
            ..port(8, "tap8", 5)
        }),
    ]);
    assert!(!table.doors.contains_key(&5), "{:?}", table.doors);
    assert_eq!(
        table.apply(gone(8, false)),
        [detached(8, "tap8", Door::Pod), attached(5, "cni0", Door::Uplink)]
    );
}

/// Without its parent here, no packet comes to a VLAN by a tag that XDP could meet.
#[test]
fn a_vlan_leaves_its_parent_when_that_goes() {
    for moved in [false, true] {
        let mut table = Table::default();
        table.replace(vec![Message::Link(nic(5, "eth0")), eth0_100(), address(6)]);
        assert_eq!(table.apply(gone(5, moved)), [detached(5, "eth0", Door::Uplink)]);
        assert_eq!(told(&table), []);
        assert_eq!(
            table.apply(Message::Link(nic(5, "another"))),
            [],
            "the same index is not the same device"
        );
        assert_eq!(
            table.apply(eth0_100()),
            [attached(5, "another", Door::Uplink)],
            "until it is told"
        );
    }
}

#[test]
fn xdp_is_told_a_vlan_under_its_parents_index() {
    let mut table = Table::default();
    table.replace(vec![Message::Link(nic(5, "eth0")), eth0_100(), address(6)]);
    let devices = table.addresses().devices;
    let expected = Vlan {
        parent: DeviceIndex(5),
        id: 100,
    };
    assert_eq!(devices[&6].vlan, Some(expected));
    assert_eq!(devices[&5].vlan, None);
}
