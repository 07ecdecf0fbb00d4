//! Resizing maps while programs of the former run go on writing into them.

use std::collections::BTreeSet;

use aya::maps::{HashMap, Map, MapData, MapInfo};
use kproxy::dataplane::{Dataplane, DeviceDoor, Sizes};
use kproxy_common::{Affinity, AffinityKey, Flow, Tuple, maps};

use super::place::{Place, SIZES};
use super::pods::{index, ip};

const LARGER: Sizes = Sizes {
    flows: 4096,
    flows_new: 512,
    ..SIZES
};

type Flows = HashMap<MapData, [u8; size_of::<Tuple>()], [u8; size_of::<Flow>()]>;

/// The map that is pinned now, as a program that is attached already goes on using it.
fn flows(place: &Place, name: &str) -> Flows {
    let map = Map::LruHashMap(MapData::from_pin(place.map(name)).unwrap());
    map.try_into().unwrap()
}

fn put(flows: &mut Flows, number: u8) {
    let (key, value) = ([number; size_of::<Tuple>()], [number; size_of::<Flow>()]);
    flows.insert(key, value, 0).unwrap();
}

fn numbers(place: &Place, name: &str) -> BTreeSet<u8> {
    flows(place, name).keys().map(|key| key.unwrap()[0]).collect()
}

fn entries(place: &Place, name: &str) -> u32 {
    MapInfo::from_pin(place.map(name)).unwrap().max_entries()
}

fn pinned(place: &Place) -> usize {
    std::fs::read_dir(place.map("")).unwrap().count()
}

#[test]
fn pod_doors_write_into_the_new_maps_before_the_old_ones_are_left() {
    // This thread's own network namespace, which ends with the thread.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    ip("link add pod0 type veth peer name eth0");
    let mut place = Place::new();
    let (mut dataplane, _) = place.open();
    dataplane.attach(DeviceDoor::Pod, index("pod0"), "pod0").unwrap();
    drop(dataplane);
    let doors = |place: &Place| {
        ["pod_ingress", "pod_egress"].map(|program| {
            let link = place.link(&format!("{program}-{}", index("pod0")));
            let info = link.info().unwrap();
            (info.id(), info.program_id())
        })
    };
    let before = doors(&place);

    place.options.sizes = LARGER;
    let (_dataplane, _) = place.open();

    let after = doors(&place);
    for (before, after) in before.into_iter().zip(after) {
        assert_eq!(before.0, after.0, "the same link");
        assert_ne!(before.1, after.1, "another program");
    }
    assert_eq!(pinned(&place), maps::ALL.len(), "nothing of the move is left");
}

#[test]
fn a_resize_keeps_affinity() {
    // 6.10: so does every restart, which leaves the map where it is.
    type Records = HashMap<MapData, [u8; size_of::<AffinityKey>()], [u8; size_of::<Affinity>()]>;
    let records = |place: &Place| -> Records {
        let map = Map::LruHashMap(MapData::from_pin(place.map(maps::AFFINITY)).unwrap());
        map.try_into().unwrap()
    };
    let mut place = Place::new();
    drop(place.open());
    let mut former = records(&place);
    for number in 0..50 {
        let (key, value) = (
            [number; size_of::<AffinityKey>()],
            [number; size_of::<Affinity>()],
        );
        former.insert(key, value, 0).unwrap();
    }
    place.options.sizes = Sizes {
        affinity: 2 * SIZES.affinity,
        ..SIZES
    };
    drop(place.open());
    assert_eq!(entries(&place, maps::AFFINITY), 2 * SIZES.affinity);
    let kept: BTreeSet<u8> = records(&place).keys().map(|key| key.unwrap()[0]).collect();
    assert_eq!(kept, (0..50).collect());
}

#[test]
fn a_start_that_fails_after_the_resize_loses_no_flow() {
    let mut place = Place::new();
    drop(place.open());
    let written_by_old_programs = [maps::FLOWS, maps::FLOWS_NEW];
    let mut old = written_by_old_programs.map(|name| flows(&place, name));
    for flows in &mut old {
        put(flows, 1);
    }

    // Something else is in the place of the last link.
    let obstacle = place.version().join("links/getpeername6");
    let link = place.version().join("getpeername6");
    std::fs::rename(&obstacle, &link).unwrap();
    let foreign = HashMap::<MapData, u32, u64>::create(16, 0).unwrap();
    foreign.pin(&obstacle).unwrap();
    for (number, flows_entries) in [(2, 2048), (3, 4096)] {
        place.options.sizes = Sizes {
            flows: flows_entries,
            ..LARGER
        };
        assert!(Dataplane::open(&place.options).is_err());
        // Some programs are the old ones still, others those of the start that failed.
        for flows in &mut old {
            put(flows, number);
        }
        for name in written_by_old_programs {
            put(&mut flows(&place, name), 10 + number);
        }
    }
    std::fs::rename(&link, &obstacle).unwrap();

    drop(place.open());
    assert_eq!(entries(&place, maps::FLOWS), 4096);
    assert_eq!(entries(&place, maps::FLOWS_NEW), 512);
    for name in written_by_old_programs {
        assert_eq!(numbers(&place, name), [1, 2, 3, 12, 13].into(), "{name}");
    }
    assert_eq!(pinned(&place), maps::ALL.len(), "nothing of the move is left");
}
