//! Control groups (v2): which processes a node's socket door sees, and a certain way to end them.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// How long killed processes may take to be gone.
const KILL_BOUND: Duration = Duration::from_secs(30);

/// A directory of the cgroup v2 file system.
#[derive(Clone, Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes the group, and those above it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot make the cgroup {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// Makes a group inside.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn child(&self, name: &str) -> anyhow::Result<Self> {
        Self::create(&self.path.join(name))
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file that takes in whichever process writes `0` to it.
    pub(super) fn entrance(&self) -> anyhow::Result<File> {
        let path = self.path.join("cgroup.procs");
        File::options()
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))
    }
}

/// Kills every process inside, in the groups below as well. Nothing there is fine.
///
/// # Errors
/// When processes survive for seconds.
pub fn kill(path: &Path) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    fs::write(path.join("cgroup.kill"), "1")
        .with_context(|| format!("cannot kill the processes in {}", path.display()))?;
    let start = Instant::now();
    while is_populated(path) {
        if start.elapsed() > KILL_BOUND {
            bail!("processes in {} survive SIGKILL", path.display());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Removes the group and those below. Nothing there is fine.
///
/// # Errors
/// When processes are inside.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    remove_groups(path).with_context(|| format!("cannot remove the cgroup {}", path.display()))
}

fn is_populated(path: &Path) -> bool {
    fs::read_to_string(path.join("cgroup.events")).is_ok_and(|events| events.contains("populated 1"))
}

/// Only directories can be removed here; their files go with them.
fn remove_groups(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}
