//! A network namespace that `ip netns` knows by name.

use std::{
    fs::{self, File},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    sync::Arc,
    thread,
};

use anyhow::Context;
use nix::sched::{CloneFlags, setns};

use super::script::Sysctl;

/// Where `ip netns` keeps its names.
pub const NAMES: &str = "/run/netns";

/// A handle to a namespace; cheap to clone.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    file: Arc<File>,
}

impl Namespace {
    /// Opens a namespace by name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn open(name: &str) -> anyhow::Result<Self> {
        let path = Path::new(NAMES).join(name);
        let file = File::open(&path).with_context(|| format!("no network namespace {}", path.display()))?;
        Ok(Self {
            name: name.to_owned(),
            file: Arc::new(file),
        })
    }

    /// Its name for `ip netns exec`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs something inside, on a thread of its own; sockets made there stay there. The thread's cgroup remains this
    /// process's: the socket door does not see it.
    ///
    /// # Errors
    /// When the namespace can not be entered.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> anyhow::Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&*self.file, CloneFlags::CLONE_NEWNET)
                    .with_context(|| format!("cannot enter the network namespace {}", self.name))?;
                Ok(inside())
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Writes settings below `/proc/sys`, which shows each thread its own namespace.
    ///
    /// # Errors
    /// The first that the kernel refuses.
    pub fn set_sysctls(&self, sysctls: &[Sysctl]) -> anyhow::Result<()> {
        self.run(|| {
            for (path, value) in sysctls {
                fs::write(Path::new("/proc/sys").join(path), value)
                    .with_context(|| format!("cannot set {path} to {value} in {}", self.name))?;
            }
            Ok(())
        })?
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
