//! `bpf(2)` where aya has no call for it: bare instructions, exact timing, live frames, a link that goes with its descriptor,
//! and reading a program back.

#![expect(
    unsafe_code,
    reason = "bpf(2) is a system call that reads and writes what it is pointed to"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const BPF_MAP_CREATE: libc::c_int = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_int = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_int = 2;
const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_LINK_CREATE: libc::c_int = 28;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_PROG_ARRAY: u32 = 3;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_PROG_TYPE_XDP: u32 = 6;
/// These two as the data plane's program has them: a program calls only what is like itself.
const BPF_XDP: u32 = 37;
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;

// The first fields of `union bpf_attr` and `struct bpf_prog_info` (include/uapi/linux/bpf.h); the kernel takes what is
// not there for zero.

#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    device: u32,
    attach_type: u32,
}

#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
}

#[repr(C)]
struct MapAccess {
    map: i32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[derive(Default)]
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

#[repr(C)]
struct LinkCreate {
    program: i32,
    device: u32,
    attach_type: u32,
    flags: u32,
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

#[repr(C)]
struct InfoRequest {
    descriptor: i32,
    length: u32,
    info: u64,
}

#[derive(Default)]
#[repr(C)]
struct ProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    machine_code_length: u32,
    translated_length: u32,
    machine_code: u64,
    translated: u64,
}

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TC.
    Tc,
    /// XDP, also of packets in several buffers.
    Xdp,
}

/// Loads instructions as a program.
///
/// # Errors
/// When the kernel refuses.
pub fn load(kind: Kind, instructions: &[u64]) -> io::Result<OwnedFd> {
    let (kind, flags, attach_type) = match kind {
        Kind::Tc => (BPF_PROG_TYPE_SCHED_CLS, 0, 0),
        Kind::Xdp => (BPF_PROG_TYPE_XDP, BPF_F_XDP_HAS_FRAGS, BPF_XDP),
    };
    let mut request = Load {
        kind,
        instruction_count: length(instructions.len()),
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags,
        name: [0; 16],
        device: 0,
        attach_type,
    };
    make(BPF_PROG_LOAD, &mut request)
}

/// A map of programs to call, by number.
///
/// # Errors
/// When the kernel refuses.
pub fn program_array(programs: &[BorrowedFd<'_>]) -> io::Result<OwnedFd> {
    let mut request = MapCreate {
        kind: BPF_MAP_TYPE_PROG_ARRAY,
        key_size: 4,
        value_size: 4,
        entries: length(programs.len()),
    };
    let array = make(BPF_MAP_CREATE, &mut request)?;
    for (number, program) in programs.iter().enumerate() {
        let (key, value) = (length(number), program.as_raw_fd());
        let mut request = MapAccess {
            map: array.as_raw_fd(),
            padding: 0,
            key: (&raw const key) as u64,
            value: (&raw const value) as u64,
            flags: 0,
        };
        bpf(BPF_MAP_UPDATE_ELEM, &mut request)?;
    }
    Ok(array)
}

/// An array with one word.
///
/// # Errors
/// When the kernel refuses.
pub fn counter() -> io::Result<OwnedFd> {
    let mut request = MapCreate {
        kind: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: 8,
        entries: 1,
    };
    make(BPF_MAP_CREATE, &mut request)
}

/// The word.
///
/// # Errors
/// When the kernel refuses.
pub fn read(counter: BorrowedFd<'_>) -> io::Result<u64> {
    let (key, mut value) = (0_u32, 0_u64);
    let mut request = MapAccess {
        map: counter.as_raw_fd(),
        padding: 0,
        key: (&raw const key) as u64,
        value: (&raw mut value) as u64,
        flags: 0,
    };
    bpf(BPF_MAP_LOOKUP_ELEM, &mut request)?;
    Ok(value)
}

/// Puts a program on a device of this thread's namespace, in its driver, as long as the result lives.
///
/// # Errors
/// When the kernel refuses.
pub fn attach(program: BorrowedFd<'_>, device: u32) -> io::Result<OwnedFd> {
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
///
/// # Errors
/// When the kernel refuses.
pub fn send(program: BorrowedFd<'_>, frame: &[u8], device: u32, count: u32) -> io::Result<()> {
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
        size_in: length(frame.len()),
        data_in: frame.as_ptr() as u64,
        repeat: count,
        context_in_length: length(size_of::<Context>()),
        context_in: (&raw const context) as u64,
        flags: BPF_F_TEST_XDP_LIVE_FRAMES,
        ..TestRun::default()
    };
    bpf(BPF_PROG_TEST_RUN, &mut request)?;
    Ok(())
}

/// A call that makes a descriptor.
fn make<T>(command: libc::c_int, request: &mut T) -> io::Result<OwnedFd> {
    let descriptor = bpf(command, request)?;
    // SAFETY: the call has just returned it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// One test run: what the program returned, and the nanoseconds of a repetition by the kernel's own clock.
#[derive(Clone, Copy, Debug)]
pub struct Ran {
    /// What the program returned.
    pub return_value: u32,
    /// Of one repetition.
    pub nanoseconds: u32,
}

/// Runs a program on a packet over and over. The packet is the same all the time: what the program wrote into it stays.
///
/// # Errors
/// When the kernel refuses.
pub fn run(
    program: BorrowedFd<'_>,
    packet: &[u8],
    context: &[u8],
    out: Option<&mut [u8]>,
    repeat: u32,
) -> io::Result<Ran> {
    let (size_out, data_out) = match out {
        Some(out) => (length(out.len()), out.as_mut_ptr() as u64),
        None => (0, 0),
    };
    let mut request = TestRun {
        program: program.as_raw_fd(),
        size_in: length(packet.len()),
        size_out,
        data_in: packet.as_ptr() as u64,
        data_out,
        repeat,
        context_in_length: length(context.len()),
        context_in: if context.is_empty() {
            0
        } else {
            context.as_ptr() as u64
        },
        ..TestRun::default()
    };
    bpf(BPF_PROG_TEST_RUN, &mut request)?;
    Ok(Ran {
        return_value: request.return_value,
        nanoseconds: request.nanoseconds,
    })
}

/// The instructions of a loaded program, its functions included, as the verifier left them.
///
/// # Errors
/// When the kernel refuses.
pub fn translated(program: BorrowedFd<'_>) -> io::Result<Vec<u64>> {
    let mut info = ProgramInfo::default();
    let mut request = InfoRequest {
        descriptor: program.as_raw_fd(),
        length: length(size_of::<ProgramInfo>()),
        info: (&raw mut info) as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut request)?;
    let mut instructions = vec![0_u64; info.translated_length as usize / size_of::<u64>()];
    info = ProgramInfo {
        translated_length: info.translated_length,
        translated: instructions.as_mut_ptr() as u64,
        ..ProgramInfo::default()
    };
    request.info = (&raw mut info) as u64;
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut request)?;
    Ok(instructions)
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

fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
