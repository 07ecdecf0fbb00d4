//! The agent's data plane against the running kernel: load, adopt, attach, resize, clean up. Needs root.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod cleanup;
mod clsact;
mod early;
mod gate;
mod meter;
mod place;
mod pods;
mod policies;
mod resize;
mod sockets;
mod succession;
mod tags;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use aya::maps::{Array, HashMap, Map, MapData, MapInfo};
use aya_obj::generated::bpf_map_type;
use kproxy::dataplane::{Dataplane, OpenError, Options, RemovedReport, Sizes};
use kproxy::plan::ServicePortName;
use kproxy_common::{Address, Backend, BackendFlags, BackendIndex, Flow, FrontendKey, Tuple, maps};

use place::{Place, SIZES, key, services};

#[test]
fn what_is_applied_is_in_the_maps_and_a_restart_has_nothing_to_do() {
    let place = Place::new();
    let (mut dataplane, mut applied) = place.open();
    let plan = applied.replace(services(3, 10));
    let report = dataplane.apply(&plan).unwrap();
    assert_eq!(
        report.writes,
        3 * (10 + 10 + 1 + 1),
        "records, slots, address, frontend"
    );

    let slots = Map::Array(MapData::from_pin(place.map(maps::SLOTS)).unwrap());
    let slots: Array<_, u32> = slots.try_into().unwrap();
    assert_eq!(
        slots.get(&4, 0).unwrap(),
        5,
        "written through shared memory, read by a system call"
    );
    let backends = Map::Array(MapData::from_pin(place.map(maps::BACKENDS)).unwrap());
    let backends: Array<_, [u8; size_of::<Backend>()]> = backends.try_into().unwrap();
    let fifth: Backend = bytemuck::cast(backends.get(&5, 0).unwrap());
    assert_eq!(fifth.address.to_string(), "10.1.1.5");
    assert!(fifth.flags.contains(BackendFlags::ALIVE));

    let before = dataplane.contents().unwrap();
    assert_eq!(before.slots[4], BackendIndex(5));
    drop(dataplane);
    let (mut dataplane, mut applied) = place.open();
    assert_eq!(dataplane.contents().unwrap(), before);
    assert_eq!(applied.replace(services(3, 10)).steps, []);

    let plan = applied.replace(BTreeMap::new());
    dataplane.apply(&plan).unwrap();
    let after = dataplane.contents().unwrap();
    assert!(after.frontends.is_empty());
    assert_eq!(
        after.addresses.len(),
        3,
        "the gate stays open for connections that live on"
    );
    assert!(
        after
            .backends
            .iter()
            .all(|backend| !backend.flags.contains(BackendFlags::ALIVE))
    );
    assert_eq!(after.backends[5].generation.0, 1);
}

#[test]
fn bulk_goes_through_and_comes_back() {
    let mut place = Place::new();
    place.options.sizes = Sizes {
        addresses: 20_000,
        frontends: 20_000,
        slots: 40_000,
        backends: 40_000,
        ..SIZES
    };
    let (mut dataplane, mut applied) = place.open();
    let mut wanted = BTreeMap::new();
    let (name, service) = services(1, 2).pop_first().unwrap();
    for number in 0..10_000_u32 {
        let mut service = service.clone();
        let frontend = service.frontends.pop_first().unwrap().1;
        let address = Address::from(Ipv4Addr::from(0x0a60_0000 + number));
        service
            .frontends
            .insert(FrontendKey { address, ..key(0) }, frontend);
        wanted.insert(
            ServicePortName {
                name: format!("{number}").into(),
                ..name.clone()
            },
            service,
        );
    }
    dataplane.apply(&applied.replace(wanted.clone())).unwrap();
    assert_eq!(dataplane.contents().unwrap().frontends.len(), 10_000);
    drop(dataplane);
    let (mut dataplane, mut applied) = place.open();
    assert_eq!(applied.replace(wanted).steps, []);
    dataplane.apply(&applied.replace(BTreeMap::new())).unwrap();
    assert!(dataplane.contents().unwrap().frontends.is_empty());
}

#[test]
fn a_restart_replaces_the_socket_door_in_place() {
    let place = Place::new();
    drop(place.open());
    assert_eq!(place.links().len(), 8);
    let before = place.link("connect4").info().unwrap();
    drop(place.open());
    let after = place.link("connect4").info().unwrap();
    assert_eq!(before.id(), after.id(), "the same link");
    assert_ne!(before.program_id(), after.program_id(), "another program");
}

#[test]
fn another_cgroup_gets_a_link_of_its_own() {
    let (place, other) = (Place::new(), Place::new());
    drop(place.open());
    let before = place.link("connect4").info().unwrap().id();
    let options = Options {
        cgroup: other.options.cgroup.clone(),
        ..place.options.clone()
    };
    drop(Dataplane::open(&options).unwrap());
    assert_ne!(before, place.link("connect4").info().unwrap().id());
    assert_eq!(place.links().len(), 8);
}

#[test]
fn a_pin_of_another_layout_is_refused_and_left_alone() {
    let place = Place::new();
    std::fs::create_dir_all(place.map("").as_path()).unwrap();
    let other = HashMap::<MapData, u32, u64>::create(16, 0).unwrap();
    other.pin(place.map(maps::FRONTENDS)).unwrap();
    let Err(error) = Dataplane::open(&place.options) else {
        panic!("adopted")
    };
    assert!(matches!(error, OpenError::Layout { .. }));
    let text = error.to_string();
    for part in [
        "FRONTENDS",
        "found hash with 16 entries, 4 byte keys, 8 byte values",
        "expected hash with 64 entries, 24 byte keys, 40 byte values",
        "kproxy cleanup --pin-dir",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(
        MapInfo::from_pin(place.map(maps::FRONTENDS))
            .unwrap()
            .value_size(),
        8
    );
    assert!(!place.map(maps::FLOWS).exists(), "nothing was loaded");
}

/// 11.04: nothing that a start does loses a connection.
#[test]
fn a_resize_keeps_flows_and_services() {
    let mut place = Place::new();
    let (mut dataplane, mut applied) = place.open();
    dataplane.apply(&applied.replace(services(2, 3))).unwrap();
    drop(dataplane);
    let flows = Map::LruHashMap(MapData::from_pin(place.map(maps::FLOWS)).unwrap());
    let mut flows: HashMap<_, [u8; size_of::<Tuple>()], [u8; size_of::<Flow>()]> = flows.try_into().unwrap();
    for number in 0..100 {
        flows
            .insert([number; size_of::<Tuple>()], [number; size_of::<Flow>()], 0)
            .unwrap();
    }
    place.options.sizes = Sizes {
        addresses: 128,
        frontends: 128,
        slots: 2048,
        backends: 1024,
        flows: 4096,
        ..SIZES
    };
    let (_dataplane, mut applied) = place.open();
    assert_eq!(applied.replace(services(2, 3)).steps, []);
    assert_eq!(
        MapInfo::from_pin(place.map(maps::FLOWS)).unwrap().max_entries(),
        4096
    );
    let flows = Map::LruHashMap(MapData::from_pin(place.map(maps::FLOWS)).unwrap());
    let flows: HashMap<_, [u8; size_of::<Tuple>()], [u8; size_of::<Flow>()]> = flows.try_into().unwrap();
    assert_eq!(flows.keys().count(), 100);
    assert!(!place.map("FLOWS-resized").exists());
}

#[test]
fn a_map_in_use_does_not_shrink() {
    let mut place = Place::new();
    drop(place.open());
    place.options.sizes.backends = 16;
    let Err(error) = Dataplane::open(&place.options) else {
        panic!("shrunk")
    };
    assert!(
        matches!(
            error,
            OpenError::Shrink {
                found: 512,
                expected: 16,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn the_sizes_of_pinned_maps_are_known_before_the_next_run() {
    let place = Place::new();
    let pinned = || Dataplane::pinned_sizes(&place.options.pin_dir).unwrap();
    assert_eq!(pinned(), Sizes::NONE);
    drop(place.open());
    assert_eq!(pinned(), SIZES);
}

#[test]
fn another_number_of_counters_starts_them_anew() {
    let place = Place::new();
    drop(place.open());
    let expected = MapInfo::from_pin(place.map(maps::COUNTERS))
        .unwrap()
        .max_entries();
    std::fs::remove_file(place.map(maps::COUNTERS)).unwrap();
    let fewer = aya_obj::Map::new_from_params(
        bpf_map_type::BPF_MAP_TYPE_PERCPU_ARRAY as u32,
        4,
        8,
        expected - 1,
        0,
    );
    let fewer = MapData::create(fewer, "COUNTERS", None).unwrap();
    fewer.pin(place.map(maps::COUNTERS)).unwrap();
    let (dataplane, _) = place.open();
    let info = MapInfo::from_pin(place.map(maps::COUNTERS)).unwrap();
    assert_eq!(info.max_entries(), expected);
    assert_ne!(info.id(), fewer.info().unwrap().id());
    assert!(dataplane.counters().is_ok());
    assert!(!place.map("COUNTERS-resized").exists());
}

#[test]
fn one_agent_per_pin_directory() {
    let place = Place::new();
    let (dataplane, _) = place.open();
    assert!(matches!(
        Dataplane::open(&place.options),
        Err(OpenError::Busy { .. })
    ));
    assert!(matches!(
        Dataplane::remove_all(&place.options.pin_dir),
        Err(OpenError::Busy { .. })
    ));
    drop(dataplane);
}

#[test]
fn cleanup_removes_what_is_ours_and_nothing_else() {
    let place = Place::new();
    drop(place.open());
    let foreign = HashMap::<MapData, u32, u64>::create(16, 0).unwrap();
    foreign.pin(place.options.pin_dir.join("foreign")).unwrap();
    let report = Dataplane::remove_all(&place.options.pin_dir).unwrap();
    assert_eq!(
        report,
        RemovedReport {
            links: 8,
            maps: maps::ALL.len()
        }
    );
    let left: Vec<_> = std::fs::read_dir(&place.options.pin_dir)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(left, ["foreign"]);
    assert_eq!(
        Dataplane::remove_all(&place.options.pin_dir).unwrap(),
        RemovedReport::default()
    );
    std::fs::remove_file(place.options.pin_dir.join("foreign")).unwrap();
}

#[test]
fn cleanup_of_nothing_is_fine() {
    let nowhere = Path::new("/sys/fs/bpf/kproxy-test-that-was-never-there");
    assert_eq!(Dataplane::remove_all(nowhere).unwrap(), RemovedReport::default());
}

#[test]
fn a_missing_cgroup_is_named() {
    let mut place = Place::new();
    let cgroup = std::mem::replace(&mut place.options.cgroup, PathBuf::from("/nowhere"));
    let Err(error) = Dataplane::open(&place.options) else {
        panic!("opened")
    };
    assert!(
        error.to_string().contains("/nowhere") && error.to_string().contains("--cgroup"),
        "{error}"
    );
    assert!(!place.options.pin_dir.exists(), "nothing was pinned");
    place.options.cgroup = cgroup;
}
