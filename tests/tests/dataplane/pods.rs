//! Pod doors: TCX on devices that come and go.

use std::collections::BTreeSet;
use std::process::Command;

use kproxy::dataplane::DeviceDoor;

use super::place::Place;

pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

pub(crate) fn index(device: &str) -> u32 {
    nix::net::if_::if_nametoindex(device).unwrap()
}

#[test]
fn pod_doors_are_replaced_in_place_and_follow_their_devices() {
    // This thread's own network namespace, which ends with the thread.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    ip("link add pod0 type veth peer name eth0");
    ip("link add pod1 type veth peer name eth1");
    let place = Place::new();
    let (a, c) = (index("pod0"), index("pod1"));
    let name = |program: &str, index: u32| format!("{program}-{index}");

    let (mut dataplane, _) = place.open();
    dataplane.attach(DeviceDoor::Pod, a, "pod0").unwrap();
    dataplane.attach(DeviceDoor::Pod, c, "pod1").unwrap();
    dataplane.attach(DeviceDoor::Pod, c, "pod1").unwrap();
    assert_eq!(place.links().len(), 8 + 4);
    let before = place.link(&name("pod_ingress", a)).info().unwrap();
    drop(dataplane);

    ip("link del pod1");
    let (mut dataplane, _) = place.open();
    assert_eq!(
        place.links().len(),
        8 + 2,
        "the pins of the vanished device are gone"
    );
    dataplane.attach(DeviceDoor::Pod, a, "pod0").unwrap();
    let after = place.link(&name("pod_ingress", a)).info().unwrap();
    assert_eq!(before.id(), after.id(), "the same link");
    assert_ne!(before.program_id(), after.program_id(), "another program");
    assert!(
        dataplane
            .attach(DeviceDoor::Pod, c, "pod1")
            .unwrap_err()
            .device_is_gone()
    );

    // Another device with the index of a former one must not be taken for it.
    ip("link del pod0");
    ip(&format!("link add pod2 index {a} type veth peer name eth2"));
    dataplane.attach(DeviceDoor::Pod, a, "pod2").unwrap();
    assert_ne!(
        place.link(&name("pod_ingress", a)).info().unwrap().id(),
        after.id()
    );

    assert_eq!(
        dataplane.detach_others(&BTreeSet::from([a])).unwrap(),
        BTreeSet::new()
    );
    dataplane.detach(a).unwrap();
    dataplane.detach(a).unwrap();
    assert_eq!(place.links().len(), 8);
}
