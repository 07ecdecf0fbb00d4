//! Which programs are attached, and where.

use std::ffi::OsStr;

use super::Pinned;
use crate::dataplane::attach::SOCKET_DOOR;
use crate::dataplane::doors;
use crate::dataplane::error::OpenError;
use crate::dataplane::pins::{children, version_path};
use crate::dataplane::sys::link::{Hook, Link};

/// A program on its hook.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attached {
    /// The program.
    pub program: String,
    /// Where it is attached.
    pub place: Place,
}

/// Where a program is attached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// To a cgroup, by the inode number of its directory.
    Cgroup(u64),
    /// To a device of this network namespace, by its interface index.
    Device(u32),
    /// To something that is gone.
    Gone,
}

impl Pinned {
    /// Every program that is attached, sorted.
    ///
    /// # Errors
    /// When a pin can not be read.
    pub fn attached(&self) -> Result<Vec<Attached>, OpenError> {
        let mut attached = Vec::new();
        for path in children(&version_path(&self.root).join("links"))? {
            let failed = |source| OpenError::Pin {
                doing: "opening the link",
                path: path.clone(),
                source,
            };
            let Some(link) = Link::pinned(&path).map_err(failed)? else {
                continue;
            };
            let place = match link.hook().map_err(failed)? {
                Hook::Cgroup { inode: 0, .. } | Hook::Device { index: 0, .. } | Hook::Other => Place::Gone,
                Hook::Cgroup { inode, .. } => Place::Cgroup(inode),
                Hook::Device { index, .. } => Place::Device(index),
            };
            let pin = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            attached.push(Attached {
                program: program_of(pin).to_owned(),
                place,
            });
        }
        attached.sort();
        Ok(attached)
    }
}

/// The program that a pin is named after; device links end in an interface index.
fn program_of(pin: &str) -> &str {
    let programs = SOCKET_DOOR.into_iter().chain(doors::programs());
    programs
        .map(|(name, _)| name)
        .filter(|name| pin.starts_with(name))
        .max_by_key(|name| name.len())
        .unwrap_or(pin)
}
