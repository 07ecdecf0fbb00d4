//! Where the network namespaces of a node are found.
//!
//! The kernel has no list of them. A pod's namespace is known by the file that its runtime has mounted for it, or by a
//! process that is in it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

/// The places to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// Directories of files that stand for a namespace each. One that does not exist is empty.
    pub directories: Vec<PathBuf>,
    /// The `proc` file system: processes that this one may trace (ptrace(2)) show their namespaces in it.
    pub processes: PathBuf,
}

impl Default for Sources {
    /// Where `ip netns` and the container runtimes mount them.
    fn default() -> Self {
        let directories = ["/run/netns", "/var/run/netns", "/run/docker/netns"];
        Self {
            directories: directories.map(PathBuf::from).to_vec(),
            processes: PathBuf::from("/proc"),
        }
    }
}

/// What the kernel tells namespaces apart by (namespaces(7)): device and inode number of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

impl Sources {
    /// A file for every network namespace but the one of this thread, each once.
    ///
    /// # Errors
    ///
    /// When the thread's own namespace can not be told; places that can not be read are left out.
    pub fn others(&self) -> io::Result<Vec<PathBuf>> {
        let own = Identity::of(Path::new("/proc/thread-self/ns/net"))?;
        let mounted = self.directories.iter().flat_map(|directory| entries(directory));
        let held = entries(&self.processes)
            .filter(|path| is_process(path))
            .map(|path| path.join("ns/net"));
        let mut found = BTreeMap::new();
        for path in mounted.chain(held) {
            let Ok(identity) = Identity::of(&path) else {
                continue;
            };
            // Namespaces are inodes of one file system of their own; a file elsewhere is where one was mounted once.
            if identity.device == own.device && identity != own {
                found.entry(identity).or_insert(path);
            }
        }
        Ok(found.into_values().collect())
    }
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(Result::ok).map(|entry| entry.path())
}

fn is_process(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What came of the attempt to enter a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// This thread is inside now.
    Entered,
    /// The namespace, or the process that showed it, has gone.
    Gone,
    /// This process lacks `CAP_SYS_ADMIN`.
    Denied,
}

/// Moves this thread, and no other, into a network namespace.
///
/// # Errors
///
/// When the file is no network namespace, or can not be opened for another reason than those of [`Entry`].
pub fn enter(path: &Path) -> io::Result<Entry> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entry::Gone),
        Err(error) => return Err(error),
    };
    match setns(file, CloneFlags::CLONE_NEWNET) {
        Ok(()) => Ok(Entry::Entered),
        Err(Errno::EPERM) => Ok(Entry::Denied),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn namespace_of_init() -> PathBuf {
        PathBuf::from("/proc/thread-self/ns/uts")
    }

    /// Other kinds of namespaces are inodes of the same file system, so that no privilege is needed here.
    #[test]
    fn each_namespace_is_found_once_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mounts, processes) = (folder.path().join("netns"), folder.path().join("proc"));
        for path in [
            &mounts,
            &processes.join("12/ns"),
            &processes.join("13/ns"),
            &processes.join("sys/ns"),
        ] {
            fs::create_dir_all(path).expect("a folder");
        }
        let own = Path::new("/proc/thread-self/ns/net");
        symlink(own, mounts.join("own")).expect("a link");
        symlink(namespace_of_init(), mounts.join("pod")).expect("a link");
        symlink(namespace_of_init(), processes.join("12/ns/net")).expect("a link");
        symlink("/proc/thread-self/ns/ipc", processes.join("13/ns/net")).expect("a link");
        symlink("/proc/thread-self/ns/pid", processes.join("sys/ns/net")).expect("a link");
        symlink("/nowhere", mounts.join("gone")).expect("a link");
        fs::write(mounts.join("left-over"), "").expect("a file");
        let sources = Sources {
            directories: vec![folder.path().join("none"), mounts.clone(), mounts.clone()],
            processes: processes.clone(),
        };

        let mut found = sources.others().expect("the own namespace");

        found.sort();
        assert_eq!(found, [mounts.join("pod"), processes.join("13/ns/net")]);
    }

    #[test]
    fn what_is_gone_is_no_error_and_what_is_no_namespace_is() {
        assert_eq!(enter(Path::new("/nowhere")).expect("an outcome"), Entry::Gone);
        enter(Path::new("/dev/null")).expect_err("no namespace");
    }
}
