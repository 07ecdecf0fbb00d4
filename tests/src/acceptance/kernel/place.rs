//! A pin directory and a cgroup of one data plane, removed at its end.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use kproxy::dataplane::{Dataplane, Options, Sizes};
use kproxy::node::features;
use kproxy_common::{Settings, maps};

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
                    slots: 65_536,
                    backends: 16_384,
                    flows: 65_536,
                    flows_new: 65_536,
                    ..Sizes::default()
                },
                settings: Settings::DEFAULT,
                device_hooks: features::device_hooks(),
            },
        })
    }

    /// Where a map is pinned.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        let layout = format!("v{}", maps::LAYOUT_VERSION);
        self.options.pin_dir.join(layout).join("maps").join(name)
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
