//! Where health-check node ports are open, and who is inside.

use serde_json::{Value, json};

use super::*;
use crate::model::{ObjectName, Parsed, parse_address, parse_cidr, samples};
use crate::source::{Change, Event, News};

fn addresses(texts: &str) -> Vec<Address> {
    let texts = texts.split_whitespace();
    texts
        .map(|text| parse_address(text).expect("an address"))
        .collect()
}

fn node_ports(text: &str) -> NodePortAddresses {
    if text == "primary" {
        return NodePortAddresses::Primary;
    }
    let ranges = text.split_whitespace();
    NodePortAddresses::Cidrs(ranges.map(|text| parse_cidr(text).expect("a range")).collect())
}

fn listen_at(text: &str) -> ListenAt {
    if text == "all" {
        return ListenAt::All;
    }
    ListenAt::Only(addresses(text).iter().map(|address| address.ip()).collect())
}

#[test]
fn health_check_ports_are_open_where_node_ports_are() {
    let here = Addresses {
        bound: addresses("10.0.0.5 172.17.0.1 127.0.0.1 fd00::5 ::1")
            .into_iter()
            .collect(),
        ..Addresses::default()
    };
    // What it shows; nodePortAddresses; the Node's addresses; where IPv4 and IPv6 are open.
    let rows = [
        (
            "3.51 primary",
            "primary",
            "10.0.0.5 fd00::5",
            "10.0.0.5",
            "fd00::5",
        ),
        (
            "3.49 primary means all where it is not known",
            "primary",
            "",
            "all",
            "all",
        ),
        ("3.49 match-all", "0.0.0.0/0", "10.0.0.5", "all", "all"),
        ("3.49 ranges", "10.0.0.0/8 fd00::/8", "", "10.0.0.5", "fd00::5"),
        (
            "3.49 loopback, if it is named",
            "10.0.0.0/8 127.0.0.0/8 ::1/128",
            "",
            "10.0.0.5 127.0.0.1",
            "::1",
        ),
        ("3.50 none match", "192.0.2.0/24 2001:db8::/32", "", "", ""),
    ];
    for (what, ranges, known, v4, v6) in rows {
        let placing = Placing::new(node_ports(ranges), None);
        let facts = NodeFacts {
            known: &addresses(known),
            bind_address: None,
            bound: &here.bound,
            node_ports: &placing.node_ports,
        };
        let node = facts.wanted(BTreeSet::new());
        let expected = ListenAddresses {
            v4: listen_at(v4),
            v6: listen_at(v6),
        };
        assert_eq!(placing.health_checks_at(&node), expected, "{what}");
    }
    let unknown = ListenAddresses {
        v4: ListenAt::All,
        v6: ListenAt::All,
    };
    assert_eq!(
        ListenAddresses::default(),
        unknown,
        "3.50 until the node's addresses are listed"
    );
}

/// XDP is told of VLANs with what it knows of their devices.
#[test]
fn vlans_lead_to_their_devices() {
    let vlan = |id| Vlan {
        parent: DeviceIndex(2),
        id,
    };
    let named = |name: &str, vlan| Named {
        name: name.to_owned(),
        vlan,
        ..Named::default()
    };
    let mut placing = Placing::new(NodePortAddresses::Primary, None);
    let mut place = |devices: &[(u32, Named)]| {
        placing.take_in(Some(Addresses {
            bound: BTreeSet::new(),
            devices: devices.iter().cloned().collect(),
        }));
        let wanted = placing.changed(&Index::new("here")).expect("a change");
        let devices: Vec<_> = wanted.devices.keys().map(|index| index.0).collect();
        (wanted.vlans, devices)
    };
    let eth0 = (2, named("eth0", None));
    let hundred = (5, named("eth0.100", Some(vlan(100))));
    let seven = (6, named("uplink", Some(vlan(7))));
    let wanted = place(&[eth0.clone(), hundred.clone(), seven]);
    let both = [(vlan(7), DeviceIndex(6)), (vlan(100), DeviceIndex(5))];
    assert_eq!(wanted, (both.into(), vec![5, 6]), "with what is known of them");
    let wanted = place(&[eth0, hundred]);
    assert_eq!(wanted, ([(vlan(100), DeviceIndex(5))].into(), vec![5]));
}

/// What the data plane is told of a node with these devices.
fn wanted(detector: LocalDetector, devices: &[(u32, &str, &str)], node: Value) -> WantedNode {
    let address = |text: &str, family| addresses(text).into_iter().find(|it| it.family() == family);
    let named = |(index, name, texts): &(u32, &str, &str)| {
        let named = Named {
            name: (*name).to_owned(),
            v4: address(texts, Family::V4),
            v6: address(texts, Family::V6),
            ..Named::default()
        };
        (*index, named)
    };
    let mut placing = Placing::new(NodePortAddresses::Primary, None).telling_apart(detector);
    placing.take_in(Some(Addresses {
        bound: BTreeSet::new(),
        devices: devices.iter().map(named).collect(),
    }));
    let mut index = Index::new("here");
    let parsed = Parsed {
        name: ObjectName::new("", "here"),
        object: Some(samples::node(node)),
        problems: vec![],
    };
    index.apply(Event::now(News::Node(Change::Applied(parsed))));
    placing.changed(&index).expect("the first time")
}

#[test]
fn the_detector_says_who_is_inside() {
    let by = |texts: &str| {
        let cidrs: Vec<_> = texts
            .split(' ')
            .map(|text| parse_cidr(text).expect("a range"))
            .collect();
        LocalDetector::of_cidrs(&cidrs)
    };
    let bridge = LocalDetector::BridgeInterface("cni0".to_owned());
    let prefix = LocalDetector::InterfaceNamePrefix("cni".to_owned());
    // What it shows; the detector; the ranges of pods and the devices inside that come of it.
    let rows = [
        ("5.13", by("10.244.0.0/16"), "10.244.0.0/16", ""),
        (
            "5.13",
            by("10.244.0.0/16 fd44::/48"),
            "10.244.0.0/16 fd44::/48",
            "",
        ),
        ("5.14", LocalDetector::NodeCidr, "10.244.1.0/24", ""),
        ("5.15", bridge, "", "3"),
        ("5.15", prefix, "", "3 4"),
        ("5.17", LocalDetector::None, "", ""),
    ];
    for (what, detector, ranges, inside) in rows {
        let devices = [
            (2, "eth0", "172.18.0.2 fd18::2"),
            (3, "cni0", "10.244.1.1"),
            (4, "cni1", ""),
            (5, "x", ""),
        ];
        let node = wanted(
            detector,
            &devices,
            json!({ "spec": { "podCIDRs": ["10.244.1.0/24"] } }),
        );
        let join = |texts: Vec<String>| texts.join(" ");
        assert_eq!(
            join(node.pod_ranges.values().map(ToString::to_string).collect()),
            ranges,
            "{what}"
        );
        let found = node
            .devices
            .iter()
            .filter(|(_, it)| it.flags.contains(DeviceFlags::INSIDE));
        assert_eq!(
            join(found.map(|(index, _)| index.0.to_string()).collect()),
            inside,
            "{what}"
        );
        let addresses = node
            .devices
            .values()
            .flat_map(|it| [Family::V4, Family::V6].map(|family| it.address(family)));
        let addresses = addresses.flatten().map(|address| address.to_string()).collect();
        assert_eq!(join(addresses), "172.18.0.2 fd18::2 10.244.1.1", "{what}");
    }
}
