//! Which programs are attached, and where.

use std::ffi::OsStr;
use std::path::Path;

use super::Pinned;
use crate::dataplane::attach::spot_of;
use crate::dataplane::early;
use crate::dataplane::error::OpenError;
use crate::dataplane::hooks;
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
                Hook::Cgroup { inode: 0, .. }
                | Hook::Device { index: 0, .. }
                | Hook::Early { index: 0 }
                | Hook::Other => Place::Gone,
                Hook::Cgroup { inode, .. } => Place::Cgroup(inode),
                Hook::Device { index, .. } | Hook::Early { index } => Place::Device(index),
            };
            attached.push(Attached {
                program: program_of(&path).to_owned(),
                place,
            });
        }
        for spot in hooks::filters(&self.root)? {
            attached.push(Attached {
                program: spot.program.to_owned(),
                place: Place::Device(spot.index),
            });
        }
        attached.sort();
        Ok(attached)
    }
}

/// The program that a pin is named after; device links end in an interface index.
fn program_of(pin: &Path) -> &str {
    match spot_of(pin) {
        Some(spot) => spot.program,
        None if early::index_of(pin).is_some() => early::PROGRAM,
        None => pin.file_name().and_then(OsStr::to_str).unwrap_or_default(),
    }
}
