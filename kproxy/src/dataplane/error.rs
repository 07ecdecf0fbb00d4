//! What can go wrong between the agent and the kernel.

use std::io;
use std::path::PathBuf;

use super::layout::Layout;

/// Why the data plane could not be opened. Nothing was attached or changed, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The pin directory can not be made.
    #[error("making {path}: {source}; is a BPF file system mounted there? (mount -t bpf bpf /sys/fs/bpf)")]
    PinDirectory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Another agent uses the pin directory.
    #[error(
        "another kproxy is running with the pin directory {path}; stop it or choose another one by --pin-dir"
    )]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// A pinned map is of another make.
    #[error(
        "the pinned map {map} has another layout: found {found}, expected {expected}; \
         stop kproxy and run `kproxy cleanup --pin-dir {pin_dir}` (translated connections are lost)"
    )]
    Layout {
        /// The map.
        map: String,
        /// What is pinned.
        found: Box<Layout>,
        /// What this kproxy needs.
        expected: Box<Layout>,
        /// Where.
        pin_dir: PathBuf,
    },
    /// A pinned map is larger than it shall be and can not shrink.
    #[error(
        "the pinned map {map} has {found} entries and can not shrink to {expected} while it is in use; \
         keep its size, or stop kproxy and run `kproxy cleanup --pin-dir {pin_dir}`"
    )]
    Shrink {
        /// The map.
        map: String,
        /// Its entries.
        found: u32,
        /// Entries asked for.
        expected: u32,
        /// Where.
        pin_dir: PathBuf,
    },
    /// There is nothing to look at.
    #[error("{path} does not exist; is a kproxy of this version running on this node, with this --pin-dir?")]
    NothingPinned {
        /// What is missing.
        path: PathBuf,
    },
    /// A file in the pin directory could not be used.
    #[error("{doing} {path}: {source}")]
    Pin {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The filters of devices could not be listed or removed.
    #[error("{doing}: {source}")]
    Filters {
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel object is damaged.
    #[error("reading the kernel object: {0}")]
    Object(#[from] aya_obj::ParseError),
    /// The kernel took a map or the object's types amiss.
    #[error("loading the kernel object: {0}")]
    Load(#[from] aya::EbpfError),
    /// The object lacks something, or the kernel's verifier rejected a program.
    #[error("loading the kernel program {program}: {source}")]
    Program {
        /// The program.
        program: &'static str,
        /// What is wrong, with the verifier's log.
        source: aya::programs::ProgramError,
    },
    /// The object has no such program, or it is of another kind.
    #[error("the kernel object has no {kind} program {program}; kproxy was built with another one")]
    Missing {
        /// The program.
        program: &'static str,
        /// Its kind.
        kind: &'static str,
    },
    /// A program could not be put on the elements of a map.
    #[error("starting the iterator {program}: {source}")]
    Iterator {
        /// The program.
        program: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A map could not be opened or read.
    #[error("opening the map {map}: {source}")]
    Map {
        /// The map.
        map: &'static str,
        /// What is wrong.
        source: io::Error,
    },
    /// The content of a map could not be moved to one of another size.
    #[error("moving the content of the map {map} to one of another size: {source}")]
    Resize {
        /// The map.
        map: String,
        /// What is wrong.
        source: io::Error,
    },
    /// The kernel does not say in which network namespace this process is.
    #[error("asking for the cookie of this network namespace: {0}; kproxy needs Linux 5.14 or newer")]
    Namespace(io::Error),
    /// A program could not be attached; programs named before it in the object are attached already.
    #[error(transparent)]
    Attach(#[from] AttachError),
}

/// Why a program could not be put on its hook.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The cgroup can not be opened.
    #[error(
        "opening the cgroup {path}: {source}; it must be a directory of a cgroup v2 file system (--cgroup)"
    )]
    Cgroup {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Anything else.
    #[error("{doing} {program} on {place}: {source}")]
    Link {
        /// What was tried.
        doing: &'static str,
        /// The program.
        program: String,
        /// The device or cgroup.
        place: String,
        /// What the kernel said.
        source: io::Error,
    },
}

impl OpenError {
    /// Whether a device vanished meanwhile: then there is nothing to attach to and nothing to worry about.
    #[must_use]
    pub fn device_is_gone(&self) -> bool {
        matches!(self, Self::Attach(error) if error.device_is_gone())
    }
}

impl AttachError {
    /// Whether the device vanished meanwhile: then there is nothing to attach to and nothing to worry about.
    #[must_use]
    pub fn device_is_gone(&self) -> bool {
        match self {
            Self::Link { source, .. } => {
                matches!(
                    source.raw_os_error(),
                    Some(libc::ENODEV | libc::ENOLINK | libc::ENXIO)
                )
            }
            Self::Cgroup { .. } => false,
        }
    }
}

/// Why a plan could not be applied to its end. What comes after the step was not tried.
#[derive(Debug, thiserror::Error)]
#[error("{step}: {source}")]
pub struct ApplyError {
    /// The step that failed: the map, the key and the service.
    pub step: String,
    /// Map writes made before.
    pub writes: usize,
    /// What the kernel said.
    pub source: io::Error,
}
