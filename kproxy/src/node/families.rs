//! The address families of this kernel.

use std::path::Path;

use kproxy_common::Family;

/// What the kernel has: IPv4, and IPv6 unless that is left out or switched off at boot (`ipv6.disable=1`).
#[must_use]
pub fn in_kernel() -> &'static [Family] {
    if Path::new("/proc/net/if_inet6").exists() {
        &[Family::V4, Family::V6]
    } else {
        &[Family::V4]
    }
}
