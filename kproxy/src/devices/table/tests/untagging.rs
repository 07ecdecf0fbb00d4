//! Drivers that take VLANs' tags off.

use super::vlans::{gone, nic, port, vlan};
use super::*;
use crate::devices::Tag;

fn untags(index: u32, tags: &[Tag]) -> Message {
    Message::Untags {
        index,
        tags: tags.iter().copied().collect(),
    }
}

fn link(link: Link) -> Message {
    Message::Link(link)
}

fn bond(index: u32, name: &str) -> Link {
    Link {
        kind: Kind::Bond,
        ..nic(index, name)
    }
}

/// What is to be done before a door is XDP's; nothing if it is no door.
fn remedies(table: &Table, index: u32) -> Option<Vec<String>> {
    let (device, _) = table.doors.get(&index)?;
    Some(device.untagged_by.iter().map(ToString::to_string).collect())
}

#[test]
fn xdp_is_not_for_devices_whose_vlans_it_can_not_see() {
    use Tag::{Customer, Service};
    let customer = || link(vlan(6, "eth0.100", 5, Customer, 100));
    let service = || link(vlan(6, "eth0.100", 5, Service, 100));
    let both = [Customer, Service];
    let eth0 = || link(nic(5, "eth0"));
    let bond0 = || link(bond(5, "bond0"));
    let stag = "ethtool -K eth0 rx-vlan-stag-hw-parse off";
    // (what; what exists besides the address of 5; what keeps XDP off 5)
    let rows = [
        ("no VLAN", vec![eth0(), untags(5, &both)], vec![]),
        (
            "802.1Q",
            vec![eth0(), customer(), untags(5, &both)],
            vec!["ethtool -K eth0 rxvlan off"],
        ),
        ("802.1ad", vec![eth0(), service(), untags(5, &both)], vec![stag]),
        (
            "both",
            vec![
                eth0(),
                customer(),
                link(vlan(7, "eth0.7", 5, Service, 7)),
                untags(5, &both),
            ],
            vec!["ethtool -K eth0 rxvlan off", stag],
        ),
        (
            "the tags stay",
            vec![eth0(), customer(), untags(5, &[Service])],
            vec![],
        ),
        ("nobody says", vec![eth0(), customer()], vec![]),
        (
            "another device",
            vec![eth0(), customer(), link(nic(8, "eth1")), untags(8, &both)],
            vec![],
        ),
        (
            "ports of a bond",
            vec![
                bond0(),
                link(port(8, "eth1", 5)),
                link(port(9, "eth2", 5)),
                link(port(10, "eth3", 5)),
                customer(),
                untags(5, &both),
                untags(8, &both),
                untags(9, &[]),
                untags(10, &[Customer]),
            ],
            vec!["ethtool -K eth1 rxvlan off", "ethtool -K eth3 rxvlan off"],
        ),
        (
            "ports of a bond that leave them on",
            vec![
                bond0(),
                link(port(8, "eth1", 5)),
                customer(),
                untags(5, &both),
                untags(8, &[]),
            ],
            vec![],
        ),
        (
            "ports of a bridge, which takes them off itself",
            vec![
                bridge(5, "br0"),
                link(port(8, "eth1", 5)),
                customer(),
                untags(8, &both),
            ],
            vec![],
        ),
    ];
    for (what, mut listing, expected) in rows {
        let mut table = Table::default();
        listing.push(address(5));
        table.replace(listing);
        let expected = expected.into_iter().map(String::from).collect();
        assert_eq!(remedies(&table, 5), Some(expected), "{what}");
    }
}

/// Told again, but not closed meanwhile.
#[test]
fn a_door_is_told_again_when_xdp_sees_its_vlans_or_no_longer() {
    let mut table = Table::default();
    table.replace(vec![
        link(nic(5, "eth0")),
        address(5),
        untags(5, &[Tag::Customer]),
    ]);
    let told = |table: &Table, changes: Vec<Change>| {
        let doors = changes.into_iter().map(|change| match change {
            Change::Attached { device, .. } => (device.index, true),
            Change::Detached { device, .. } => (device.index, false),
        });
        (doors.collect::<Vec<_>>(), remedies(table, 5))
    };
    let with = |remedies: &[&str]| Some(remedies.iter().map(ToString::to_string).collect());
    let off = "ethtool -K eth0 rxvlan off";
    let hundred = || link(vlan(6, "eth0.100", 5, Tag::Customer, 100));
    let seven = || link(vlan(7, "eth0.7", 5, Tag::Customer, 7));
    let renamed = || link(nic(5, "lan0"));
    // (what, the event, what is told, what is to be done)
    let rows = [
        ("the first VLAN", hundred(), vec![(5, true)], with(&[off])),
        ("the second one", seven(), vec![], with(&[off])),
        ("on", untags(5, &[]), vec![(5, true)], with(&[])),
        ("on, again", untags(5, &[]), vec![], with(&[])),
        ("off", untags(5, &[Tag::Customer]), vec![(5, true)], with(&[off])),
        ("a VLAN goes", gone(6, false), vec![], with(&[off])),
        (
            "a new name",
            renamed(),
            vec![(5, true)],
            with(&["ethtool -K lan0 rxvlan off"]),
        ),
        ("the last VLAN goes", gone(7, true), vec![(5, true)], with(&[])),
        ("the device goes", gone(5, false), vec![(5, false)], None),
    ];
    for (what, event, doors, remedies) in rows {
        let changes = table.apply(event);
        assert_eq!(told(&table, changes), (doors, remedies), "{what}");
    }
    table.apply(link(nic(5, "another")));
    table.apply(hundred());
    let changes = table.apply(address(5));
    assert_eq!(
        told(&table, changes),
        (vec![(5, true)], with(&[])),
        "of another device with its index nothing is known"
    );
}

#[test]
fn a_listing_says_anew_which_drivers_take_tags_off() {
    let mut table = Table::default();
    let listing = || {
        let hundred = link(vlan(6, "eth0.100", 5, Tag::Customer, 100));
        vec![link(nic(5, "eth0")), address(5), hundred]
    };
    table.replace([listing(), vec![untags(5, &[Tag::Customer])]].concat());
    assert_eq!(remedies(&table, 5).map(|them| them.len()), Some(1));
    table.replace(listing());
    assert_eq!(remedies(&table, 5), Some(vec![]), "where the kernel says no more");
}

#[test]
fn drivers_are_asked_when_a_vlan_comes() {
    let mut table = Table::default();
    table.replace(vec![
        link(nic(5, "eth0")),
        link(bond(3, "bond0")),
        link(port(8, "eth1", 3)),
        link(port(9, "eth2", 3)),
        link(nic(10, "eth3")),
        bridge(4, "cni0"),
    ]);
    let customer = |index, parent| link(vlan(index, "vlan", parent, Tag::Customer, 100));
    let pod = |index| Message::Link(port(index, "veth", 4));
    // (what, the event, who is asked)
    let rows = [
        (
            "a port of a bond without VLANs",
            link(port(10, "eth3", 3)),
            vec![],
        ),
        ("a VLAN of a NIC", customer(6, 5), vec![5]),
        ("the same", customer(6, 5), vec![]),
        ("another one", link(vlan(7, "v", 5, Tag::Service, 7)), vec![5]),
        ("a VLAN of a bond", customer(11, 3), vec![8, 9, 10]),
        (
            "a port of a bond with VLANs",
            link(port(12, "eth4", 3)),
            vec![8, 9, 10, 12],
        ),
        ("a pod", pod(13), vec![]),
        ("a VLAN of a bridge", customer(14, 4), vec![4]),
        ("a pod on it", pod(15), vec![4]),
        ("a NIC", link(nic(16, "eth5")), vec![]),
        (
            "it becomes a port",
            link(port(16, "eth5", 3)),
            vec![8, 9, 10, 12, 16],
        ),
        ("an address", address(5), vec![]),
        ("a VLAN that goes", gone(6, false), vec![]),
    ];
    for (what, event, expected) in rows {
        let asked = table.asks_for(&event);
        assert_eq!(asked, expected.into_iter().collect(), "{what}");
        table.apply(event);
    }
    let deciding: Vec<_> = (1..20).filter(|index| table.depends_on(*index)).collect();
    assert_eq!(deciding, [4, 5, 8, 9, 10, 12, 16], "whose changes matter");
}
