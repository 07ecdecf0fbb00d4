//! What aya and the standard library have no call for, by `bpf(2)`, `mmap(2)` and `getsockopt(2)`: the only unsafe code
//! of the agent.
//!
//! * [`pin`]: what is pinned, and of which kind it is
//! * [`link`]: links by interface index and cgroup, replaced in place, pinned and found again
//! * [`hash`]: hash maps and tries by batches
//! * [`array`]: arrays through shared memory
//! * [`count`]: how many entries a map has
//! * [`namespace`]: the network namespace that this process is in
//! * [`heap`]: memory that the allocator holds back
//! * [`iterator`]: what a program writes down about each element of a map
//!
//! Layouts and constants are those of `include/uapi/linux/bpf.h`. An attribute struct here ends after the last field that
//! is used: the kernel takes the rest as zero.

pub(super) mod array;
pub(super) mod count;
pub(super) mod hash;
pub(super) mod heap;
pub(super) mod iterator;
pub(super) mod link;
pub(super) mod namespace;
pub(super) mod pin;

use std::ffi::c_long;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use aya_obj::generated::bpf_cmd;
use bytemuck::NoUninit;

/// One call of `bpf(2)`.
///
/// # Safety
///
/// `attributes` must be the command's part of `union bpf_attr`, and every pointer in it must be good for what the
/// command does with it.
unsafe fn bpf<A: NoUninit>(command: bpf_cmd, attributes: &mut A) -> io::Result<c_long> {
    // SAFETY: the pointer and the size describe `attributes`, which this function has exclusively; the caller vouches
    // for what is in it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as c_long,
            std::ptr::from_mut(attributes),
            size_of::<A>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// The address of memory that the kernel reads or writes during a call, as it stands in `union bpf_attr`.
fn address<T>(memory: *const T) -> u64 {
    memory.expose_provenance() as u64
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    descriptor.as_raw_fd().cast_unsigned()
}

/// Takes over the descriptor that a command has made.
fn own(descriptor: c_long) -> io::Result<OwnedFd> {
    let descriptor = RawFd::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for the caller and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
