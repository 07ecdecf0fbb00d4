//! Removal of everything a cluster made, by its names alone.
//!
//! The same few steps serve the end of a cluster, a panic, a signal, and what a killed process left behind.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::{Mutex, Once, PoisonError},
};

use anyhow::{Context, ensure};

use super::{cgroup, environment::Environment, interrupt, ip, namespace};

/// Starts the names of directories on the cgroup and BPF file systems; the process id follows.
const DIRECTORY: &str = "kproxy-test-";
/// Starts the names of network namespaces; the process id follows.
const NAMESPACE: &str = "kp";

/// Clusters of this process. Locked only to add or remove a name.
static LIVE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What a cluster leaves in the kernel; dropping it removes that.
#[derive(Debug)]
pub struct Remains {
    name: String,
    places: Places,
}

impl Remains {
    /// Takes a cluster name of this process.
    ///
    /// # Errors
    /// When the name is in use.
    pub(super) fn claim(environment: &Environment, name: &str) -> anyhow::Result<Self> {
        interrupt::install();
        let unused = live(|live| live.insert(name.to_owned()));
        ensure!(
            unused,
            "this process has a cluster {name} already; give each test its own name"
        );
        Ok(Self {
            name: name.to_owned(),
            places: Places::of_cluster(environment, name),
        })
    }

    pub(super) fn namespace_prefix(&self) -> &str {
        &self.places.namespace_prefix
    }

    pub(super) fn cgroup_dir(&self) -> &Path {
        &self.places.cgroup_dir
    }

    pub(super) fn pin_dir(&self) -> &Path {
        &self.places.pin_dir
    }
}

impl Drop for Remains {
    fn drop(&mut self) {
        let _undisturbed = interrupt::hold_off();
        self.places.remove_and_complain();
        live(|live| live.remove(&self.name));
    }
}

/// Removes every cluster of this process; for a process that is about to end.
pub(super) fn remove_all_of_this_process() {
    let Ok(environment) = Environment::check() else {
        return;
    };
    for name in live(std::mem::take) {
        Places::of_cluster(&environment, &name).remove_and_complain();
    }
}

/// Removes what processes that no longer live have left, and what an earlier process with our id has.
pub(super) fn sweep_once(environment: &Environment) {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| {
        if let Err(error) = sweep(environment, |process| process == process::id()) {
            eprintln!("what earlier tests left was not removed completely: {error:#}");
        }
    });
}

/// Removes what processes that no longer live have left, and what belongs to processes that `also` names.
///
/// # Errors
/// When the kernel refuses a removal.
pub fn sweep(environment: &Environment, also: impl Fn(u32) -> bool) -> anyhow::Result<()> {
    let directories = [&environment.cgroups, &environment.pins].map(|mount| processes_in(mount, DIRECTORY));
    let namespaces = processes_in(Path::new(namespace::NAMES), NAMESPACE);
    let owners = directories
        .into_iter()
        .flatten()
        .chain(namespaces)
        .collect::<BTreeSet<_>>();
    for process in owners {
        if also(process) || !Path::new(&format!("/proc/{process}")).exists() {
            Places::of_process(environment, process).remove()?;
        }
    }
    Ok(())
}

/// Where a cluster, or every cluster of a process, can be found.
#[derive(Debug)]
struct Places {
    cgroup_dir: PathBuf,
    pin_dir: PathBuf,
    namespace_prefix: String,
}

impl Places {
    fn of_process(environment: &Environment, process: u32) -> Self {
        let directory = format!("{DIRECTORY}{process}");
        Self {
            cgroup_dir: environment.cgroups.join(&directory),
            pin_dir: environment.pins.join(&directory),
            namespace_prefix: format!("{NAMESPACE}{process}-"),
        }
    }

    fn of_cluster(environment: &Environment, name: &str) -> Self {
        let Self {
            cgroup_dir,
            pin_dir,
            namespace_prefix,
        } = Self::of_process(environment, process::id());
        Self {
            cgroup_dir: cgroup_dir.join(name),
            pin_dir: pin_dir.join(name),
            namespace_prefix: format!("{namespace_prefix}{name}-"),
        }
    }

    fn remove_and_complain(&self) {
        if let Err(error) = self.remove() {
            eprintln!("{}… was not removed completely: {error:#}", self.namespace_prefix);
        }
        // The process's own directories go with its last cluster; until then they are not empty.
        for parent in [&self.cgroup_dir, &self.pin_dir]
            .into_iter()
            .filter_map(|directory| directory.parent())
        {
            fs::remove_dir(parent).unwrap_or_default();
        }
    }

    /// Processes first, they hold the rest; pins before the groups and devices that their links hang on.
    fn remove(&self) -> anyhow::Result<()> {
        let Self {
            cgroup_dir,
            pin_dir,
            namespace_prefix,
        } = self;
        let killed = cgroup::kill(cgroup_dir);
        let pins = fs::remove_dir_all(pin_dir).or_else(ignore_missing);
        let pins = pins.with_context(|| format!("cannot remove the pins in {}", pin_dir.display()));
        let cgroups = cgroup::remove(cgroup_dir);
        let names = entries(Path::new(namespace::NAMES)).filter(|name| name.starts_with(namespace_prefix));
        let lines = names
            .map(|name| format!("netns delete {name}"))
            .collect::<Vec<_>>();
        let namespaces = if lines.is_empty() {
            Ok(())
        } else {
            ip::batch(None, &lines)
        };
        killed.and(pins).and(cgroups).and(namespaces)
    }
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(())
    } else {
        Err(error)
    }
}

/// Process ids in names such as `kp4711-demo-a`.
fn processes_in(directory: &Path, prefix: &'static str) -> impl Iterator<Item = u32> {
    entries(directory).filter_map(move |name| process_in_name(&name, prefix))
}

fn process_in_name(name: &str, prefix: &str) -> Option<u32> {
    name.strip_prefix(prefix)?.split('-').next()?.parse().ok()
}

fn entries(directory: &Path) -> impl Iterator<Item = String> {
    // A directory that does not exist holds nothing.
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

fn live<T>(change: impl FnOnce(&mut BTreeSet<String>) -> T) -> T {
    change(&mut LIVE.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_process() {
        assert_eq!(process_in_name("kp4711-demo-web-1", NAMESPACE), Some(4711));
        assert_eq!(process_in_name("kproxy-test-4711", DIRECTORY), Some(4711));
        for foreign in ["kproxy", "kp-demo", "cni-4711", "kpx12-demo"] {
            assert_eq!(process_in_name(foreign, NAMESPACE), None, "{foreign}");
        }
    }
}
