//! Where kproxy keeps things in the kernel's file systems.

use std::path::Path;

/// The pin directory when nothing else is asked for.
pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/kproxy";

/// Whether a directory can hold pins: named by its whole path, and not the root.
#[must_use]
pub fn is_pin_dir(directory: &Path) -> bool {
    directory.is_absolute() && directory.parent().is_some()
}
