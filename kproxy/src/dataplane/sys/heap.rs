//! The memory of this process.

/// Has all threads share one heap. Each would have its own, with holes that the others can not use: that costs more than
/// it saves where one thread does nearly everything. To be called before threads are started.
pub(in super::super) fn share() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes two numbers and sets a limit that is looked at when a thread first allocates.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives what the allocator holds back without need to the kernel: after a start, most of what was allocated for lists
/// and type information is free again, in the midst of what stays. Other allocators than glibc's do so by themselves.
pub(in super::super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a number, locks the heaps itself, and touches only memory that nobody has.
    unsafe {
        libc::malloc_trim(0);
    }
}
