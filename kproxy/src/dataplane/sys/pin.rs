//! Pinned objects of every kind.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya_obj::generated::bpf_cmd;
use bytemuck::NoUninit;

use super::{address, bpf, number, own};

/// What can be pinned, as far as kproxy pins it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Map,
    Link,
}

impl Kind {
    /// What /proc calls such an object: every one is an anonymous inode.
    fn names(self) -> &'static [&'static [u8]] {
        match self {
            Self::Map => &[b"anon_inode:bpf-map"],
            // One name for a fresh link, the other for one that was pinned (`bpf_link_prime`, `bpf_link_new_fd`).
            Self::Link => &[b"anon_inode:bpf_link", b"anon_inode:bpf-link"],
        }
    }
}

/// Opens a pinned object of this kind; `None` if there is nothing or something else.
///
/// # Errors
///
/// When the kernel does not say what is there: too many open files, no permission, no /proc.
pub(in super::super) fn open(path: &Path, kind: Kind) -> io::Result<Option<OwnedFd>> {
    // Every pin is a regular file. Of anything else the kernel says EACCES (`bpf_inode_type`), as it does of a pin that
    // this process may not open.
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => return Ok(None),
    }
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = Object {
        path: address(name.as_ptr()),
        descriptor: 0,
        flags: 0,
    };
    // SAFETY: `Object` is the `obj` part of the union; its pointer is to a string with a terminator that lives until
    // after the call.
    let descriptor = match unsafe { bpf(bpf_cmd::BPF_OBJ_GET, &mut attributes) } {
        // Removed meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        result => own(result?)?,
    };
    let target = std::fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))?;
    let found = kind.names().contains(&target.as_os_str().as_bytes());
    Ok(found.then_some(descriptor))
}

/// Pins an object.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attributes = Object {
        path: address(path.as_ptr()),
        descriptor: number(object.as_fd()),
        flags: 0,
    };
    // SAFETY: as in `open`.
    unsafe { bpf(bpf_cmd::BPF_OBJ_PIN, &mut attributes) }?;
    Ok(())
}

/// `bpf_attr.obj`
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Object {
    path: u64,
    descriptor: u32,
    flags: u32,
}
