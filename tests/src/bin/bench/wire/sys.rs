//! `bpf(2)` where aya has no call for it: bare instructions, live frames, and a link that goes with its descriptor.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_LINK_CREATE: libc::c_int = 28;

const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// `enum bpf_attach_type`.
const BPF_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

// The first fields of `union bpf_attr` (include/uapi/linux/bpf.h); the kernel takes what is not there for zero.

#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
}

#[repr(C)]
struct MapLookup {
    map: i32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
}

#[repr(C)]
struct LinkCreate {
    program: i32,
    device: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
struct TestRun {
    program: i32,
    return_value: u32,
    size_in: u32,
    size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    nanoseconds: u32,
    context_in_length: u32,
    context_out_length: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    padding: u32,
}

/// `struct xdp_md`.
#[repr(C)]
struct Context {
    data: u32,
    end: u32,
    meta: u32,
    device: u32,
    queue: u32,
    out: u32,
}

/// An array with one word.
pub(super) fn counter() -> io::Result<OwnedFd> {
    let mut request = MapCreate {
        kind: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: 8,
        entries: 1,
    };
    make(BPF_MAP_CREATE, &mut request)
}

/// The word.
pub(super) fn read(counter: BorrowedFd<'_>) -> io::Result<u64> {
    let (key, mut value) = (0_u32, 0_u64);
    let mut request = MapLookup {
        map: counter.as_raw_fd(),
        padding: 0,
        key: (&raw const key) as u64,
        value: (&raw mut value) as u64,
        flags: 0,
    };
    bpf(BPF_MAP_LOOKUP_ELEM, &mut request)?;
    Ok(value)
}

/// Loads instructions as an XDP program.
pub(super) fn load(instructions: &[u64]) -> io::Result<OwnedFd> {
    let mut request = Load {
        kind: BPF_PROG_TYPE_XDP,
        instruction_count: length(instructions.len()),
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
    };
    make(BPF_PROG_LOAD, &mut request)
}

/// Puts a program on a device of this thread's namespace, in its driver, as long as the result lives.
pub(super) fn attach(program: BorrowedFd<'_>, device: u32) -> io::Result<OwnedFd> {
    let mut request = LinkCreate {
        program: program.as_raw_fd(),
        device,
        attach_type: BPF_XDP,
        flags: XDP_FLAGS_DRV_MODE,
    };
    make(BPF_LINK_CREATE, &mut request)
}

/// Lets a program make frames out of this one and send them by a device of this thread's namespace
/// (`Documentation/bpf/bpf_prog_run.rst`).
pub(super) fn send(program: BorrowedFd<'_>, frame: &[u8], device: u32, count: u32) -> io::Result<()> {
    let context = Context {
        data: 0,
        end: length(frame.len()),
        meta: 0,
        device,
        queue: 0,
        out: 0,
    };
    let mut request = TestRun {
        program: program.as_raw_fd(),
        return_value: 0,
        size_in: length(frame.len()),
        size_out: 0,
        data_in: frame.as_ptr() as u64,
        data_out: 0,
        repeat: count,
        nanoseconds: 0,
        context_in_length: length(size_of::<Context>()),
        context_out_length: 0,
        context_in: (&raw const context) as u64,
        context_out: 0,
        flags: BPF_F_TEST_XDP_LIVE_FRAMES,
        cpu: 0,
        batch: 0,
        padding: 0,
    };
    bpf(BPF_PROG_TEST_RUN, &mut request)?;
    Ok(())
}

fn bpf<T>(command: libc::c_int, request: &mut T) -> io::Result<i32> {
    // SAFETY: every request above starts with the fields of its command, and its addresses are those of buffers that
    // outlive the call and are as long as it says; the kernel reads and writes no more than `size_of::<T>()` of it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(request),
            size_of::<T>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::try_from(result).unwrap_or_default())
}

/// A call that makes a descriptor.
fn make<T>(command: libc::c_int, request: &mut T) -> io::Result<OwnedFd> {
    let descriptor = bpf(command, request)?;
    // SAFETY: the call has just returned it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
