//! Doors, and what waits for them.

use tokio::sync::mpsc::channel;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::*;
use crate::commands::run::{Inputs, PodRanges, PrimaryFamily, QUEUE, Signals, serve};
use crate::config::LocalDetector;
use crate::devices::{Change as DeviceChange, Device, Door};

#[test]
fn doors_follow_devices_before_anything_is_synced() {
    let (mut agent, kernel) = agent();
    let device = |index: u32| Device {
        index,
        name: format!("pod{index}"),
        hardware: false,
        untagged_by: vec![],
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
    assert_eq!(
        kernel.0.borrow().doors,
        ["+pod5", "+pod7 uplink", "only {5, 6, 7}", "-5"]
    );

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
            hardware: false,
            untagged_by: vec![],
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
            hardware: false,
            untagged_by: vec![],
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
        primary_family: PrimaryFamily::new(None, &[]).expect("no address"),
        when_ready: None,
    };
    serve(agent, inputs).await.expect_err("the task's end");
    let state = kernel.0.borrow();
    assert_eq!(state.doors.len(), 8);
    assert_eq!(state.doors_at_write, Some(1));
}
