//! Source ranges, ranges of ClusterIPs and the node's addresses in the kernel's maps.

use std::collections::BTreeMap;
use std::time::Instant;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Map, MapData, MapInfo};
use kproxy::dataplane::Sizes;
use kproxy::model::{Cidr, parse_cidr};
use kproxy::plan::{Applied, GRACE, MapContents, ServicePortName, WantedNode, WantedService};
use kproxy_common::{
    Address, AddressRole, Device, DeviceFlags, DeviceIndex, Family, FrontendFlags, RangeSetId, SourceRange,
    Vlan, maps,
};

use super::place::{Place, SIZES, key, services};

fn address(text: &str) -> Address {
    text.parse::<std::net::IpAddr>().unwrap().into()
}

/// Two services that only these clients may ask.
fn restricted(ranges: &[&str]) -> BTreeMap<ServicePortName, WantedService> {
    let mut services = services(2, 3);
    for service in services.values_mut() {
        for frontend in service.frontends.values_mut() {
            frontend.flags = FrontendFlags::LOAD_BALANCER;
            frontend.restricted = true;
        }
        service.source_ranges = ranges.iter().map(|text| parse_cidr(text).unwrap()).collect();
    }
    services
}

fn node() -> WantedNode {
    let device = Device {
        v4: address("192.0.2.1"),
        v6: address("fd00::1"),
        flags: DeviceFlags::empty(),
        link_address: [2, 0, 0, 0, 0, 5],
        padding: 0,
    };
    WantedNode {
        node_port_addresses: [address("192.0.2.1"), address("fd00::1")].into(),
        bound: [address("192.0.2.1"), address("10.96.0.99"), address("fd00::1")].into(),
        primary: [
            (Family::V4, address("192.0.2.1")),
            (Family::V6, address("fd00::1")),
        ]
        .into(),
        service_cidrs: ["10.96.0.0/16", "fd00:10::/108"]
            .map(|text| parse_cidr(text).unwrap())
            .into(),
        devices: [(DeviceIndex(5), device)].into(),
        vlans: [(7, 5), (100, 6)]
            .map(|(id, device)| {
                let parent = DeviceIndex(2);
                (Vlan { parent, id }, DeviceIndex(device))
            })
            .into(),
        ..WantedNode::default()
    }
}

/// What the kernel programs find.
fn is_in_range(place: &Place, set: RangeSetId, client: &str) -> bool {
    let trie = Map::LpmTrie(MapData::from_pin(place.map(maps::SOURCE_RANGES)).unwrap());
    let trie: LpmTrie<_, [u8; size_of::<SourceRange>()], u32> = trie.try_into().unwrap();
    let range = SourceRange::new(set, address(client));
    trie.get(&Key::new(SourceRange::WHOLE, bytemuck::cast(range)), 0)
        .is_ok()
}

fn set(contents: &MapContents, service: u8) -> RangeSetId {
    contents.frontends[&key(service)].ranges
}

#[test]
fn what_is_written_is_found_by_prefix_and_survives_a_restart() {
    let place = Place::new();
    let (mut dataplane, mut applied) = place.open();
    let ranges = ["10.0.0.0/8", "198.51.100.7/32", "fd00:7::/32"];
    dataplane.apply(&applied.replace(restricted(&ranges))).unwrap();
    dataplane.apply(&applied.place(node())).unwrap();

    let contents = dataplane.contents().unwrap();
    let (first, second) = (set(&contents, 1), set(&contents, 2));
    assert!(first != second && first != RangeSetId::EVERYBODY);
    for (client, expected) in [
        ("10.255.0.1", true),
        ("11.0.0.1", false),
        ("198.51.100.7", true),
        ("198.51.100.8", false),
        ("fd00:7::1", true),
        ("fd00:8::1", false),
    ] {
        assert_eq!(is_in_range(&place, first, client), expected, "3.41 {client}");
        assert_eq!(is_in_range(&place, second, client), expected, "3.41 {client}");
        assert!(!is_in_range(&place, RangeSetId(99), client), "3.41 {client}");
    }
    let wanted: Vec<_> = node().service_cidrs.iter().map(Cidr::range).collect();
    assert_eq!(contents.service_cidrs[..2], wanted);
    assert_eq!(contents.node_addresses, node().primary);
    assert_eq!(contents.devices, node().devices);
    assert_eq!(contents.vlans, node().vlans);
    for (text, role) in [
        ("192.0.2.1", AddressRole::NODE | AddressRole::OWN),
        ("fd00::1", AddressRole::NODE | AddressRole::OWN),
        ("10.96.0.99", AddressRole::OWN),
    ] {
        assert_eq!(contents.addresses[&address(text)], role, "{text}");
    }

    drop(dataplane);
    let (mut dataplane, mut applied) = place.open();
    assert_eq!(applied.replace(restricted(&ranges)).steps, []);
    assert_eq!(applied.place(node()).steps, []);

    let now = Instant::now();
    dataplane
        .apply(&applied.replace(restricted(&["10.1.0.0/16"])))
        .unwrap();
    for rounds in 0..2 {
        dataplane.apply(&applied.release(now + rounds * GRACE)).unwrap();
    }
    let contents = dataplane.contents().unwrap();
    assert_eq!(contents.source_ranges.len(), 2, "the former sets are gone");
    assert!(!is_in_range(&place, first, "10.1.0.1"));
    assert!(is_in_range(&place, set(&contents, 1), "10.1.0.1"));
}

#[test]
fn what_got_lost_is_healed() {
    let place = Place::new();
    let (mut dataplane, mut applied) = place.open();
    dataplane
        .apply(&applied.replace(restricted(&["10.0.0.0/8"])))
        .unwrap();
    dataplane.apply(&applied.place(node())).unwrap();
    let before = dataplane.contents().unwrap();

    // As if a plan had stopped midway: of one that takes all of this away.
    let mut elsewhere = Applied::adopt(SIZES.capacity(), before.clone());
    let mut plan = elsewhere.place(WantedNode::default());
    plan.steps
        .extend(elsewhere.replace(restricted(&["10.1.0.0/16"])).steps);
    dataplane.apply(&plan).unwrap();
    let contents = dataplane.contents().unwrap();
    assert_ne!(contents, before);
    assert_eq!(contents.vlans.len(), 0);

    dataplane.apply(&applied.heal(contents)).unwrap();
    let now = Instant::now();
    for rounds in 0..2 {
        dataplane.apply(&applied.release(now + rounds * GRACE)).unwrap();
    }
    let contents = dataplane.contents().unwrap();
    assert!(is_in_range(&place, set(&contents, 1), "10.9.0.1"));
    assert_eq!(contents.source_ranges.len(), 2);
    assert_eq!(contents.addresses, before.addresses);
    assert_eq!(contents.service_cidrs, before.service_cidrs);
    assert_eq!(contents.node_addresses, before.node_addresses);
    assert_eq!(contents.devices, before.devices);
    assert_eq!(contents.vlans, before.vlans);
}

#[test]
fn a_larger_trie_has_what_the_smaller_one_had() {
    let mut place = Place::new();
    let (mut dataplane, mut applied) = place.open();
    let ranges = ["10.0.0.0/8", "fd00::/64"];
    dataplane.apply(&applied.replace(restricted(&ranges))).unwrap();
    drop(dataplane);
    place.options.sizes = Sizes {
        source_ranges: 2 * SIZES.source_ranges,
        ..SIZES
    };
    let (dataplane, mut applied) = place.open();
    let entries = MapInfo::from_pin(place.map(maps::SOURCE_RANGES))
        .unwrap()
        .max_entries();
    assert_eq!(entries, 2 * SIZES.source_ranges);
    assert_eq!(applied.replace(restricted(&ranges)).steps, []);
    let first = set(&dataplane.contents().unwrap(), 1);
    assert!(is_in_range(&place, first, "10.0.0.1") && !is_in_range(&place, first, "11.0.0.1"));
}

#[test]
fn a_full_trie_holds_as_many_ranges_as_it_was_made_for() {
    let place = Place::new();
    let (mut dataplane, mut applied) = place.open();
    let ranges: Vec<String> = (0..SIZES.source_ranges / 2)
        .map(|number| format!("10.{number}.0.0/16"))
        .collect();
    let ranges: Vec<&str> = ranges.iter().map(String::as_str).collect();
    let plan = applied.replace(restricted(&ranges));
    assert_eq!(plan.problems, []);
    dataplane.apply(&plan).unwrap();
    let plan = applied.replace(restricted(&["192.0.2.0/24"]));
    assert_eq!(plan.problems.len(), 2, "no room beside the former sets");
}
