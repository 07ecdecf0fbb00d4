//! The agent with maps that are ordinary collections.

mod left_over;
mod placed;
mod problems;
mod status;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use anyhow::{Result, bail};
use kproxy_common::{Address, AddressRange, FrontendKey, Port, Protocol};
use serde_json::{Value, json};
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::*;
use crate::commands::run::{Inputs, PodRanges, QUEUE, Signals, serve};
use crate::config::{LocalDetector, NodePortAddresses};
use crate::devices::{Change as DeviceChange, Device, Door, Event as DeviceEvent};
use crate::model::{Kind, ObjectName, samples};
use crate::plan::{Action, Capacity, MapContents};
use crate::serve::{Events, Status};
use crate::source::{Change, News};

const CAPACITY: Capacity = Capacity {
    addresses: 64,
    frontends: 64,
    slots: 256,
    backends: 64,
    source_ranges: 16,
};

#[derive(Debug, Default)]
struct State {
    contents: MapContents,
    plans: usize,
    writes: usize,
    /// The frontends of this service can not be written.
    refused: Option<&'static str>,
    doors: Vec<String>,
    /// No door can be opened on these devices.
    stubborn: BTreeSet<u32>,
    /// What happens while the first door is opened.
    meanwhile: Option<(Sender<Event>, Event)>,
    /// How many doors were open when the last frontend was written.
    doors_at_write: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct Fake(Rc<RefCell<State>>);

impl Kernel for Fake {
    fn apply(&mut self, plan: &Plan) -> Result<usize> {
        let state = &mut *self.0.borrow_mut();
        state.plans += 1;
        for step in &plan.steps {
            let service = step.service.as_ref().map(|service| &*service.name);
            if matches!(step.action, Action::PutFrontend { .. })
                && service.is_some()
                && service == state.refused
            {
                bail!("{step}: refused");
            }
            if matches!(step.action, Action::PutFrontend { .. }) {
                state.doors_at_write = Some(state.doors.len());
            }
            write(&mut state.contents, &step.action);
            state.writes += 1;
        }
        Ok(plan.steps.len())
    }

    fn contents(&mut self) -> Result<MapContents> {
        Ok(self.0.borrow().contents.clone())
    }

    fn attach(&mut self, device: &Device) -> Result<bool> {
        let mut state = self.0.borrow_mut();
        if state.stubborn.contains(&device.index) {
            bail!("no");
        }
        state.doors.push(format!("+{}", device.name));
        if let Some((sender, event)) = state.meanwhile.take() {
            sender.try_send(event)?;
        }
        Ok(true)
    }

    fn detach(&mut self, index: u32) -> Result<()> {
        self.0.borrow_mut().doors.push(format!("-{index}"));
        Ok(())
    }

    fn detach_others(&mut self, keep: &BTreeSet<u32>) -> Result<BTreeSet<u32>> {
        self.0.borrow_mut().doors.push(format!("only {keep:?}"));
        Ok(BTreeSet::new())
    }
}

fn write(contents: &mut MapContents, action: &Action) {
    match action.clone() {
        Action::WriteBackend { index, backend } | Action::RetireBackend { index, backend } => {
            let index = index.0 as usize;
            while contents.backends.len() <= index {
                contents.backends.push(bytemuck::Zeroable::zeroed());
            }
            contents.backends[index] = backend;
        }
        Action::WriteSlots { base, slots } => {
            let end = base as usize + slots.len();
            while contents.slots.len() < end {
                contents.slots.push(bytemuck::Zeroable::zeroed());
            }
            contents.slots[base as usize..end].copy_from_slice(&slots);
        }
        Action::PutSourceRange { set, range } => {
            contents.source_ranges.entry(set).or_default().insert(range);
        }
        Action::RemoveSourceRange { set, range } => {
            contents.source_ranges.entry(set).or_default().remove(&range);
        }
        Action::WriteServiceCidr { index, range } => {
            let index = index as usize;
            let length = contents.service_cidrs.len().max(index + 1);
            contents.service_cidrs.resize(length, AddressRange::UNSET);
            contents.service_cidrs[index] = range;
        }
        Action::WriteNodeAddress { family, address } => {
            contents.node_addresses.insert(family, address);
        }
        Action::PutAddress { address, role } => drop(contents.addresses.insert(address, role)),
        Action::PutFrontend { key, frontend } => drop(contents.frontends.insert(key, frontend)),
        Action::RemoveFrontend { key } => drop(contents.frontends.remove(&key)),
        Action::RemoveAddress { address } => drop(contents.addresses.remove(&address)),
    }
}

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
    agent.take_in_addresses(Some(BTreeSet::new()));
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
    agent.take_in_addresses(Some(BTreeSet::new()));
    assert!(agent.ready);
    let (mut agent, _) = synced_agent();
    agent.take_in_addresses(Some(BTreeSet::new()));
    assert!(!agent.ready);
    agent.take_in_device(DeviceEvent::Listed);
    assert!(agent.ready);
}

#[test]
fn doors_follow_devices_before_anything_is_synced() {
    let (mut agent, kernel) = agent();
    let device = |index: u32| Device {
        index,
        name: format!("pod{index}"),
    };
    let attached = |index, door| {
        DeviceEvent::Changed(DeviceChange::Attached {
            device: device(index),
            door,
        })
    };
    kernel.0.borrow_mut().stubborn = [6].into();
    agent.take_in_device(attached(5, Door::Pod));
    agent.take_in_device(attached(6, Door::Pod));
    agent.take_in_device(attached(7, Door::Uplink));
    agent.take_in_device(DeviceEvent::Listed);
    agent.take_in_device(DeviceEvent::Changed(DeviceChange::Detached {
        device: device(5),
        door: Door::Pod,
    }));
    assert_eq!(kernel.0.borrow().doors, ["+pod5", "only {5, 6}", "-5"]);

    kernel.0.borrow_mut().stubborn.clear();
    let again = agent.wake_at().expect("a next try");
    agent.wake(again);
    assert_eq!(kernel.0.borrow().doors.last().map(String::as_str), Some("+pod6"));
    assert_eq!(agent.wake_at(), None);
}

#[test]
fn doors_are_tried_again_one_at_a_time() {
    let (mut agent, kernel) = synced_agent();
    kernel.0.borrow_mut().stubborn = (5..8).collect();
    for index in 5..8 {
        let device = Device {
            index,
            name: format!("pod{index}"),
        };
        agent.take_in_device(DeviceEvent::Changed(DeviceChange::Attached {
            device,
            door: Door::Pod,
        }));
    }
    kernel.0.borrow_mut().stubborn = [6].into();
    let at = agent.wake_at().expect("a next try");
    let doors = |kernel: &Fake| kernel.0.borrow().doors.join(" ");
    agent.wake(at);
    assert_eq!(doors(&kernel), "+pod5");
    assert_eq!(agent.wake_at(), Some(at), "and at once the next one");
    agent.wake(at);
    assert_eq!(doors(&kernel), "+pod5", "not this one");
    agent.wake(at);
    assert_eq!(doors(&kernel), "+pod5 +pod7");
    let later = agent.wake_at().expect("another try");
    assert!(later > at);
    kernel.0.borrow_mut().stubborn.clear();
    agent.wake(later);
    assert_eq!(doors(&kernel), "+pod5 +pod7 +pod6");
    assert_eq!(agent.wake_at(), None);
}

#[tokio::test]
async fn a_change_of_a_service_waits_for_one_door_at_most() {
    let (agent, kernel) = synced_agent();
    let (sender, events) = channel(QUEUE);
    let (device_sender, device_events) = channel(QUEUE);
    for index in 0..8 {
        let device = Device {
            index,
            name: format!("pod{index}"),
        };
        let door = Door::Pod;
        let attached = DeviceEvent::Changed(DeviceChange::Attached { device, door });
        device_sender.try_send(attached).expect("room");
    }
    kernel.0.borrow_mut().meanwhile = Some((sender, service("web", "10.96.0.1")));
    let mut tasks = JoinSet::new();
    tasks.spawn(async { anyhow::bail!("enough") });
    let (_addresses, addresses) = watch::channel(None);
    let inputs = Inputs {
        events,
        device_events,
        addresses,
        tasks,
        signals: Signals::catch().expect("signals"),
        pod_ranges: PodRanges::new(LocalDetector::None, &[]),
        when_ready: None,
    };
    serve(agent, inputs).await.expect_err("the task's end");
    let state = kernel.0.borrow();
    assert_eq!(state.doors.len(), 8);
    assert_eq!(state.doors_at_write, Some(1));
}
