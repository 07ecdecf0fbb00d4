//! Devices that come, change and go.

mod untagging;
mod vlans;

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
        preferred: true,
    };
    Message::Address { index, prefix }
}

fn attached(index: u32, name: &str, door: Door) -> Change {
    Change::Attached {
        device: Device {
            index,
            name: name.into(),
            hardware: false,
            untagged_by: vec![],
        },
        door,
    }
}

fn detached(index: u32, name: &str, door: Door) -> Change {
    Change::Detached {
        device: Device {
            index,
            name: name.into(),
            hardware: false,
            untagged_by: vec![],
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
    let bound = |table: &Table| {
        table
            .addresses()
            .bound
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    table.replace(vec![veth(5, "eth0", Peer::Elsewhere), address(5), address(6)]);
    assert_eq!(bound(&table), ["10.0.0.1"]);
    let gone = |index| Message::Gone { index, moved: false };
    table.apply(gone(5));
    assert_eq!(bound(&table), ["10.0.0.1"]);
    table.apply(gone(6));
    assert_eq!(table.addresses().bound, BTreeSet::new());
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

fn with_address(index: u32, text: &str, preferred: bool) -> Message {
    let prefix = Prefix {
        address: text.parse().expect("address"),
        length: 24,
        global: !text.starts_with("fe80"),
        preferred,
    };
    Message::Address { index, prefix }
}

/// The one that stands in for clients where routes name none (5.10).
#[test]
fn a_device_has_the_address_that_the_kernel_would_send_from() {
    let mut table = Table::default();
    let eth0 = |table: &Table| {
        let devices = table.addresses().devices;
        let of = |address: Option<Address>| address.map(|address| address.to_string());
        devices.get(&5).map(|it| (it.name.clone(), of(it.v4), of(it.v6)))
    };
    let expected = |v4: &str, v6: &str| Some(("eth0".to_owned(), Some(v4.to_owned()), Some(v6.to_owned())));
    table.replace(vec![
        veth(5, "eth0", Peer::Unknown),
        with_address(5, "10.0.0.9", true),
        with_address(5, "10.0.0.1", false),
        with_address(5, "fe80::1", true),
        with_address(5, "fd00::2", false),
        with_address(5, "fd00::3", true),
    ]);
    assert_eq!(eth0(&table), expected("10.0.0.9", "fd00::3"));
    table.apply(with_address(5, "fd00::2", true));
    assert_eq!(
        eth0(&table),
        expected("10.0.0.9", "fd00::2"),
        "nobody else on the link has it"
    );
    let Message::Address { index, prefix } = with_address(5, "10.0.0.9", true) else {
        unreachable!("an address")
    };
    table.apply(Message::AddressGone { index, prefix });
    table.apply(with_address(5, "10.0.0.1", true));
    assert_eq!(eth0(&table), expected("10.0.0.1", "fd00::2"), "promoted");
    table.apply(veth(5, "eth0", Peer::Elsewhere));
    table.apply(veth(6, "pod6", Peer::Elsewhere));
    assert_eq!(
        table.addresses().devices.keys().collect::<Vec<_>>(),
        [&5],
        "no pods"
    );
}

/// Those of drivers come by another socket than those of devices, in an order of their own.
#[test]
fn a_device_sends_by_xdp_as_its_driver_said_last() {
    let mut table = Table::default();
    let eth0 = |table: &Table| table.addresses().devices.get(&5).map(|it| it.sends_xdp);
    let says = |sends| Message::Xdp { index: 5, sends };
    table.replace(vec![veth(5, "eth0", Peer::Unknown)]);
    assert_eq!(eth0(&table), Some(false));
    assert_eq!(table.apply(says(true)), []);
    assert_eq!(eth0(&table), Some(true));
    let gone = Message::Gone {
        index: 5,
        moved: false,
    };
    table.apply(gone);
    assert_eq!(eth0(&table), None);
    table.apply(veth(5, "eth0", Peer::Unknown));
    assert_eq!(eth0(&table), Some(true), "of the next one it was said before");
    table.apply(says(false));
    assert_eq!(eth0(&table), Some(false));
    table.replace(vec![says(true), veth(5, "eth0", Peer::Unknown)]);
    assert_eq!(eth0(&table), Some(true));
    table.replace(vec![veth(5, "eth0", Peer::Unknown)]);
    assert_eq!(eth0(&table), Some(false));
}
