//! A kproxy with another layout of the maps gives way to this one.
//!
//! Its links become ours, and then get our programs in place like those of an earlier run of ours: at no moment do two
//! generations of programs translate, and no hook is empty. Its maps mean something else, so they go, and with them the
//! connections that were translated by packet; nothing is served until it is programmed anew.

use std::fs;
use std::path::PathBuf;

use super::attach::is_ours;
use super::error::OpenError;
use super::pins::{Pins, children, remove_version};
use super::sys::link::Link;

/// What is left of the others once our programs are in place.
#[must_use]
pub(super) struct Predecessors(Vec<PathBuf>);

/// Moves the pins of links to where our own are looked for.
pub(super) fn take_over(pins: &Pins) -> Result<Predecessors, OpenError> {
    let versions = pins.other_versions()?;
    for version in &versions {
        tracing::warn!(
            version = %version.display(),
            "taking over from a kproxy with another layout of the maps: connections that it has translated by packet are \
             lost, and nothing is served until it is programmed anew"
        );
        for path in children(&version.join("links"))? {
            let failed = |doing| {
                let path = path.clone();
                move |source| OpenError::Pin { doing, path, source }
            };
            let Some(name) = path.file_name().filter(|_| is_ours(&path)) else {
                continue;
            };
            if Link::pinned(&path).map_err(failed("opening the link"))?.is_none() {
                continue;
            }
            let own = pins.links().join(name);
            // A start that got no further has made one already: then the other one goes.
            if own.symlink_metadata().is_err() {
                fs::rename(&path, &own).map_err(failed("moving the link"))?;
            }
        }
    }
    Ok(Predecessors(versions))
}

impl Predecessors {
    /// Takes whatever programs they have on other hooks off them, and removes their maps.
    pub(super) fn remove(self) -> Result<(), OpenError> {
        for version in self.0 {
            remove_version(&version)?;
        }
        Ok(())
    }
}
