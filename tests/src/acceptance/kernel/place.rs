//! A pin directory and a cgroup of one data plane, removed at its end.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use aya::maps::{Array, HashMap, Map, MapData};
use kproxy::dataplane::{Dataplane, Options, Sizes, XdpMode};
use kproxy::node::features;
use kproxy_common::{AddressRange, Device, Family, Settings, Vlan, maps};

use crate::cluster::environment::Environment;

/// Where a data plane lives.
#[derive(Debug)]
pub struct Place {
    /// As [`Dataplane::open`] takes it.
    pub options: Options,
}

impl Place {
    /// A place that no other process uses.
    ///
    /// # Errors
    /// When this process is not root, or cgroup v2 or the BPF file system are not mounted.
    pub fn new() -> anyhow::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kproxy-acceptance-{}-{number}", std::process::id());
        let Environment { cgroups, pins } = Environment::check()?;
        let cgroup = cgroups.join(&name);
        fs::create_dir(&cgroup).with_context(|| format!("cannot make the cgroup {}", cgroup.display()))?;
        Ok(Self {
            options: Options {
                pin_dir: pins.join(&name),
                cgroup,
                sizes: Sizes {
                    slots: 262_144,
                    backends: 16_384,
                    flows: 65_536,
                    flows_new: 65_536,
                    ..Sizes::default()
                },
                settings: Settings {
                    route_source: features::route_source().into(),
                    ..Settings::DEFAULT
                },
                device_hooks: features::device_hooks(),
                xdp: XdpMode::Off,
            },
        })
    }

    /// Where a map is pinned.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        let layout = format!("v{}", maps::LAYOUT_VERSION);
        self.options.pin_dir.join(layout).join("maps").join(name)
    }

    /// Says which addresses are pods'.
    ///
    /// # Errors
    /// When no data plane is open here, or the kernel refuses.
    pub fn set_pod_ranges(&self, ranges: &BTreeMap<Family, AddressRange>) -> anyhow::Result<()> {
        let name = maps::POD_RANGES;
        let map = MapData::from_pin(self.map(name)).with_context(|| format!("cannot open {name}"))?;
        let mut map: Array<_, [u8; size_of::<AddressRange>()]> = Array::try_from(Map::Array(map))?;
        for (family, range) in ranges {
            let range: [u8; size_of::<AddressRange>()] = bytemuck::cast(*range);
            map.set(maps::family_index(*family), range, 0)
                .with_context(|| format!("cannot write {name} of {family}"))?;
        }
        Ok(())
    }

    /// Says what is known of a device.
    ///
    /// # Errors
    /// When no data plane is open here, or the kernel refuses.
    pub fn set_device(&self, index: u32, device: &Device) -> anyhow::Result<()> {
        let name = maps::DEVICES;
        let map = MapData::from_pin(self.map(name)).with_context(|| format!("cannot open {name}"))?;
        let mut map: HashMap<_, u32, [u8; size_of::<Device>()]> = HashMap::try_from(Map::HashMap(map))?;
        let device: [u8; size_of::<Device>()] = bytemuck::cast(*device);
        map.insert(index, device, 0)
            .with_context(|| format!("cannot write {name}"))
    }

    /// Says which device a VLAN's packets are for.
    ///
    /// # Errors
    /// When no data plane is open here, or the kernel refuses.
    pub fn set_vlan(&self, vlan: Vlan, device: u32) -> anyhow::Result<()> {
        let name = maps::VLANS;
        let map = MapData::from_pin(self.map(name)).with_context(|| format!("cannot open {name}"))?;
        let mut map: HashMap<_, [u8; size_of::<Vlan>()], u32> = HashMap::try_from(Map::HashMap(map))?;
        let vlan: [u8; size_of::<Vlan>()] = bytemuck::cast(vlan);
        map.insert(vlan, device, 0)
            .with_context(|| format!("cannot write {name}"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = Dataplane::remove_all(&self.options.pin_dir) {
            eprintln!("{} is left over: {error:#}", self.options.pin_dir.display());
        }
        // What is left is empty directories, if anything.
        let _ = fs::remove_dir_all(&self.options.pin_dir);
        let _ = fs::remove_dir(&self.options.cgroup);
    }
}
