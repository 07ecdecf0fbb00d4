//! XDP on uplinks: links that stay, and what happens where a device refuses.

use std::collections::BTreeSet;

use aya::programs::{Xdp, XdpMode as Mode};
use kproxy::dataplane::{Dataplane, DeviceDoor, XdpMode, load_program};

use super::place::Place;
use super::pods::{index, ip};

const LINKS_OF_THE_SOCKET_DOOR: usize = 8;
const LINKS_OF_AN_UPLINK: usize = 2;

/// This thread's own network namespace, which ends with the thread, and in it two ends of a cable.
fn cable() -> u32 {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    ip("link add nic0 type veth peer name far0");
    ip("link set nic0 up");
    ip("link set far0 up");
    index("nic0")
}

fn place(xdp: XdpMode) -> Place {
    let mut place = Place::new();
    place.options.xdp = xdp;
    place
}

fn open_uplink(dataplane: &mut Dataplane, name: &str, hardware: bool) {
    let index = index(name);
    dataplane.attach(DeviceDoor::Uplink, index, name).unwrap();
    dataplane.accelerate(index, name, hardware, None).unwrap();
}

fn early(place: &Place) -> Vec<String> {
    let links = place.links().into_iter();
    links.filter(|name| name.starts_with("uplink_xdp")).collect()
}

#[test]
fn xdp_is_replaced_in_place_and_goes_where_it_is_not_wanted_any_more() {
    let nic = cable();
    let mut place = place(XdpMode::Native);
    let (mut dataplane, _) = place.open();
    open_uplink(&mut dataplane, "nic0", false);
    let pin = format!("uplink_xdp-native-{nic}");
    assert_eq!(early(&place), [pin.as_str()]);
    let before = place.link(&pin).info().unwrap();
    drop(dataplane);

    let (mut dataplane, _) = place.open();
    let after = place.link(&pin).info().unwrap();
    assert_eq!(before.id(), after.id(), "the same link");
    assert_ne!(before.program_id(), after.program_id(), "another program");
    open_uplink(&mut dataplane, "nic0", false);
    assert_eq!(place.link(&pin).info().unwrap().id(), before.id());
    drop(dataplane);

    place.options.xdp = XdpMode::Generic;
    let (mut dataplane, _) = place.open();
    assert_eq!(early(&place), [""; 0], "it is another way now");
    open_uplink(&mut dataplane, "nic0", false);
    assert_eq!(early(&place), [format!("uplink_xdp-generic-{nic}")]);

    dataplane.attach(DeviceDoor::Pod, nic, "nic0").unwrap();
    assert_eq!(early(&place), [""; 0], "a pod's device has none");
    open_uplink(&mut dataplane, "nic0", false);
    dataplane.detach_others(&BTreeSet::new()).unwrap();
    assert_eq!(place.links().len(), LINKS_OF_THE_SOCKET_DOOR);

    open_uplink(&mut dataplane, "nic0", false);
    drop(dataplane);
    ip("link del nic0");
    let (dataplane, _) = place.open();
    assert_eq!(early(&place), [""; 0], "its device is gone");
    drop(dataplane);
}

#[test]
fn xdp_is_for_nics_unless_asked_for() {
    cable();
    let mut place = place(XdpMode::Auto);
    let (mut dataplane, _) = place.open();
    open_uplink(&mut dataplane, "nic0", false);
    assert_eq!(early(&place), [""; 0], "a cable between namespaces is no NIC");
    open_uplink(&mut dataplane, "nic0", true);
    assert_eq!(early(&place).len(), 1);
    drop(dataplane);

    place.options.xdp = XdpMode::Off;
    let (dataplane, _) = place.open();
    assert_eq!(early(&place), [""; 0]);
    drop(dataplane);
}

#[test]
fn a_device_that_refuses_xdp_keeps_its_door() {
    cable();
    let place = place(XdpMode::Native);
    let (mut dataplane, _) = place.open();
    // A bridge has no driver that could.
    ip("link add br0 type bridge");
    open_uplink(&mut dataplane, "br0", false);
    // Longer packets than one buffer takes, which the driver of a veth refuses for the sake of its other end.
    ip("link set nic0 mtu 9000");
    ip("link set far0 mtu 9000");
    open_uplink(&mut dataplane, "nic0", false);
    let links = place.links().len() - early(&place).len();
    assert_eq!(links, LINKS_OF_THE_SOCKET_DOOR + 2 * LINKS_OF_AN_UPLINK);
    assert!(
        !early(&place)
            .iter()
            .any(|name| name.ends_with(&index("br0").to_string()))
    );
}

#[test]
fn xdp_goes_where_something_stands_in_its_way_and_comes_again() {
    let nic = cable();
    let place = place(XdpMode::Native);
    let (mut dataplane, _) = place.open();
    let mut accelerate = |obstacle| {
        dataplane.accelerate(nic, "nic0", false, obstacle).unwrap();
        early(&place).len()
    };
    assert_eq!(accelerate(Some("tags")), 0);
    assert_eq!(accelerate(None), 1);
    assert_eq!(accelerate(Some("tags")), 0, "it is taken off");
    assert_eq!(accelerate(None), 1);
}

#[test]
fn a_program_of_somebody_else_is_respected() {
    cable();
    let place = place(XdpMode::Native);
    let (mut dataplane, _) = place.open();
    let mut object = aya::EbpfLoader::new().load(kproxy::dataplane::OBJECT).unwrap();
    let foreign: &mut Xdp = object.program_mut("uplink_xdp").unwrap().try_into().unwrap();
    load_program(|| foreign.load()).unwrap();
    foreign.attach("nic0", Mode::Driver).unwrap();
    open_uplink(&mut dataplane, "nic0", true);
    assert_eq!(early(&place), [""; 0]);
    assert_eq!(place.links().len(), LINKS_OF_THE_SOCKET_DOOR + LINKS_OF_AN_UPLINK);
    let attached = std::process::Command::new("ip")
        .args(["-o", "link", "show", "nic0"])
        .output()
        .unwrap();
    let id = foreign.info().unwrap().id();
    assert!(String::from_utf8_lossy(&attached.stdout).contains(&format!("prog/xdp id {id} ")));
}
