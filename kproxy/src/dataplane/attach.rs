//! Which program belongs onto which hook of which cgroup or device, and keeping them there across restarts.
//!
//! On a restart every program is replaced in place, so that no packet and no `connect` goes without. How that is done on
//! a device is [`hooks`](super::hooks)'s.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aya_obj::generated::bpf_attach_type as hook;

use super::doors::DeviceDoor;
use super::early;
use super::error::{AttachError, OpenError};
use super::hooks::{Hooks, Spot};
use super::links;
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
        links::put(
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
    hooks: &mut Hooks,
    door: DeviceDoor,
    index: u32,
    device: &str,
) -> Result<(), OpenError> {
    for other in DeviceDoor::ALL.into_iter().filter(|other| *other != door) {
        close(hooks, other, index)?;
    }
    for spot in door.spots(index) {
        attach(programs, hooks, &spot, device)?;
    }
    Ok(())
}

fn attach(programs: &mut Programs, hooks: &mut Hooks, spot: &Spot, device: &str) -> Result<(), OpenError> {
    let program = programs.classifier(spot.program)?;
    let attached = hooks.attach(spot, program);
    let attached = attached.map_err(|(doing, source)| AttachError::Link {
        doing,
        program: spot.program.to_owned(),
        place: device.to_owned(),
        source,
    });
    Ok(attached?)
}

/// Gives every open door of a device the present programs. To be called when stale links are removed.
///
/// Doors that were opened the other way, before an agent was told otherwise, are opened this way first and closed then.
pub(super) fn replace_doors(
    programs: &mut Programs,
    hooks: &mut Hooks,
    pins: &Pins,
) -> Result<(), OpenError> {
    for spot in hooks.occupied()? {
        replace(programs, hooks, &spot)?;
    }
    let mut others = hooks.other(pins)?;
    for spot in others.occupied()? {
        replace(programs, hooks, &spot)?;
        others.detach(&spot)?;
    }
    Ok(())
}

fn replace(programs: &mut Programs, hooks: &mut Hooks, spot: &Spot) -> Result<(), OpenError> {
    match attach(programs, hooks, spot, &format!("interface {}", spot.index)) {
        // It vanished just now.
        Err(error) if error.device_is_gone() => Ok(()),
        result => result,
    }
}

/// Closes the door of a device.
pub(super) fn detach(hooks: &mut Hooks, index: u32) -> Result<(), OpenError> {
    for door in DeviceDoor::ALL {
        close(hooks, door, index)?;
    }
    Ok(())
}

fn close(hooks: &mut Hooks, door: DeviceDoor, index: u32) -> Result<(), OpenError> {
    for spot in door.spots(index) {
        hooks.detach(&spot)?;
    }
    Ok(())
}

/// Closes the doors of every device but these; answers the devices whose doors were closed.
pub(super) fn detach_others(hooks: &mut Hooks, keep: &BTreeSet<u32>) -> Result<BTreeSet<u32>, OpenError> {
    let mut gone = hooks.occupied()?;
    gone.retain(|spot| !keep.contains(&spot.index));
    for spot in &gone {
        hooks.detach(spot)?;
    }
    Ok(gone.iter().map(|spot| spot.index).collect())
}

/// Removes the pins of links whose devices are gone, and those that never got to their places.
pub(super) fn remove_stale(pins: &Pins) -> Result<(), OpenError> {
    for path in children(&pins.links())? {
        if links::is_fresh(&path) {
            remove_link(&path)?;
            continue;
        }
        let spot = spot_of(&path).map(|spot| spot.index);
        let Some(index) = spot.or_else(|| early::index_of(&path)) else {
            continue;
        };
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
        let is_there = matches!(hook, Hook::Device { index: found, .. } | Hook::Early { index: found } if found == index);
        if !is_there {
            remove_link(&path)?;
        }
    }
    Ok(())
}

/// Whether a pin of this name holds a link that some program of ours belongs into.
pub(super) fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    let is_socket_door = SOCKET_DOOR.iter().any(|(program, _)| name == Some(*program));
    is_socket_door || spot_of(path).is_some() || early::index_of(path).is_some()
}

/// The program and the interface index in the name of a device link's pin.
pub(super) fn spot_of(path: &Path) -> Option<Spot> {
    let (program, index) = path.file_name()?.to_str()?.rsplit_once('-')?;
    spot_at(program, index.parse().ok()?)
}

/// Where a program belongs on a device.
pub(super) fn spot_at(program: &str, index: u32) -> Option<Spot> {
    let mut spots = DeviceDoor::ALL.into_iter().flat_map(|door| door.spots(index));
    spots.find(|spot| spot.program == program)
}
