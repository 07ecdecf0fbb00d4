//! The node's addresses.

use kproxy_common::{AddressRole, Family};

use super::*;
use crate::model::parse_address;

fn addresses(texts: &[&str]) -> BTreeSet<Address> {
    texts
        .iter()
        .map(|text| parse_address(text).expect("an address"))
        .collect()
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
    agent.take_in_addresses(Some(addresses(&here)));
    // 3.17 the primary one; 3.18 all where none is known; 3.21 never loopback.
    assert_eq!(node_ports(&kernel), addresses(&["10.0.0.1", "fd00::1"]));
    agent.take_in_addresses(Some(addresses(&["10.0.0.2", "fd00::1"])));
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
    agent.take_in_addresses(Some(BTreeSet::new()));
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
    agent.take_in_addresses(Some(addresses(&["10.0.0.1"])));
    let listed = Kind::ALL.map(|kind| Event::now(News::Listed(kind)));
    let objects = [service("bad", "10.96.0.1"), service_cidr("10.96.0.0/16")];
    agent.take_in(objects.into_iter().chain(listed).collect());
    assert!(!is_dropped(&kernel, "10.96.0.1"), "it is a service's");
    agent.take_in_addresses(Some(addresses(&["10.0.0.2"])));
    assert!(!is_dropped(&kernel, "10.96.0.1"));

    kernel.0.borrow_mut().refused = None;
    let again = agent.wake_at().expect("a next try");
    agent.wake(again);
    assert_eq!(programmed(&kernel), [row("10.96.0.1", 0)].into());
    assert!(is_dropped(&kernel, "10.96.0.2"), "4.09");
    assert_eq!(node_ports(&kernel), addresses(&["10.0.0.2"]));
}

#[test]
fn what_does_not_change_is_not_programmed_again() {
    let (mut agent, kernel) = synced_agent();
    agent.take_in_addresses(Some(addresses(&["10.0.0.1"])));
    let plans = kernel.0.borrow().plans;
    agent.take_in_addresses(Some(addresses(&["10.0.0.1"])));
    agent.take_in(vec![node(&[])]);
    assert_eq!(kernel.0.borrow().plans, plans);
}

#[test]
fn the_node_is_placed_again_when_a_failure_is_healed() {
    let (mut agent, kernel) = synced_agent();
    agent.take_in_addresses(Some(addresses(&["10.0.0.1"])));
    kernel.0.borrow_mut().refused = Some("bad");
    agent.take_in(vec![service("bad", "10.96.0.1")]);
    kernel.0.borrow_mut().contents.addresses.clear();
    kernel.0.borrow_mut().refused = None;
    let again = agent.wake_at().expect("a next try");
    agent.wake(again);
    assert_eq!(node_ports(&kernel), addresses(&["10.0.0.1"]));
}
