//! The capabilities of this process (capabilities(7)).

use std::fmt;
use std::fs;

use anyhow::{Context, Result};

/// A capability that kproxy uses, with its bit (linux/capability.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capability {
    NetAdmin = 12,
    SysAdmin = 21,
    Perfmon = 38,
    Bpf = 39,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        })
    }
}

/// Why this process may not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrivilegeError {
    /// Capabilities are missing.
    #[error(
        "kproxy lacks {missing}: run it as root, or give its container the capabilities BPF, NET_ADMIN and PERFMON"
    )]
    Missing {
        /// Their names, separated by commas.
        missing: String,
    },
    /// Capabilities inside a user namespace do not count for BPF.
    #[error(
        "kproxy runs in a user namespace, where the kernel does not let it load programs: run it as the machine's \
         root (in Kubernetes: hostUsers: true)"
    )]
    UserNamespace,
}

/// Checks that this process may load programs and attach them.
///
/// # Errors
///
/// [`PrivilegeError`] if it may not; another error when /proc can not be read.
pub fn check() -> Result<()> {
    let status = fs::read_to_string("/proc/self/status").context("read /proc/self/status")?;
    let effective = effective(&status).context("find CapEff in /proc/self/status")?;
    check_capabilities(effective)?;
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    check_user_namespace(&map)?;
    Ok(())
}

fn effective(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(value.trim(), 16).ok()
}

fn check_capabilities(effective: u64) -> Result<(), PrivilegeError> {
    let has = |capability: Capability| effective & (1 << capability as u32) != 0;
    // Linux 5.8 split CAP_BPF and CAP_PERFMON off CAP_SYS_ADMIN; who has that one has all. Without CAP_PERFMON the
    // verifier refuses arithmetic on pointers that compilers take for granted (kernel/bpf/verifier.c,
    // `allow_ptr_leaks`).
    let or_admin = |capability| has(capability) || has(Capability::SysAdmin);
    let missing: Vec<_> = [
        (Capability::Bpf, or_admin(Capability::Bpf)),
        (Capability::NetAdmin, has(Capability::NetAdmin)),
        (Capability::Perfmon, or_admin(Capability::Perfmon)),
    ]
    .into_iter()
    .filter(|(_, has)| !has)
    .map(|(capability, _)| capability.to_string())
    .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(PrivilegeError::Missing {
        missing: missing.join(" and "),
    })
}

/// The first user namespace maps all ids to themselves (`user_namespaces(7)`).
fn check_user_namespace(uid_map: &str) -> Result<(), PrivilegeError> {
    let words: Vec<_> = uid_map.split_whitespace().collect();
    if words.is_empty() || words == ["0", "0", "4294967295"] {
        return Ok(());
    }
    Err(PrivilegeError::UserNamespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        let rows = [
            (u64::MAX, None),
            (1 << 39 | 1 << 38 | 1 << 12, None),
            (1 << 21 | 1 << 12, None),
            (1 << 38 | 1 << 12, Some("CAP_BPF:")),
            (1 << 39 | 1 << 38, Some("CAP_NET_ADMIN:")),
            (1 << 39 | 1 << 12, Some("CAP_PERFMON:")),
            (0, Some("CAP_BPF and CAP_NET_ADMIN and CAP_PERFMON:")),
        ];
        for (effective, missing) in rows {
            let message = check_capabilities(effective).err().map(|error| error.to_string());
            match missing {
                None => assert_eq!(message, None, "{effective:x}"),
                Some(missing) => assert!(message.expect("an error").contains(missing), "{effective:x}"),
            }
        }
    }

    #[test]
    fn the_effective_set_is_read_from_the_status_file() {
        let status = "Name:\tkproxy\nCapPrm:\t0000000000000000\nCapEff:\t000001ffffffffff\n";
        assert_eq!(effective(status), Some(0x01ff_ffff_ffff));
        assert_eq!(effective("Name:\tkproxy\n"), None);
    }

    #[test]
    fn only_the_first_user_namespace_will_do() {
        assert_eq!(check_user_namespace("         0          0 4294967295\n"), Ok(()));
        assert_eq!(
            check_user_namespace("0 100000 65536\n"),
            Err(PrivilegeError::UserNamespace)
        );
    }
}
