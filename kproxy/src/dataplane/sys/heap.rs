//! The memory of this process.

/// Gives what the allocator holds back without need to the kernel: after a start, most of what was allocated for lists
/// and type information is free again, in the midst of what stays. Other allocators than glibc's do so by themselves.
pub(in super::super) fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes a number, locks the heaps itself, and touches only memory that nobody has.
    unsafe {
        libc::malloc_trim(0);
    }
}
