//! Where kproxy keeps things in the kernel's file systems.

/// The pin directory when nothing else is asked for.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/kproxy";
