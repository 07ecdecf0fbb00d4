//! `bpf(2)` where aya has no call for it: loading bare instructions, exact timing, and reading a program back.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;

// The first fields of `union bpf_attr` and `struct bpf_prog_info` (include/uapi/linux/bpf.h); the kernel takes what is
// not there for zero.

#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
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

/// Loads instructions as a TC program.
pub(crate) fn load(instructions: &[u64]) -> io::Result<OwnedFd> {
    let mut request = Load {
        kind: BPF_PROG_TYPE_SCHED_CLS,
        instruction_count: length(instructions.len()),
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
    };
    let descriptor = bpf(BPF_PROG_LOAD, &mut request)?;
    // SAFETY: the call has just returned it, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// One test run: what the program returned, and the nanoseconds of a repetition by the kernel's own clock.
pub(crate) struct Ran {
    pub(crate) return_value: u32,
    pub(crate) nanoseconds: u32,
}

/// Runs a program on a packet over and over. The packet is the same all the time: what the program wrote into it stays.
pub(crate) fn run(
    program: BorrowedFd<'_>,
    packet: &[u8],
    out: Option<&mut [u8]>,
    repeat: u32,
) -> io::Result<Ran> {
    let (size_out, data_out) = match out {
        Some(out) => (length(out.len()), out.as_mut_ptr() as u64),
        None => (0, 0),
    };
    let mut request = TestRun {
        program: program.as_raw_fd(),
        return_value: 0,
        size_in: length(packet.len()),
        size_out,
        data_in: packet.as_ptr() as u64,
        data_out,
        repeat,
        nanoseconds: 0,
    };
    bpf(BPF_PROG_TEST_RUN, &mut request)?;
    Ok(Ran {
        return_value: request.return_value,
        nanoseconds: request.nanoseconds,
    })
}

/// The instructions of a loaded program, its functions included, as the verifier left them.
pub(crate) fn translated(program: BorrowedFd<'_>) -> io::Result<Vec<u64>> {
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
