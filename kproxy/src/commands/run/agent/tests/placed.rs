//! The node's addresses.

use std::net::IpAddr;

use kproxy_common::{AddressRole, Family};

use super::*;
use crate::commands::run::awaited::Awaited;
use crate::model::parse_address;

fn addresses(texts: &[&str]) -> BTreeSet<Address> {
    texts
        .iter()
        .map(|text| parse_address(text).expect("an address"))
        .collect()
}

/// The same as devices have them.
fn bound(texts: &[&str]) -> devices::Addresses {
    devices::Addresses {
        bound: addresses(texts),
        ..devices::Addresses::default()
    }
}

fn node(addresses: &[&str]) -> Event {
    let addresses: Vec<_> = addresses
        .iter()
        .map(|address| json!({ "type": "InternalIP", "address": address }))
        .collect();
    let object = json!({ "metadata": { "name": "here" }, "status": { "addresses": addresses } });
    let object: k8s_openapi::api::core::v1::Node = serde_json::from_value(object).expect("a node");
    Event::now(News::Node(Change::Applied(object.try_into().expect("a node"))))
}

fn service_cidr(cidr: &str) -> Event {
    let object = json!({ "metadata": { "name": "more" }, "spec": { "cidrs": [cidr] } });
    let object: k8s_openapi::api::networking::v1::ServiceCIDR =
        serde_json::from_value(object).expect("a ServiceCIDR");
    let parsed = object.try_into().expect("a ServiceCIDR");
    Event::now(News::ServiceCidr(Change::Applied(parsed)))
}

/// Where `NodePorts` are served.
fn node_ports(kernel: &Fake) -> BTreeSet<Address> {
    let state = kernel.0.borrow();
    let roles = state.contents.addresses.iter();
    roles
        .filter(|(_, role)| role.contains(AddressRole::NODE))
        .map(|(address, _)| *address)
        .collect()
}

#[test]
fn node_ports_follow_the_nodes_addresses() {
    let (mut agent, kernel) = synced_agent();
    let here = ["10.0.0.1", "10.0.0.2", "127.0.0.1", "fd00::1"];
    agent.take_in(vec![node(&["10.0.0.1"])]);
    assert_eq!(
        node_ports(&kernel),
        BTreeSet::new(),
        "no address is known to be bound"
    );
    agent.take_in_addresses(Some(bound(&here)));
    // 3.17, 10.20 the primary one; 3.18 all where none is known; 3.21 never loopback.
    assert_eq!(node_ports(&kernel), addresses(&["10.0.0.1", "fd00::1"]));
    agent.take_in_addresses(Some(bound(&["10.0.0.2", "fd00::1"])));
    assert_eq!(node_ports(&kernel), addresses(&["fd00::1"]));
    agent.take_in(vec![node(&["10.0.0.2"])]);
    assert_eq!(node_ports(&kernel), addresses(&["10.0.0.2", "fd00::1"]));
    let primary = kernel.0.borrow().contents.node_addresses[&Family::V4];
    assert_eq!(primary, parse_address("10.0.0.2").expect("an address"));
}

/// Whether an address of no service is dropped.
fn is_dropped(kernel: &Fake, address: &str) -> bool {
    let address = parse_address(address).expect("an address");
    let state = kernel.0.borrow();
    let mut ranges = state.contents.service_cidrs.iter();
    ranges.any(|range| range.contains(&address))
}

#[test]
fn new_ranges_of_cluster_ips_count_at_once() {
    let (mut agent, kernel) = synced_agent();
    agent.take_in_addresses(Some(bound(&[])));
    agent.take_in(vec![service_cidr("10.97.0.0/16")]);
    assert!(
        is_dropped(&kernel, "10.97.1.1") && !is_dropped(&kernel, "10.98.1.1"),
        "4.09, 4.11"
    );
}

#[test]
fn nothing_is_dropped_as_unallocated_before_every_service_is_written_4_09() {
    let (mut agent, kernel) = agent();
    kernel.0.borrow_mut().refused = Some("bad");
    agent.take_in_addresses(Some(bound(&["10.0.0.1"])));
    let listed = Kind::ALL.map(|kind| Event::now(News::Listed(kind)));
    let objects = [service("bad", "10.96.0.1"), service_cidr("10.96.0.0/16")];
    agent.take_in(objects.into_iter().chain(listed).collect());
    assert!(!is_dropped(&kernel, "10.96.0.1"), "it is a service's");
    agent.take_in_addresses(Some(bound(&["10.0.0.2"])));
    assert!(!is_dropped(&kernel, "10.96.0.1"));

    kernel.0.borrow_mut().refused = None;
    let again = agent.wake_at().expect("a next try");
    agent.wake(again);
    assert_eq!(programmed(&kernel), [row("10.96.0.1", 0)].into());
    assert!(is_dropped(&kernel, "10.96.0.2"), "4.09");
    assert_eq!(node_ports(&kernel), addresses(&["10.0.0.2"]));
}

#[test]
fn nothing_is_dropped_as_unallocated_while_a_service_can_not_be_read_4_09() {
    let (mut agent, kernel) = agent();
    agent.take_in_addresses(Some(bound(&["10.0.0.1"])));
    let listed = Kind::ALL.map(|kind| Event::now(News::Listed(kind)));
    let objects = [left_over::unreadable_service("bad"), service_cidr("10.96.0.0/16")];
    agent.take_in(objects.into_iter().chain(listed).collect());
    assert!(!is_dropped(&kernel, "10.96.0.1"), "4.09 it may be its address");
    agent.take_in(vec![left_over::unread(1), service("bad", "10.96.0.1")]);
    assert!(!is_dropped(&kernel, "10.96.0.2"), "4.09 a manifest may have one");
    agent.take_in(vec![left_over::unread(0)]);
    assert!(is_dropped(&kernel, "10.96.0.2"), "4.09");
    agent.take_in(vec![left_over::unreadable_service("bad")]);
    assert!(is_dropped(&kernel, "10.96.0.2"), "what was known of it stays");
}

#[test]
fn what_does_not_change_is_not_programmed_again() {
    let (mut agent, kernel) = synced_agent();
    agent.take_in_addresses(Some(bound(&["10.0.0.1"])));
    let plans = kernel.0.borrow().plans;
    agent.take_in_addresses(Some(bound(&["10.0.0.1"])));
    agent.take_in(vec![node(&[])]);
    assert_eq!(kernel.0.borrow().plans, plans);
}

#[test]
fn the_node_is_placed_again_when_a_failure_is_healed() {
    let (mut agent, kernel) = synced_agent();
    agent.take_in_addresses(Some(bound(&["10.0.0.1"])));
    kernel.0.borrow_mut().refused = Some("bad");
    agent.take_in(vec![service("bad", "10.96.0.1")]);
    kernel.0.borrow_mut().contents.addresses.clear();
    kernel.0.borrow_mut().refused = None;
    let again = agent.wake_at().expect("a next try");
    agent.wake(again);
    assert_eq!(node_ports(&kernel), addresses(&["10.0.0.1"]));
}

/// An agent with these contents of an earlier run, which waits for the Node object's addresses.
fn awaiting_agent(contents: MapContents) -> (Agent<Fake>, Fake, Instant) {
    bound_agent(contents, None)
}

/// The same with a `bindAddress`.
fn bound_agent(contents: MapContents, bind_address: Option<IpAddr>) -> (Agent<Fake>, Fake, Instant) {
    let until = Instant::now() + Duration::from_hours(1);
    let (mut agent, kernel) = agent();
    agent.placing =
        Placing::new(NodePortAddresses::Primary, bind_address).awaiting(Awaited::new(until, &contents));
    agent.applied = Applied::adopt(CAPACITY, contents.clone());
    kernel.0.borrow_mut().contents = contents;
    let listed = |kind| Event::now(News::Listed(kind));
    agent.take_in(Kind::ALL.into_iter().map(listed).collect());
    agent.take_in_device(DeviceEvent::Listed);
    agent.take_in_addresses(Some(bound(&["10.0.0.1", "10.0.0.2", "fd00::1"])));
    (agent, kernel, until)
}

#[test]
fn services_do_not_wait_for_the_node_and_node_ports_do_10_19() {
    let (mut agent, kernel, until) = awaiting_agent(MapContents::default());
    assert!(agent.is_ready(), "10.19");
    agent.take_in(vec![service("web", "10.96.0.1"), slice(&["10.1.0.1"])]);
    assert_eq!(programmed(&kernel), [row("10.96.0.1", 1)].into(), "10.19");
    // A Node object without addresses is what registers first where a cloud provider gives them.
    agent.take_in(vec![node(&[])]);
    assert_eq!(
        node_ports(&kernel),
        BTreeSet::new(),
        "10.19 not even for a moment"
    );
    assert_eq!(agent.wake_at(), Some(until));

    agent.take_in(vec![node(&["10.0.0.1"])]);
    assert_eq!(
        node_ports(&kernel),
        addresses(&["10.0.0.1", "fd00::1"]),
        "3.17, 3.18"
    );
    assert_eq!(agent.wake_at(), None);
}

#[test]
fn what_bind_address_says_waits_for_nothing_10_19() {
    let bind_address = Some(IpAddr::from([10, 0, 0, 2]));
    let (_agent, kernel, _) = bound_agent(MapContents::default(), bind_address);
    assert_eq!(node_ports(&kernel), addresses(&["10.0.0.2"]), "10.18, 10.19");
}

#[test]
fn the_node_is_not_waited_for_for_ever_10_19() {
    let (mut agent, kernel, until) = awaiting_agent(MapContents::default());
    agent.wake(until.checked_sub(Duration::from_secs(1)).expect("a time"));
    assert_eq!(node_ports(&kernel), BTreeSet::new(), "10.19 not yet");
    agent.wake(until);
    let all = addresses(&["10.0.0.1", "10.0.0.2", "fd00::1"]);
    assert_eq!(node_ports(&kernel), all, "10.19, 3.18");
    assert_eq!(agent.wake_at(), None);
    agent.take_in(vec![node(&["10.0.0.2", "fd00::1"])]);
    assert_eq!(
        node_ports(&kernel),
        addresses(&["10.0.0.2", "fd00::1"]),
        "and still later"
    );
}

#[test]
fn what_an_earlier_run_knew_of_the_node_stays_while_it_is_waited_for_10_19() {
    let address = |text| parse_address(text).expect("an address");
    let left = MapContents {
        addresses: ["10.0.0.2", "10.0.0.9"]
            .map(|text| (address(text), AddressRole::NODE))
            .into(),
        node_addresses: [(Family::V4, address("10.0.0.2"))].into(),
        ..MapContents::default()
    };
    let (mut agent, kernel, until) = awaiting_agent(left);
    // 10.0.0.9 is not bound any more.
    assert_eq!(node_ports(&kernel), addresses(&["10.0.0.2"]), "10.19");
    let primary = |kernel: &Fake| kernel.0.borrow().contents.node_addresses[&Family::V4];
    assert_eq!(primary(&kernel), address("10.0.0.2"), "10.19");
    agent.wake(until);
    assert!(primary(&kernel).ip().is_unspecified(), "10.19 unknown after all");
    agent.take_in(vec![node(&["10.0.0.1"])]);
    assert_eq!(primary(&kernel), address("10.0.0.1"));
}
