//! The memory of this process.

/// Pieces from this size on are mapped, each by itself, and go back to the kernel when they are freed. glibc begins with
/// this limit, but raises it with what is freed: then large vectors would come to lie in the heap.
#[cfg(target_env = "gnu")]
const MAPPED: libc::c_int = 128 << 10;

/// Has all threads share one heap. Each would have its own, with holes that the others can not use: that costs more than
/// it saves where one thread does nearly everything. To be called before threads are started.
pub(in super::super) fn share() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, MAPPED)] {
        // SAFETY: the call takes two numbers and sets a limit that is looked at when memory is allocated.
        unsafe {
            libc::mallopt(parameter, value);
        }
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
