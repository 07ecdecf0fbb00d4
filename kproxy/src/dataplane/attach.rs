//! Putting programs on their hooks, and keeping them there across restarts.
//!
//! Every link is pinned. On a restart its program is replaced in place, so that no packet and no `connect` goes without.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aya_obj::generated::bpf_attach_type as hook;

use super::doors::{self, DeviceDoor};
use super::error::{AttachError, OpenError};
use super::pins::{Pins, children, remove_link};
use super::programs::Programs;
use super::sys::link::{Hook, Link, Target};

/// Programs of the socket door with their hooks.
pub(super) const SOCKET_DOOR: [(&str, hook); 8] = [
    ("connect4", hook::BPF_CGROUP_INET4_CONNECT),
    ("connect6", hook::BPF_CGROUP_INET6_CONNECT),
    ("sendmsg4", hook::BPF_CGROUP_UDP4_SENDMSG),
    ("sendmsg6", hook::BPF_CGROUP_UDP6_SENDMSG),
    ("recvmsg4", hook::BPF_CGROUP_UDP4_RECVMSG),
    ("recvmsg6", hook::BPF_CGROUP_UDP6_RECVMSG),
    ("getpeername4", hook::BPF_CGROUP_INET4_GETPEERNAME),
    ("getpeername6", hook::BPF_CGROUP_INET6_GETPEERNAME),
];

/// Ends the name of a pin that is not in its place yet.
const FRESH: &str = "-new";

/// A cgroup v2 directory that is known to be there.
pub(super) struct Cgroup<'a> {
    path: &'a Path,
    directory: File,
    /// The kernel's id of the cgroup (`cgroup_id`).
    inode: u64,
}

impl<'a> Cgroup<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self, AttachError> {
        let opened = File::open(path).and_then(|directory| Ok((directory.metadata()?.ino(), directory)));
        match opened {
            Ok((inode, directory)) => Ok(Self {
                path,
                directory,
                inode,
            }),
            Err(source) => Err(AttachError::Cgroup {
                path: path.to_owned(),
                source,
            }),
        }
    }
}

/// Opens the socket door for every process below a cgroup.
pub(super) fn attach_cgroup(
    programs: &Programs,
    pins: &Pins,
    cgroup: &Cgroup<'_>,
) -> Result<(), AttachError> {
    let Cgroup {
        path,
        directory,
        inode,
    } = cgroup;
    for (name, attach_type) in SOCKET_DOOR {
        let program = programs.descriptor(name);
        let expected = Hook::Cgroup {
            inode: *inode,
            attach_type: attach_type as u32,
        };
        let target = Target::Cgroup(directory.as_fd());
        let failed = |(doing, source)| AttachError::Link {
            doing,
            program: name.to_owned(),
            place: path.display().to_string(),
            source,
        };
        attach(
            &pins.cgroup_link(name),
            program.map_err(|error| failed(("finding", error)))?,
            target,
            attach_type,
            expected,
        )
        .map_err(failed)?;
    }
    Ok(())
}

/// Opens a door on a device. One of another kind that is open there is closed first: no packet meets both.
pub(super) fn attach_device(
    programs: &mut Programs,
    pins: &Pins,
    door: DeviceDoor,
    index: u32,
    device: &str,
) -> Result<(), OpenError> {
    for other in DeviceDoor::ALL.into_iter().filter(|other| *other != door) {
        close(pins, other, index)?;
    }
    for (name, attach_type) in door.programs() {
        let expected = Hook::Device {
            index,
            attach_type: attach_type as u32,
        };
        let failed = |(doing, source): (&'static str, io::Error)| match source.raw_os_error() {
            // Before 6.6 the attach type is unknown. clsact would go here.
            Some(libc::EINVAL) if doing == "attaching" => AttachError::NoTcx {
                program: name,
                device: device.to_owned(),
            },
            _ => AttachError::Link {
                doing,
                program: name.to_owned(),
                place: device.to_owned(),
                source,
            },
        };
        let program = programs.classifier(name)?;
        attach(
            &pins.device_link(name, index),
            program,
            Target::DeviceFirst(index),
            attach_type,
            expected,
        )
        .map_err(failed)?;
    }
    Ok(())
}

/// Gives every open door of a device the present programs. To be called when stale links are removed.
pub(super) fn replace_doors(programs: &mut Programs, pins: &Pins) -> Result<(), OpenError> {
    for path in children(&pins.links())? {
        let Some((name, index)) = door_of(&path) else {
            continue;
        };
        let failed = |doing| {
            move |source| AttachError::Link {
                doing,
                program: name.to_owned(),
                place: format!("interface {index}"),
                source,
            }
        };
        let program = programs.classifier(name)?;
        let Some(link) = Link::pinned(&path).map_err(failed("opening the pin of"))? else {
            continue;
        };
        match link.update(program) {
            // The device vanished just now (`tcx_link_update`).
            Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {}
            result => result.map_err(failed("replacing"))?,
        }
    }
    Ok(())
}

/// Replaces the program of the pinned link in place, or makes and pins a link.
fn attach(
    pin: &Path,
    program: BorrowedFd<'_>,
    target: Target<'_>,
    attach_type: hook,
    expected: Hook,
) -> Result<(), (&'static str, io::Error)> {
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

/// Where a link waits until it takes its predecessor's place. bpffs allows no dots in names.
fn fresh(pin: &Path) -> PathBuf {
    let mut name = pin.as_os_str().to_owned();
    name.push(FRESH);
    name.into()
}

/// Closes the door of a device. A device that is gone took its programs along and leaves only the pins.
pub(super) fn detach(pins: &Pins, index: u32) -> Result<(), OpenError> {
    for door in DeviceDoor::ALL {
        close(pins, door, index)?;
    }
    Ok(())
}

fn close(pins: &Pins, door: DeviceDoor, index: u32) -> Result<(), OpenError> {
    for (name, _) in door.programs() {
        remove_link(&pins.device_link(name, index))?;
    }
    Ok(())
}

/// Removes the pins of devices that are gone, and those that never got to their places.
pub(super) fn remove_stale(pins: &Pins) -> Result<(), OpenError> {
    for path in children(&pins.links())? {
        if path.to_string_lossy().ends_with(FRESH) {
            remove_link(&path)?;
            continue;
        }
        let Some(index) = device_of(&path) else { continue };
        let hook = match Link::pinned(&path) {
            Ok(None) => continue,
            Ok(Some(link)) => link.hook(),
            Err(error) => Err(error),
        };
        let hook = hook.map_err(|source| OpenError::Pin {
            doing: "opening the link",
            path: path.clone(),
            source,
        })?;
        if !matches!(hook, Hook::Device { index: found, .. } if found == index) {
            remove_link(&path)?;
        }
    }
    Ok(())
}

/// Closes the doors of every device but these; answers the devices whose doors were closed.
pub(super) fn detach_others(pins: &Pins, keep: &BTreeSet<u32>) -> Result<BTreeSet<u32>, OpenError> {
    let paths = children(&pins.links())?;
    let gone: BTreeSet<u32> = paths
        .iter()
        .filter_map(|path| device_of(path))
        .filter(|it| !keep.contains(it))
        .collect();
    for index in &gone {
        detach(pins, *index)?;
    }
    Ok(gone)
}

/// The interface index in the name of a device link's pin.
fn device_of(path: &Path) -> Option<u32> {
    door_of(path).map(|(_, index)| index)
}

/// Whether a pin of this name holds a link that some program of ours belongs into.
pub(super) fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    let is_socket_door = SOCKET_DOOR.iter().any(|(program, _)| name == Some(*program));
    is_socket_door || door_of(path).is_some()
}

/// The program and the interface index in the name of a device link's pin.
fn door_of(path: &Path) -> Option<(&'static str, u32)> {
    let name = path.file_name()?.to_str()?;
    doors::programs().find_map(|(program, _)| {
        let index = name.strip_prefix(program)?.strip_prefix('-')?;
        Some((program, index.parse().ok()?))
    })
}
