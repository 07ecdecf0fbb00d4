//! Pinned links: put in place once, and given other programs there ever after.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use aya_obj::generated::bpf_attach_type;

use super::sys::link::{Hook, Link, Target};

/// What was being done, and what the kernel said.
pub(super) type Failure = (&'static str, io::Error);

/// Ends the name of a pin that is not in its place yet.
const FRESH: &str = "-new";

/// Replaces the program of the pinned link in place, or makes and pins a link.
pub(super) fn put(
    pin: &Path,
    program: BorrowedFd<'_>,
    target: Target<'_>,
    attach_type: bpf_attach_type,
    expected: Hook,
) -> Result<(), Failure> {
    let opening = |error| ("opening the pin of", error);
    match Link::pinned(pin).map_err(opening)? {
        // A pin of another cgroup or of a device that is gone is not ours to update: its hook is elsewhere.
        Some(link) if link.hook().map_err(opening)? == expected => {
            return link.update(program).map_err(|error| ("replacing", error));
        }
        None if pin.symlink_metadata().is_ok() => {
            let error = io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is no link", pin.display()),
            );
            return Err(opening(error));
        }
        Some(_) | None => {}
    }
    let link = Link::attach(program, target, attach_type).map_err(|error| ("attaching", error))?;
    let fresh = fresh(pin);
    // Left behind by a start that did not get to its end; without it there is nothing to remove.
    let _ = fs::remove_file(&fresh);
    link.pin(&fresh).map_err(|error| ("pinning", error))?;
    // The rename drops the pin of a former link, and with it that link.
    fs::rename(&fresh, pin).map_err(|error| ("pinning", error))
}

/// Whether a start that did not get to its end has left this pin.
pub(super) fn is_fresh(pin: &Path) -> bool {
    pin.to_string_lossy().ends_with(FRESH)
}

/// Where a link waits until it takes its predecessor's place. bpffs allows no dots in names.
fn fresh(pin: &Path) -> PathBuf {
    let mut name = pin.as_os_str().to_owned();
    name.push(FRESH);
    name.into()
}
