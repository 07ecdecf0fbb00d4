//! The agent's data plane against the running kernel: load, adopt, attach, resize, clean up. Needs root.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use aya::maps::{Array, HashMap, Map, MapData, MapInfo};
use aya::programs::links::{FdLink, PinnedLink};
use kproxy::dataplane::{Dataplane, OpenError, Options, RemovedReport, Sizes};
use kproxy::plan::{Applied, BackendSet, Endpoint, Plan, ServicePortName, WantedFrontend, WantedService};
use kproxy_common::{
    Address, Backend, BackendFlags, BackendIndex, Family, Flow, FrontendFlags, FrontendKey, Port, Protocol,
    Settings, Tuple, maps,
};

const SIZES: Sizes = Sizes {
    addresses: 64,
    frontends: 64,
    slots: 1024,
    backends: 512,
    flows: 1024,
    flows_new: 256,
    socket_flows: 256,
};

/// A pin directory and a cgroup of one test, removed at its end.
struct Place {
    options: Options,
}

impl Place {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "kproxy-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let cgroups = mounts
            .lines()
            .find(|line| line.split(' ').nth(2) == Some("cgroup2"))
            .unwrap();
        let cgroup = Path::new(cgroups.split(' ').nth(1).unwrap()).join(&name);
        std::fs::create_dir(&cgroup).unwrap();
        let pin_dir = Path::new("/sys/fs/bpf").join(&name);
        Self {
            options: Options {
                pin_dir,
                cgroup,
                sizes: SIZES,
                settings: Settings::DEFAULT,
            },
        }
    }

    fn open(&self) -> (Dataplane, Applied) {
        let (dataplane, contents) = Dataplane::open(&self.options).unwrap();
        (dataplane, Applied::adopt(self.options.sizes.capacity(), contents))
    }

    fn map(&self, name: &str) -> PathBuf {
        self.options.pin_dir.join("v1/maps").join(name)
    }

    fn link(&self, name: &str) -> FdLink {
        PinnedLink::from_pin(self.options.pin_dir.join("v1/links").join(name))
            .unwrap()
            .into()
    }

    fn links(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.options.pin_dir.join("v1/links")).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let removed = Dataplane::remove_all(&self.options.pin_dir);
        let _ = std::fs::remove_dir_all(&self.options.pin_dir);
        let cgroup = std::fs::remove_dir(&self.options.cgroup);
        if !std::thread::panicking() {
            cgroup.unwrap();
            removed.unwrap();
            assert!(!self.options.pin_dir.exists());
        }
    }
}

fn key(address: u8) -> FrontendKey {
    FrontendKey {
        address: Address::from(Ipv4Addr::new(10, 96, 0, address)),
        port: Port::new(80),
        protocol: Protocol::TCP,
    }
}

fn services(count: u8, endpoints: u8) -> BTreeMap<ServicePortName, WantedService> {
    let service = |number: u8| {
        let name = ServicePortName {
            namespace: "test".into(),
            name: format!("web-{number}"),
            port: String::new(),
            protocol: Protocol::TCP,
            family: Family::V4,
        };
        let frontend = WantedFrontend {
            flags: FrontendFlags::CLUSTER_IP,
            affinity_seconds: 0,
            inside: BackendSet::Cluster,
            outside: BackendSet::Cluster,
        };
        let endpoint = |host| Endpoint {
            address: Address::from(Ipv4Addr::new(10, 1, number, host)),
            port: Port::new(8080),
        };
        let all: Vec<_> = (1..=endpoints).map(endpoint).collect();
        let wanted = WantedService {
            frontends: [(key(number), frontend)].into(),
            endpoints: all
                .iter()
                .map(|endpoint| (*endpoint, BackendFlags::empty()))
                .collect(),
            cluster: all,
            local: Vec::new(),
        };
        (name, wanted)
    };
    (1..=count).map(service).collect()
}

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
    assert_eq!(applied.replace(services(3, 10)), Plan::default());

    let plan = applied.replace(BTreeMap::new());
    dataplane.apply(&plan).unwrap();
    let after = dataplane.contents().unwrap();
    assert!(after.frontends.is_empty() && after.addresses.is_empty());
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
                name: format!("{number}"),
                ..name.clone()
            },
            service,
        );
    }
    dataplane.apply(&applied.replace(wanted.clone())).unwrap();
    assert_eq!(dataplane.contents().unwrap().frontends.len(), 10_000);
    drop(dataplane);
    let (mut dataplane, mut applied) = place.open();
    assert_eq!(applied.replace(wanted), Plan::default());
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
        "expected hash with 64 entries, 20 byte keys, 28 byte values",
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
    assert_eq!(applied.replace(services(2, 3)), Plan::default());
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

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn index(device: &str) -> u32 {
    nix::net::if_::if_nametoindex(device).unwrap()
}

#[test]
fn pod_doors_are_replaced_in_place_and_follow_their_devices() {
    // This thread's own network namespace, which ends with the thread.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    ip("link add a type veth peer name b");
    ip("link add c type veth peer name d");
    let place = Place::new();
    let (a, c) = (index("a"), index("c"));
    let name = |program: &str, index: u32| format!("{program}-{index}");

    let (mut dataplane, _) = place.open();
    dataplane.attach_pod(a, "a").unwrap();
    dataplane.attach_pod(c, "c").unwrap();
    dataplane.attach_pod(c, "c").unwrap();
    assert_eq!(place.links().len(), 8 + 4);
    let before = place.link(&name("pod_ingress", a)).info().unwrap();
    drop(dataplane);

    ip("link del c");
    let (mut dataplane, _) = place.open();
    assert_eq!(
        place.links().len(),
        8 + 2,
        "the pins of the vanished device are gone"
    );
    dataplane.attach_pod(a, "a").unwrap();
    let after = place.link(&name("pod_ingress", a)).info().unwrap();
    assert_eq!(before.id(), after.id(), "the same link");
    assert_ne!(before.program_id(), after.program_id(), "another program");
    assert!(dataplane.attach_pod(c, "c").unwrap_err().device_is_gone());

    // Another device with the index of a former one must not be taken for it.
    ip("link del a");
    ip(&format!("link add e index {a} type veth peer name f"));
    dataplane.attach_pod(a, "e").unwrap();
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
    place.options.cgroup = cgroup;
}
