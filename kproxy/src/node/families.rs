//! The address families that this node has.

use std::fs;
use std::path::Path;

use kproxy_common::Family;

/// IPv4, and IPv6 unless that is missing in the kernel, switched off at its start (`ipv6.disable=1`), or switched off
/// for all devices (semantics 1.20).
#[must_use]
pub fn of_node() -> &'static [Family] {
    let in_kernel = Path::new("/proc/net/if_inet6").exists();
    let switch = fs::read_to_string("/proc/sys/net/ipv6/conf/all/disable_ipv6");
    families(in_kernel, switch.ok().as_deref())
}

/// `disabled` is what the switch says; without one nothing is switched off.
fn families(in_kernel: bool, disabled: Option<&str>) -> &'static [Family] {
    let switched_off = disabled.is_some_and(|text| text.trim() == "1");
    if in_kernel && !switched_off {
        &[Family::V4, Family::V6]
    } else {
        &[Family::V4]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_may_be_missing_or_switched_off_1_20() {
        const BOTH: &[Family] = &[Family::V4, Family::V6];
        const V4: &[Family] = &[Family::V4];
        let rows = [
            ("both", true, Some("0\n"), BOTH),
            ("a kernel without it", false, None, V4),
            ("switched off for all devices", true, Some("1\n"), V4),
            ("a switch that can not be read", true, None, BOTH),
        ];
        for (what, in_kernel, disabled, expected) in rows {
            assert_eq!(families(in_kernel, disabled), expected, "1.20 {what}");
        }
    }
}
