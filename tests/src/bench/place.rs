//! Where the benchmark's maps and links live, removed at the end and on SIGINT or SIGTERM.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use kproxy::dataplane::{Dataplane, Options, Sizes, XdpMode};
use kproxy::node::{features, mounts};
use kproxy_common::Settings;
use nix::sys::signal::{SigSet, Signal};

/// A pin directory and a cgroup without processes.
#[derive(Debug)]
pub struct Place {
    /// How to open a data plane there.
    pub options: Options,
    stopped: Arc<AtomicBool>,
}

impl Place {
    /// A place for this many endpoints.
    ///
    /// # Errors
    /// When the cgroup can not be made.
    pub fn new(endpoints: u64) -> anyhow::Result<Self> {
        let stopped = watch_signals()?;
        let name = format!("kproxy-bench-{}", std::process::id());
        let cgroup = mounts::cgroup(None)?.join(&name);
        std::fs::create_dir(&cgroup).with_context(|| format!("making the cgroup {}", cgroup.display()))?;
        let entries =
            |each: u64| u32::try_from((endpoints * each).clamp(65_536, 1 << 26)).unwrap_or(u32::MAX);
        let options = Options {
            pin_dir: Path::new("/sys/fs/bpf").join(&name),
            cgroup,
            // What changes within a grace period needs its room twice.
            sizes: Sizes {
                slots: entries(4).max(1 << 20),
                backends: entries(2),
                ..Sizes::default()
            },
            settings: Settings::DEFAULT,
            device_hooks: features::device_hooks(),
            xdp: XdpMode::Off,
        };
        Ok(Self { options, stopped })
    }

    /// Whether a signal asked for an early end.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = Dataplane::remove_all(&self.options.pin_dir) {
            eprintln!("cleaning up: {error}");
        }
        if let Err(error) = std::fs::remove_dir(&self.options.cgroup) {
            eprintln!("removing the cgroup {}: {error}", self.options.cgroup.display());
        }
    }
}

/// A flag that SIGINT and SIGTERM set, instead of ending the process with everything left behind.
fn watch_signals() -> anyhow::Result<Arc<AtomicBool>> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().context("blocking signals")?;
    let stopped = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stopped);
    std::thread::spawn(move || {
        if signals.wait().is_ok() {
            flag.store(true, Ordering::Relaxed);
        }
    });
    Ok(stopped)
}
