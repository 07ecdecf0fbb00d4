//! Where a test's data plane lives, and services to put into it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use aya::programs::links::{FdLink, PinnedLink};
use kproxy::dataplane::{Dataplane, Options, Sizes, XdpMode};
use kproxy::node::features;
use kproxy::plan::{Applied, BackendSet, Endpoint, ServicePortName, WantedFrontend, WantedService};
use kproxy_common::{
    Address, BackendFlags, Family, FrontendFlags, FrontendKey, Port, Protocol, Settings, maps,
};

pub(crate) const SIZES: Sizes = Sizes {
    addresses: 64,
    frontends: 64,
    slots: 1024,
    backends: 512,
    flows: 1024,
    flows_new: 256,
    socket_flows: 256,
    affinity: 256,
    source_ranges: 64,
};

/// A pin directory and a cgroup of one test, removed at its end.
pub(crate) struct Place {
    pub(crate) options: Options,
}

impl Place {
    pub(crate) fn new() -> Self {
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
                device_hooks: features::device_hooks(),
                xdp: XdpMode::Off,
            },
        }
    }

    pub(crate) fn open(&self) -> (Dataplane, Applied) {
        let (dataplane, contents) = Dataplane::open(&self.options).unwrap();
        (dataplane, Applied::adopt(self.options.sizes.capacity(), contents))
    }

    /// Where this layout of the maps is pinned.
    pub(crate) fn version(&self) -> PathBuf {
        self.options.pin_dir.join(format!("v{}", maps::LAYOUT_VERSION))
    }

    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.version().join("maps").join(name)
    }

    pub(crate) fn link(&self, name: &str) -> FdLink {
        PinnedLink::from_pin(self.version().join("links").join(name))
            .unwrap()
            .into()
    }

    pub(crate) fn links(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.version().join("links")).unwrap();
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

pub(crate) fn key(address: u8) -> FrontendKey {
    FrontendKey::new(
        Address::from(Ipv4Addr::new(10, 96, 0, address)),
        Port::new(80),
        Protocol::TCP,
    )
}

/// Services with this many endpoints each.
pub(crate) fn services(count: u8, endpoints: u8) -> BTreeMap<ServicePortName, WantedService> {
    let service = |number: u8| {
        let name = ServicePortName {
            namespace: "test".into(),
            name: format!("web-{number}").into(),
            port: "".into(),
            protocol: Protocol::TCP,
            family: Family::V4,
        };
        let frontend = WantedFrontend {
            flags: FrontendFlags::CLUSTER_IP,
            affinity_seconds: 0,
            inside: BackendSet::Cluster,
            outside: BackendSet::Cluster,
            restricted: false,
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
            source_ranges: BTreeSet::new(),
            left_alone: None,
        };
        (name, wanted)
    };
    (1..=count).map(service).collect()
}
