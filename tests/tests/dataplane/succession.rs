//! Starting after a kproxy with another layout of the maps.

use aya::programs::loaded_links;
use kproxy::dataplane::DeviceDoor;
use kproxy_common::maps;

use super::place::{Place, services};
use super::pods::{index, ip};

#[test]
fn links_of_another_layout_are_taken_over_and_its_maps_go() {
    // This thread's own network namespace, which ends with the thread.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    ip("link add pod0 type veth peer name eth0");
    let place = Place::new();
    let (mut dataplane, mut applied) = place.open();
    dataplane.attach(DeviceDoor::Pod, index("pod0"), "pod0").unwrap();
    dataplane.apply(&applied.replace(services(1, 1))).unwrap();
    drop(dataplane);
    let door = format!("pod_ingress-{}", index("pod0"));
    let names = ["connect4", "getpeername6", door.as_str()];
    let infos = |place: &Place| names.map(|name| place.link(name).info().unwrap());
    let before = infos(&place);
    // A program that this kproxy has no successor for.
    let other = place.link("recvmsg6").info().unwrap().id();
    std::fs::rename(
        place.version().join("links/recvmsg6"),
        place.version().join("links/former"),
    )
    .unwrap();
    std::fs::rename(place.version(), place.options.pin_dir.join("v0")).unwrap();

    let (dataplane, _) = place.open();

    for (before, after) in before.iter().zip(infos(&place)) {
        assert_eq!(before.id(), after.id(), "the same link");
        assert_ne!(before.program_id(), after.program_id(), "another program");
    }
    assert_eq!(place.links().len(), 8 + 2);
    let others = loaded_links()
        .filter_map(Result::ok)
        .filter(|link| link.id() == other);
    assert_eq!(others.count(), 0, "it translates no more");
    assert!(!place.options.pin_dir.join("v0").exists());
    assert_eq!(std::fs::read_dir(place.map("")).unwrap().count(), maps::ALL.len());
    assert!(dataplane.contents().unwrap().frontends.is_empty());
}

#[test]
fn what_is_no_link_of_ours_stays_with_its_directory() {
    let place = Place::new();
    let foreign = place.options.pin_dir.join("v0/links/directory");
    std::fs::create_dir_all(&foreign).unwrap();
    drop(place.open());
    assert!(foreign.exists());
    std::fs::remove_dir_all(place.options.pin_dir.join("v0")).unwrap();
}
