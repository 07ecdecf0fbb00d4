//! The few calls of bpf(2) that list what is loaded. (aya has them, but would double the time until the first
//! `cargo xtask` on a new machine says something.)
#![expect(unsafe_code, reason = "bpf(2) takes pointers, and nix has no wrapper for it")]

use std::io;
use std::iter;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use nix::libc;

/// A program in the kernel.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) id: u32,
    /// At most 15 bytes; the kernel cuts the rest.
    pub(super) name: String,
}

/// What attaches a program to something.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) id: u32,
    pub(super) program: u32,
}

/// Every program. What vanishes while we look is passed over.
pub(super) fn programs() -> impl Iterator<Item = Program> {
    ids(PROG_GET_NEXT_ID).filter_map(|id| {
        let info = information(PROG_GET_FD_BY_ID, id).ok()?;
        let bytes: Vec<_> = info[16..].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let name = bytes.split(|byte| *byte == 0).next().unwrap_or(&bytes);
        Some(Program {
            id,
            name: String::from_utf8_lossy(name).into_owned(),
        })
    })
}

/// Every link. What vanishes while we look is passed over.
pub(super) fn links() -> impl Iterator<Item = Link> {
    ids(LINK_GET_NEXT_ID).filter_map(|id| {
        Some(Link {
            id,
            program: information(LINK_GET_FD_BY_ID, id).ok()?[2],
        })
    })
}

/// `enum bpf_cmd` in `linux/bpf.h`.
type Command = libc::c_long;
const PROG_GET_NEXT_ID: Command = 11;
const PROG_GET_FD_BY_ID: Command = 13;
const OBJ_GET_INFO_BY_FD: Command = 15;
const LINK_GET_FD_BY_ID: Command = 30;
const LINK_GET_NEXT_ID: Command = 31;

/// The start of `union bpf_attr` as these commands see it.
#[repr(C)]
struct Attributes {
    /// An id to start from, an id, or a file descriptor.
    subject: u32,
    /// The next id (answer), or the length of `information`.
    second: u32,
    /// Flags, or a pointer.
    third: u64,
}

/// The start of `struct bpf_prog_info` (name in words 16 to 19) or `struct bpf_link_info` (program in word 2).
type Information = [u32; 20];

fn ids(next: Command) -> impl Iterator<Item = u32> {
    let after = move |id: &u32| {
        let mut attributes = Attributes {
            subject: *id,
            second: 0,
            third: 0,
        };
        bpf(next, &mut attributes).ok().map(|_| attributes.second)
    };
    iter::successors(after(&0), after)
}

fn information(open: Command, id: u32) -> io::Result<Information> {
    let descriptor = bpf(
        open,
        &mut Attributes {
            subject: id,
            second: 0,
            third: 0,
        },
    )?;
    // SAFETY: the kernel has just made this descriptor for us, so nobody else closes it.
    let object = unsafe { OwnedFd::from_raw_fd(descriptor) };

    let mut information = Information::default();
    let mut attributes = Attributes {
        subject: object.as_raw_fd().cast_unsigned(),
        second: u32::try_from(size_of_val(&information)).map_err(io::Error::other)?,
        third: information.as_mut_ptr().expose_provenance() as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok(information)
}

fn bpf(command: Command, attributes: &mut Attributes) -> io::Result<i32> {
    let size = size_of::<Attributes>();
    // SAFETY: the kernel reads and writes `size` bytes at `attributes`, which is that long. What `third` points to, for
    // the one command that follows it, is alive in the caller and `second` bytes long.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    match i32::try_from(result) {
        Ok(value) if value >= 0 => Ok(value),
        _ => Err(io::Error::last_os_error()),
    }
}
