//! The node's addresses and the ranges of ClusterIPs.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use kproxy_common::{AddressRole, Device, DeviceFlags, DeviceIndex, Vlan, maps};

use super::super::{Action, Applied, GRACE};
use super::model::Model;
use super::view::Verdict;
use super::*;

fn node(node_ports: &[u8], bound: &[u8], cidrs: &[&str]) -> WantedNode {
    WantedNode {
        node_port_addresses: node_ports.iter().copied().map(address).collect(),
        bound: bound.iter().copied().map(address).collect(),
        primary: BTreeMap::new(),
        service_cidrs: cidrs.iter().map(|text| cidr(text)).collect(),
        ..WantedNode::default()
    }
}

fn placed(node: WantedNode, state: &BTreeMap<ServicePortName, WantedService>) -> (Applied, Model) {
    let (mut applied, mut model) = (Applied::new(ROOMY), Model::new(ROOMY));
    model.apply(&applied.replace(state.clone()));
    model.apply(&applied.place(node));
    (applied, model)
}

#[test]
fn node_ports_are_served_on_the_nodes_addresses_unless_a_service_is_there() {
    let mut web = service(1, &[1]);
    let frontend = WantedFrontend {
        flags: FrontendFlags::NODE_PORT,
        ..web.frontends[&key(1, 80)]
    };
    let node_port = FrontendKey {
        address: Address::unspecified(Family::V4),
        ..key(0, 30_000)
    };
    web.frontends.insert(node_port, frontend);
    let (_, model) = placed(node(&[1, 7], &[], &[]), &wanted([("web", web)]));
    let flags = |key| match model.contents.verdict(key) {
        Verdict::Served(view) => Some(view.flags),
        Verdict::Rejected | Verdict::Dropped | Verdict::LeftAlone => None,
    };
    // (what, where, which frontend)
    let rows = [
        (
            "3.02 an eligible address",
            key(7, 30_000),
            Some(FrontendFlags::NODE_PORT),
        ),
        (
            "3.02 beside a service",
            key(1, 30_000),
            Some(FrontendFlags::NODE_PORT),
        ),
        (
            "3.02 the service's own port",
            key(1, 80),
            Some(FrontendFlags::CLUSTER_IP),
        ),
        ("3.25, 4.05 another address", key(8, 30_000), None),
        ("4.14 another port", key(7, 30_001), None),
    ];
    for (what, key, expected) in rows {
        assert_eq!(flags(key), expected, "{what}");
    }
}

#[test]
fn addresses_in_ranges_of_cluster_ips_without_a_service_lead_nowhere() {
    let mut state = wanted([("web", service(1, &[1])), ("dns", service(2, &[1]))]);
    let (mut applied, mut model) = placed(node(&[], &[2, 3], &["10.96.0.0/28"]), &state);
    let rows = [
        (
            "4.08 another port of an active ClusterIP",
            key(1, 81),
            Verdict::Rejected,
        ),
        ("4.09 unallocated", key(4, 80), Verdict::Dropped),
        ("4.12 in no range", key(99, 80), Verdict::LeftAlone),
        (
            "4.13 another port of a bound ClusterIP",
            key(2, 81),
            Verdict::LeftAlone,
        ),
        ("4.13 unallocated and bound", key(3, 80), Verdict::LeftAlone),
    ];
    for (what, key, expected) in rows {
        assert_eq!(model.contents.verdict(key), expected, "{what}");
    }
    model.apply(&applied.change(one("web", None)));
    assert_eq!(
        model.contents.verdict(key(1, 81)),
        Verdict::Dropped,
        "4.10 not active any more"
    );
    assert_eq!(
        model.contents.role(address(1)),
        AddressRole::SERVICE,
        "4.02 open connections go on"
    );
    state.remove(&name("web"));
    let unbound = node(&[], &[], &["10.96.0.0/28"]);
    model.apply(&applied.place(unbound.clone()));
    model.assert_placed(&unbound, &state);
    assert_eq!(model.contents.verdict(key(2, 81)), Verdict::Rejected);
    assert_eq!(model.contents.verdict(key(3, 80)), Verdict::Dropped);
}

#[test]
fn what_stays_costs_nothing() {
    let state = wanted([("web", service(1, &[1])), ("dns", service(2, &[1]))]);
    let (mut applied, _) = placed(node(&[7], &[7, 9], &["10.96.0.0/28"]), &state);
    let plan = applied.place(node(&[7], &[7, 9], &["10.96.0.0/28"]));
    assert_eq!(plan, Plan::default());
    let plan = applied.place(node(&[7, 8], &[7, 8], &["10.96.0.0/28"]));
    assert_eq!(
        texts(&plan),
        ["put ADDRESSES[10.96.0.8]", "remove ADDRESSES[10.96.0.9]"]
    );
    let plan = applied.place(node(&[7], &[7], &["10.96.0.0/28"]));
    assert_eq!(
        texts(&plan),
        ["put ADDRESSES[10.96.0.8]"],
        "open connections go on"
    );
}

#[test]
fn the_nodes_own_addresses_are_written_when_they_change() {
    let mut applied = Applied::new(ROOMY);
    let with = |primary: &[(Family, Address)]| WantedNode {
        primary: primary.iter().copied().collect(),
        ..WantedNode::default()
    };
    let plan = applied.place(with(&[(Family::V4, address(9))]));
    assert_eq!(texts(&plan), ["write NODE_ADDRESSES[IPv4] = 10.96.0.9"]);
    let plan = applied.place(with(&[]));
    assert_eq!(texts(&plan), ["write NODE_ADDRESSES[IPv4] = 0.0.0.0"]);
}

#[test]
fn a_restart_leaves_the_node_as_it_is_until_it_is_known() {
    let state = wanted([("web", service(1, &[1]))]);
    let here = WantedNode {
        primary: [(Family::V4, address(9))].into(),
        ..node(&[7], &[3], &["10.96.0.0/28"])
    };
    let (_, mut model) = placed(here.clone(), &state);
    let mut applied = Applied::adopt(ROOMY, model.contents.clone());
    let plan = applied.settle(BTreeMap::from_iter(one("new", Some(service(2, &[])))));
    model.apply(&plan);
    assert_eq!(model.contents.role(address(7)), AddressRole::NODE);
    assert_eq!(model.contents.role(address(3)), AddressRole::OWN);
    assert_eq!(
        model.contents.role(address(2)),
        AddressRole::SERVICE,
        "it may be bound: nothing is rejected yet"
    );
    assert!(model.contents.is_in_a_service_cidr(address(4)));
    model.apply(&applied.place(here.clone()));
    model.assert_placed(&here, &wanted([("new", service(2, &[]))]));
}

#[test]
fn what_nobody_has_claimed_yet_stays_when_the_node_becomes_known() {
    let state = wanted([("web", service(1, &[1]))]);
    let (_, mut model) = placed(node(&[], &[], &[]), &state);
    let mut applied = Applied::adopt(ROOMY, model.contents.clone());
    let before = model.contents.role(address(1));
    model.apply(&applied.place(node(&[7], &[7], &[])));
    assert_eq!(model.contents.role(address(1)), before);
    model.apply(&applied.settle(BTreeMap::new()));
    assert_eq!(model.contents.role(address(1)), AddressRole::SERVICE);
}

#[test]
fn more_ranges_of_cluster_ips_than_there_is_room_for_are_named() {
    let (mut applied, mut model) = (Applied::new(ROOMY), Model::new(ROOMY));
    let cidrs = |count: u8| WantedNode {
        service_cidrs: (0..count)
            .map(|number| cidr(&format!("10.{number}.0.0/16")))
            .collect(),
        ..WantedNode::default()
    };
    let plan = applied.place(cidrs(34));
    model.apply(&plan);
    let problems: Vec<_> = plan.problems.iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2);
    assert_eq!(
        problems[0],
        "this node: the data plane knows 32 ranges of ClusterIPs; packets to addresses of 10.32.0.0/16 that are no \
         service's are left alone"
    );
    // The list is full: there is no place beside those that go.
    let mut others = cidrs(34);
    others.service_cidrs.remove(&cidr("10.3.0.0/16"));
    let plan = applied.place(others);
    assert_eq!(plan.problems.len(), 1);
    model.apply(&plan);
    model.apply(&applied.place(cidrs(2)));
    assert_eq!(applied.place(cidrs(2)), Plan::default());
    let in_a_range = (0..34_u8).filter(|number| {
        let address = Address::from(Ipv4Addr::new(10, *number, 0, 1));
        model.contents.is_in_a_service_cidr(address)
    });
    assert_eq!(in_a_range.collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn a_list_with_something_behind_its_end_is_cleaned_first() {
    let mut model = Model::new(ROOMY);
    model.contents.service_cidrs[5] = cidr("10.1.0.0/16").range();
    let mut applied = Applied::adopt(ROOMY, model.contents.clone());
    let range = node(&[], &[], &["10.96.0.0/16"]);
    let plan = applied.place(range);
    assert_eq!(texts(&plan), ["write SERVICE_CIDRS[5]", "write SERVICE_CIDRS[0]"]);
}

#[test]
fn an_address_of_the_node_without_room_is_named_and_served_when_there_is_some() {
    let capacity = Capacity {
        addresses: 2,
        ..ROOMY
    };
    let (mut applied, mut model) = (Applied::new(capacity), Model::new(capacity));
    let state = wanted([("a", service(1, &[])), ("b", service(2, &[]))]);
    model.apply(&applied.replace(state));
    let plan = applied.place(node(&[7], &[7], &[]));
    assert_eq!(
        plan.problems[0].to_string(),
        "this node: no room for 10.96.0.7 in map ADDRESSES (2 entries); NodePorts are not served there, and \
         answers to it do not reach clients outside; raise --frontends"
    );
    model.apply(&plan);
    model.apply(&applied.change(one("a", None)));
    let now = Instant::now();
    for seconds in 0..3 {
        model.apply(&applied.release(now + seconds * GRACE + Duration::from_millis(1)));
    }
    assert_eq!(
        model.contents.role(address(7)),
        AddressRole::NODE | AddressRole::OWN
    );
}

#[test]
fn services_leave_the_nodes_own_addresses_their_room() {
    let capacity = Capacity {
        addresses: 4,
        ..ROOMY
    };
    let (mut applied, mut model) = (Applied::new(capacity), Model::new(capacity));
    model.apply(&applied.place(node(&[], &[7], &[])));
    model.apply(&applied.change(one("a", Some(service(1, &[])))));
    let here = node(&[], &[7, 8], &[]);
    model.apply(&applied.place(here.clone()));
    let others = wanted([("b", service(2, &[])), ("c", service(3, &[]))]);
    let plan = applied.change(others.into_iter().map(|(name, it)| (name, Some(it))).collect());
    assert_eq!(plan.problems.len(), 1, "one of three has no room");
    model.apply(&plan);
    for own in [7, 8] {
        assert_eq!(model.contents.role(address(own)), AddressRole::OWN);
    }
    // An address that a service stands on and the node has is one entry.
    model.apply(&applied.place(node(&[], &[1, 7], &[])));
    assert_eq!(
        model.contents.role(address(1)),
        AddressRole::SERVICE | AddressRole::OWN
    );
}

#[test]
fn loopback_and_link_local_addresses_are_nobodys_own() {
    let mut applied = Applied::new(ROOMY);
    let bound = ["127.0.0.1", "::1", "fe80::1", "fd00::1", "169.254.1.1"];
    let plan = applied.place(WantedNode {
        bound: bound
            .iter()
            .map(|text| text.parse::<IpAddr>().expect("an address").into())
            .collect(),
        ..WantedNode::default()
    });
    assert_eq!(
        texts(&plan),
        ["put ADDRESSES[169.254.1.1]", "put ADDRESSES[fd00::1]"]
    );
}

#[test]
fn devices_and_ranges_of_pods_follow_what_is_wanted() {
    let device = |host: u8| Device {
        v4: address(host),
        v6: Address::unspecified(Family::V6),
        flags: DeviceFlags::empty(),
        link_address: [0; 6],
        padding: 0,
    };
    let with = |devices: &[(u32, u8)], range: Option<&str>| WantedNode {
        devices: devices
            .iter()
            .map(|(index, host)| (DeviceIndex(*index), device(*host)))
            .collect(),
        pod_ranges: range
            .map(|text| (Family::V4, cidr(text).range()))
            .into_iter()
            .collect(),
        ..WantedNode::default()
    };
    let mut applied = Applied::new(ROOMY);
    let plan = applied.place(with(&[(2, 1), (3, 2)], Some("10.244.0.0/16")));
    assert_eq!(
        texts(&plan),
        [
            "write POD_RANGES[IPv4] = 10.244.0.0/16",
            "put DEVICES[2]",
            "put DEVICES[3]"
        ]
    );
    let mut model = Model::new(ROOMY);
    model.apply(&plan);
    let mut applied = Applied::adopt(ROOMY, model.contents.clone());
    let plan = applied.place(with(&[(2, 1), (4, 2)], None));
    assert_eq!(
        texts(&plan),
        [
            "write POD_RANGES[IPv4] = nothing",
            "remove DEVICES[3]",
            "put DEVICES[4]"
        ]
    );
    let many: Vec<_> = (0..5_000).map(|index| (index, 1)).collect();
    let plan = applied.place(with(&many, None));
    assert_eq!(plan.problems.len(), 1);
    assert!(
        plan.problems[0].to_string().contains("904 others"),
        "{}",
        plan.problems[0]
    );
}

/// XDP goes by a VLAN's entry to its device's.
#[test]
fn vlans_follow_what_is_wanted_around_their_devices() {
    let device = Device {
        v4: address(1),
        v6: Address::unspecified(Family::V6),
        flags: DeviceFlags::empty(),
        link_address: [0; 6],
        padding: 0,
    };
    let vlan = |id| Vlan {
        parent: DeviceIndex(2),
        id,
    };
    let with = |vlans: &[(u32, u32)]| WantedNode {
        devices: vlans
            .iter()
            .map(|(_, index)| (DeviceIndex(*index), device))
            .collect(),
        vlans: vlans
            .iter()
            .map(|(id, index)| (vlan(*id), DeviceIndex(*index)))
            .collect(),
        ..WantedNode::default()
    };
    let (mut applied, mut model) = (Applied::new(ROOMY), Model::new(ROOMY));
    let plan = applied.place(with(&[(100, 5), (7, 6)]));
    assert_eq!(
        texts(&plan),
        [
            "put DEVICES[5]",
            "put DEVICES[6]",
            "put VLANS[2.7] = 6",
            "put VLANS[2.100] = 5"
        ]
    );
    model.apply(&plan);
    let mut applied = Applied::adopt(ROOMY, model.contents.clone());
    let wanted = with(&[(100, 8), (9, 6)]);
    let plan = applied.place(wanted.clone());
    assert_eq!(
        texts(&plan),
        [
            "remove VLANS[2.7]",
            "remove DEVICES[5]",
            "put DEVICES[8]",
            "put VLANS[2.9] = 6",
            "put VLANS[2.100] = 8"
        ]
    );
    model.apply(&plan);
    model.assert_placed(&wanted, &BTreeMap::new());
    assert_eq!(applied.place(wanted).steps, [], "nothing is left to do");
    let many: Vec<_> = (0..5_000).map(|number| (number, number + 10)).collect();
    let wanted = WantedNode {
        devices: BTreeMap::new(),
        ..with(&many)
    };
    let plan = applied.place(wanted);
    let put = plan
        .steps
        .iter()
        .filter(|step| matches!(step.action, Action::PutVlan { .. }));
    assert_eq!(put.count(), maps::VLANS_MAX as usize);
    let problems: Vec<_> = plan.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        ["this node: the data plane knows 4096 VLANs; XDP leaves the packets of 904 others to TC"]
    );
}
