//! Where things are pinned, and the removal of all of them.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use kproxy_common::maps::LAYOUT_VERSION;

use super::error::OpenError;
use super::hooks;
use super::sys::link::Link;
use super::sys::pin::{self, Kind};

/// The pin directory: `<root>/v<layout>/maps/<MAP>` and `<root>/v<layout>/links/<program>[-<interface index>]`.
#[derive(Debug)]
pub(super) struct Pins {
    root: PathBuf,
    /// Held for as long as this agent owns the directory.
    _lock: Lock,
}

impl Pins {
    /// Makes the directories and locks them against a second agent.
    pub(super) fn open(root: &Path) -> Result<Self, OpenError> {
        let version = version_path(root);
        for path in [version.join("maps"), version.join("links")] {
            fs::create_dir_all(&path).map_err(|source| OpenError::PinDirectory { path, source })?;
        }
        let path = root.to_owned();
        let lock = match lock(root) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(OpenError::Busy { path }),
            Err(source) => return Err(OpenError::PinDirectory { path, source }),
        };
        Ok(Self {
            root: root.to_owned(),
            _lock: lock,
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn links(&self) -> PathBuf {
        version_path(&self.root).join("links")
    }

    pub(super) fn map(&self, name: &str) -> PathBuf {
        map_path(&self.root, name)
    }

    /// Where a map of another size waits until it takes its predecessor's place.
    pub(super) fn resized_map(&self, name: &str) -> PathBuf {
        self.map(&format!("{name}-resized"))
    }

    /// Where a map that gave its place to another one stays until no program uses it any more; `id` is the kernel's.
    pub(super) fn former_map(&self, name: &str, id: u32) -> PathBuf {
        self.map(&format!("{name}-former-{id}"))
    }

    /// The former maps of this name.
    pub(super) fn former_maps(&self, name: &str) -> Result<Vec<PathBuf>, OpenError> {
        let prefix = format!("{name}-former-");
        let mut paths = children(&version_path(&self.root).join("maps"))?;
        paths.retain(|path| {
            let name = path.file_name().and_then(OsStr::to_str);
            name.is_some_and(|name| name.starts_with(&prefix))
        });
        Ok(paths)
    }

    /// The directories that kproxies with other layouts of the maps have left.
    pub(super) fn other_versions(&self) -> Result<Vec<PathBuf>, OpenError> {
        let own = version_path(&self.root);
        let mut versions = children(&self.root)?;
        versions.retain(|path| is_version(path) && *path != own);
        Ok(versions)
    }

    pub(super) fn cgroup_link(&self, program: &str) -> PathBuf {
        self.links().join(program)
    }
}

/// Where things of the present layout are pinned below a pin directory, whoever owns that.
pub(super) fn version_path(root: &Path) -> PathBuf {
    root.join(format!("v{LAYOUT_VERSION}"))
}

/// Where a map is pinned below a pin directory, whoever owns that.
pub(super) fn map_path(root: &Path, name: &str) -> PathBuf {
    version_path(root).join("maps").join(name)
}

/// An exclusive lock on the directory itself: bpffs has no regular files.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    /// At once: until it is another program, a process that was started meanwhile has a copy of the descriptor.
    fn drop(&mut self) {
        // Closing it does the same a little later.
        let _ = self.0.unlock();
    }
}

fn lock(root: &Path) -> io::Result<Lock> {
    let directory = File::open(root)?;
    match directory.try_lock() {
        Ok(()) => Ok(Lock(directory)),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What `kproxy cleanup` took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemovedReport {
    /// Programs taken off their hooks, pinned links and filters alike.
    pub links: usize,
    /// Maps unpinned; the kernel frees them when nobody uses them any more.
    pub maps: usize,
}

/// Takes every program of the kproxy with this pin directory off its hook, unpins its maps and removes the directory.
/// Things in it that kproxy did not make stay, and so does the directory then. Nothing there is fine.
///
/// # Errors
///
/// When an agent runs with this directory, or when the kernel does not say what something is or does not let go of it.
pub(super) fn remove_all(root: &Path) -> Result<RemovedReport, OpenError> {
    let mut report = RemovedReport::default();
    let _lock = match lock(root) {
        Ok(lock) => Some(lock),
        // Filters do not need it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(OpenError::Busy {
                path: root.to_owned(),
            });
        }
        Err(source) => {
            return Err(OpenError::Pin {
                doing: "opening",
                path: root.to_owned(),
                source,
            });
        }
    };
    report.links += hooks::remove_filters(root)?;
    // Every layout version: an older kproxy may have left things as well.
    for version in children(root)?.into_iter().filter(|path| is_version(path)) {
        let RemovedReport { links, maps } = remove_version(&version)?;
        report.links += links;
        report.maps += maps;
    }
    remove_directory(root)?;
    Ok(report)
}

/// The same for what one layout version has pinned.
pub(super) fn remove_version(version: &Path) -> Result<RemovedReport, OpenError> {
    let mut report = RemovedReport::default();
    for path in children(&version.join("links"))? {
        report.links += usize::from(remove_link(&path)?);
    }
    for path in children(&version.join("maps"))? {
        let map = pin::open(&path, Kind::Map).map_err(|source| OpenError::Pin {
            doing: "opening the map",
            path: path.clone(),
            source,
        })?;
        if map.is_some() {
            remove_file(&path)?;
            report.maps += 1;
        }
    }
    for directory in [version.join("links"), version.join("maps"), version.to_owned()] {
        remove_directory(&directory)?;
    }
    Ok(report)
}

fn is_version(path: &Path) -> bool {
    let number = path
        .file_name()
        .and_then(OsStr::to_str)
        .and_then(|name| name.strip_prefix('v'));
    number.is_some_and(|digits| digits.parse::<u32>().is_ok())
}

/// Detaches and unpins a link; false, and nothing done, if the file is something else.
pub(super) fn remove_link(path: &Path) -> Result<bool, OpenError> {
    let failed = |doing| {
        move |source| OpenError::Pin {
            doing,
            path: path.to_owned(),
            source,
        }
    };
    let Some(link) = Link::pinned(path).map_err(failed("opening the link"))? else {
        return Ok(false);
    };
    // Unpinning alone detaches some time later, when the last holder is gone. Detaching from a device or a cgroup that
    // is gone succeeds (`tcx_link_detach`, `bpf_cgroup_link_detach`).
    link.detach().map_err(failed("detaching the link"))?;
    remove_file(path)?;
    Ok(true)
}

pub(super) fn remove_file(path: &Path) -> Result<(), OpenError> {
    fs::remove_file(path).map_err(|source| OpenError::Pin {
        doing: "removing",
        path: path.to_owned(),
        source,
    })
}

/// Removes a directory if nothing is left in it.
fn remove_directory(path: &Path) -> Result<(), OpenError> {
    match fs::remove_dir(path) {
        Ok(()) => Ok(()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Ok(())
        }
        Err(source) => Err(OpenError::Pin {
            doing: "removing",
            path: path.to_owned(),
            source,
        }),
    }
}

/// What is in a directory, sorted; nothing if there is no such directory.
pub(super) fn children(directory: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let failed = |source| OpenError::Pin {
        doing: "listing",
        path: directory.to_owned(),
        source,
    };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let paths: io::Result<Vec<_>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_free_as_soon_as_its_owner_goes() {
        let root = tempfile::tempdir().expect("a directory");
        let owner = lock(root.path()).expect("a free directory");
        // As a child has it between `fork` and `exec`.
        let _copy = owner.0.try_clone().expect("a copy");
        assert_eq!(
            lock(root.path()).map_err(|error| error.kind()).err(),
            Some(io::ErrorKind::WouldBlock)
        );
        drop(owner);
        lock(root.path()).expect("a free directory");
    }
}
