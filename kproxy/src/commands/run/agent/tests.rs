//! The agent with maps that are ordinary collections.

mod doors;
mod fake;
mod first;
mod left_over;
mod placed;
mod problems;
mod status;

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{Address, FrontendKey, Port, Protocol};
use serde_json::{Value, json};

use super::*;
use crate::config::NodePortAddresses;
use crate::devices::{Device, Event as DeviceEvent};
use crate::model::{Kind, ObjectName, samples};
use crate::plan::{Capacity, MapContents};
use crate::serve::{Events, Status};
use crate::source::{Change, News};

use fake::Fake;

const CAPACITY: Capacity = Capacity {
    addresses: 64,
    frontends: 64,
    slots: 256,
    backends: 64,
    source_ranges: 16,
};

fn new_agent(applied: Applied, kernel: Fake) -> Agent<Fake> {
    let placing = Placing::new(NodePortAddresses::Primary, None);
    Agent::new(
        Index::new("here"),
        applied,
        kernel,
        placing,
        Reporter::new(status()),
    )
}

/// Whatever waits makes it unhealthy at once.
fn status() -> Status {
    Status::new(Duration::ZERO, true, Events::none()).expect("metrics")
}

fn agent() -> (Agent<Fake>, Fake) {
    let kernel = Fake::default();
    (new_agent(Applied::new(CAPACITY), kernel.clone()), kernel)
}

fn synced_agent() -> (Agent<Fake>, Fake) {
    let (mut agent, kernel) = agent();
    agent.take_in(
        Kind::ALL
            .into_iter()
            .map(|kind| Event::now(News::Listed(kind)))
            .collect(),
    );
    (agent, kernel)
}

fn service(name: &str, address: &str) -> Event {
    let mut parsed = samples::parse_service(json!({ "clusterIP": address })).expect("a service");
    parsed.name = ObjectName::new("default", name);
    parsed.object.as_mut().expect("an object").name = parsed.name.clone();
    Event::now(News::Service(Change::Applied(parsed)))
}

fn slice(addresses: &[&str]) -> Event {
    let endpoints: Value = addresses
        .iter()
        .map(|address| json!({ "addresses": [address] }))
        .collect();
    let parsed = samples::parse_slice(json!({ "endpoints": endpoints })).expect("a slice");
    Event::now(News::Slice(Change::Applied(parsed)))
}

/// Which service addresses are programmed, with the number of backends.
fn programmed(kernel: &Fake) -> BTreeMap<String, u32> {
    let state = kernel.0.borrow();
    let frontends = state.contents.frontends.iter();
    frontends
        .map(|(key, frontend)| (key.address.to_string(), frontend.inside.count))
        .collect()
}

fn row(address: &str, backends: u32) -> (String, u32) {
    (address.to_owned(), backends)
}

#[test]
fn nothing_is_written_before_every_source_is_synced() {
    let (mut agent, kernel) = agent();
    let address = Address::from("10.96.0.99".parse::<std::net::IpAddr>().expect("address"));
    let left_over = FrontendKey::new(address, Port::new(80), Protocol::TCP);
    kernel
        .0
        .borrow_mut()
        .contents
        .frontends
        .insert(left_over, bytemuck::Zeroable::zeroed());
    agent.applied = Applied::adopt(CAPACITY, kernel.0.borrow().contents.clone());

    agent.take_in(vec![
        service("web", "10.96.0.1"),
        slice(&["10.0.0.1", "10.0.0.2"]),
    ]);
    for kind in Kind::ALL {
        assert_eq!(kernel.0.borrow().plans, 0, "11.01, 11.12 what is there stays");
        agent.take_in(vec![Event::now(News::Listed(kind))]);
    }
    assert_eq!(
        programmed(&kernel),
        [row("10.96.0.1", 2)].into(),
        "11.03 and what is left over goes"
    );
}

#[test]
fn a_batch_is_one_plan_and_nothing_new_is_none() {
    let (mut agent, kernel) = synced_agent();
    let plans = kernel.0.borrow().plans;
    agent.take_in(vec![
        service("web", "10.96.0.1"),
        slice(&["10.0.0.1"]),
        slice(&["10.0.0.1", "10.0.0.2"]),
    ]);
    assert_eq!(kernel.0.borrow().plans, plans + 1, "11.05");
    assert_eq!(programmed(&kernel), [row("10.96.0.1", 2)].into());
    agent.take_in(vec![service("web", "10.96.0.1")]);
    assert_eq!(kernel.0.borrow().plans, plans + 1);
}

#[test]
fn a_conflict_is_told_with_the_batch_that_brings_it() {
    let (mut agent, _) = synced_agent();
    agent.take_in(vec![service("web", "10.96.0.1"), service("other", "10.96.0.1")]);
    assert_eq!(agent.index.take_problems(), [], "nothing is left to be told");
}

#[test]
fn a_service_that_can_not_be_written_leaves_the_others_alone_and_is_tried_again() {
    let (mut agent, kernel) = synced_agent();
    kernel.0.borrow_mut().refused = Some("bad");
    agent.take_in(vec![
        service("bad", "10.96.0.1"),
        service("good", "10.96.0.2"),
        slice(&["10.0.0.1"]),
    ]);
    assert_eq!(programmed(&kernel), [row("10.96.0.2", 0)].into());
    agent.take_in(vec![service("web", "10.96.0.3")]);
    assert_eq!(
        programmed(&kernel),
        [row("10.96.0.2", 0), row("10.96.0.3", 1)].into(),
        "others go on"
    );

    let again = agent.wake_at().expect("a next try");
    agent.wake(again);
    assert_eq!(programmed(&kernel).len(), 2);
    kernel.0.borrow_mut().refused = None;
    let again = agent.wake_at().expect("another try");
    agent.wake(again);
    assert_eq!(
        programmed(&kernel),
        [row("10.96.0.1", 0), row("10.96.0.2", 0), row("10.96.0.3", 1)].into()
    );
    assert_eq!(agent.retry.at(), None, "11.06");
}

#[test]
fn what_is_woken_for_is_done() {
    let (mut agent, kernel) = synced_agent();
    agent.take_in(vec![service("web", "10.96.0.1"), slice(&["10.0.0.1"])]);
    agent.take_in(vec![slice(&["10.0.0.2"])]);
    kernel.0.borrow_mut().refused = Some("bad");
    agent.take_in(vec![service("bad", "10.96.0.2")]);
    assert!(agent.release_at.is_some() && agent.retry.at().is_some());
    for _ in 0..8 {
        let at = agent.wake_at().expect("a next try");
        agent.wake(at);
        assert!(
            agent.wake_at() > Some(at),
            "or it would be called at once for ever"
        );
    }
}

#[test]
fn what_was_given_up_is_released_after_the_grace_period_and_then_there_is_peace() {
    let (mut agent, kernel) = synced_agent();
    agent.take_in(vec![service("web", "10.96.0.1"), slice(&["10.0.0.1"])]);
    agent.take_in(vec![slice(&["10.0.0.2"])]);
    for _ in 0..4 {
        let Some(at) = agent.wake_at() else { break };
        agent.wake(at + GRACE);
    }
    assert_eq!(agent.wake_at(), None);
    assert_eq!(programmed(&kernel), [row("10.96.0.1", 1)].into());
}

#[test]
fn ready_means_programmed_and_all_doors_known() {
    let (mut agent, _) = agent();
    agent.take_in_device(DeviceEvent::Listed);
    agent.take_in_addresses(Some(devices::Addresses::default()));
    assert!(!agent.ready);
    agent.take_in(
        Kind::ALL
            .into_iter()
            .map(|kind| Event::now(News::Listed(kind)))
            .collect(),
    );
    assert!(agent.ready);
    let (mut agent, _) = synced_agent();
    agent.take_in_device(DeviceEvent::Listed);
    assert!(!agent.ready);
    agent.take_in_addresses(Some(devices::Addresses::default()));
    assert!(agent.ready);
    let (mut agent, _) = synced_agent();
    agent.take_in_addresses(Some(devices::Addresses::default()));
    assert!(!agent.ready);
    agent.take_in_device(DeviceEvent::Listed);
    assert!(agent.ready);
}
