//! Pod doors by clsact filters, as on kernels before 6.6.

use std::collections::BTreeSet;
use std::process::Command;

use kproxy::dataplane::{Dataplane, DeviceDoor, DeviceHooks, Pinned, Place as AttachedTo, RemovedReport};
use kproxy_common::maps;

use super::place::Place;
use super::pods::{index, ip};

fn place() -> Place {
    // This thread's own network namespace, which ends with the thread.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    ip("link add pod0 type veth peer name eth0");
    let mut place = Place::new();
    place.options.device_hooks = DeviceHooks::Clsact;
    place
}

fn tc(arguments: &str) -> String {
    let output = Command::new("tc").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "tc {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The filters that run a program, as `tc` shows them, by hook.
fn filters(device: &str) -> [Vec<String>; 2] {
    ["ingress", "egress"].map(|hook| {
        let shown = tc(&format!("filter show dev {device} {hook}"));
        let programs = shown.lines().filter(|line| line.contains("handle 0x"));
        programs.map(str::to_owned).collect()
    })
}

/// The number that the kernel gave the program of a filter.
fn program(filter: &str) -> &str {
    let (_, rest) = filter.split_once(" id ").unwrap();
    rest.split(' ').next().unwrap()
}

#[test]
fn filters_are_replaced_in_place_and_go_with_their_devices() {
    let place = place();
    ip("link add pod1 type veth peer name eth1");
    let (a, c) = (index("pod0"), index("pod1"));
    let (mut dataplane, _) = place.open();
    dataplane.attach(DeviceDoor::Pod, a, "pod0").unwrap();
    dataplane.attach(DeviceDoor::Pod, c, "pod1").unwrap();
    dataplane.attach(DeviceDoor::Pod, c, "pod1").unwrap();
    assert_eq!(place.links().len(), 8, "nothing of the devices is pinned");
    let before = filters("pod0");
    for (filters, program) in before.iter().zip(["pod_ingress", "pod_egress"]) {
        let [filter] = filters.as_slice() else {
            panic!("{filters:?}")
        };
        let name = format!("kproxy:{}:{program}", place.options.pin_dir.display());
        assert!(
            filter.contains("protocol all pref 1 bpf chain 0 handle 0x6b70"),
            "{filter}"
        );
        assert!(
            filter.contains(&name) && filter.contains("direct-action"),
            "{filter}"
        );
    }
    drop(dataplane);

    ip("link del pod1");
    let (mut dataplane, _) = place.open();
    for (before, after) in before.iter().zip(filters("pod0")) {
        assert_eq!(after.len(), 1);
        assert_ne!(
            program(&before[0]),
            program(&after[0]),
            "another program, before any device was told"
        );
    }
    assert!(
        dataplane
            .attach(DeviceDoor::Pod, c, "pod1")
            .unwrap_err()
            .device_is_gone()
    );

    let attached = Pinned::open(&place.options.pin_dir).unwrap().attached().unwrap();
    let at_device = attached
        .iter()
        .filter(|it| it.place == AttachedTo::Device(a))
        .map(|it| it.program.as_str());
    assert_eq!(at_device.collect::<Vec<_>>(), ["pod_egress", "pod_ingress"]);

    assert_eq!(dataplane.detach_others(&[a].into()).unwrap(), BTreeSet::new());
    assert_eq!(
        dataplane.detach_others(&BTreeSet::new()).unwrap(),
        BTreeSet::from([a])
    );
    assert_eq!(filters("pod0"), [const { Vec::<String>::new() }; 2]);
    assert!(!tc("qdisc show dev pod0").contains("clsact"));
    dataplane.detach(a).unwrap();
}

#[test]
fn filters_of_others_stay() {
    let place = place();
    let pod = index("pod0");
    let (mut dataplane, _) = place.open();
    tc("qdisc add dev pod0 clsact");
    tc("filter add dev pod0 egress pref 7 protocol all u32 match u32 0 0 classid 1:1");
    dataplane.attach(DeviceDoor::Pod, pod, "pod0").unwrap();
    dataplane.detach(pod).unwrap();
    assert!(tc("filter show dev pod0 egress").contains("pref 7 u32"));

    // Another kproxy's is where ours would be.
    let mut other = Place::new();
    other.options.device_hooks = DeviceHooks::Clsact;
    let (mut others, _) = other.open();
    others.attach(DeviceDoor::Pod, pod, "pod0").unwrap();
    let theirs = filters("pod0");
    let refused = dataplane
        .attach(DeviceDoor::Pod, pod, "pod0")
        .unwrap_err()
        .to_string();
    for part in [
        "pod_ingress on pod0",
        "priority 1",
        other.options.pin_dir.to_str().unwrap(),
    ] {
        assert!(refused.contains(part), "{part} in {refused}");
    }
    dataplane.detach(pod).unwrap();
    assert_eq!(filters("pod0"), theirs);

    // The older queueing discipline has one hook only.
    ip("link add pod1 type veth peer name eth1");
    tc("qdisc add dev pod1 ingress");
    let refused = dataplane
        .attach(DeviceDoor::Pod, index("pod1"), "pod1")
        .unwrap_err()
        .to_string();
    assert!(refused.contains("queueing discipline ingress"), "{refused}");
    assert_eq!(tc("filter show dev pod1 ingress"), "");
    drop(others);
}

#[test]
fn cleanup_takes_filters_away_and_needs_no_pins_for_it() {
    let place = place();
    let (mut dataplane, _) = place.open();
    dataplane.attach(DeviceDoor::Pod, index("pod0"), "pod0").unwrap();
    drop(dataplane);
    let report = Dataplane::remove_all(&place.options.pin_dir).unwrap();
    let everything = RemovedReport {
        links: 8 + 2,
        maps: maps::ALL.len(),
    };
    assert_eq!(report, everything);
    assert!(!tc("qdisc show dev pod0").contains("clsact"));

    let (mut dataplane, _) = place.open();
    dataplane.attach(DeviceDoor::Pod, index("pod0"), "pod0").unwrap();
    drop(dataplane);
    std::fs::remove_dir_all(&place.options.pin_dir).unwrap();
    let report = Dataplane::remove_all(&place.options.pin_dir).unwrap();
    assert_eq!(report, RemovedReport { links: 2, maps: 0 });
    assert!(!tc("qdisc show dev pod0").contains("clsact"));
}
