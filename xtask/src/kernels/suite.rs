//! What runs on another kernel.

use std::time::Duration;

use super::package::Kernel;

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What a run of all checks has time for.
    Quick,
    /// Everything.
    Full,
}

impl Scope {
    /// How long one machine may take, also one that hangs.
    pub(super) fn bound(self) -> Duration {
        match self {
            Self::Quick => Duration::from_mins(8),
            Self::Full => Duration::from_mins(90),
        }
    }

    /// The tests that are run, by the names of their files.
    pub(super) fn tests(self) -> &'static [&'static str] {
        match self {
            Self::Quick => &["acceptance_kernel", "links"],
            Self::Full => &[
                "acceptance_kernel",
                "links",
                "clsact",
                "dataplane",
                "stale_udp",
                "uplink",
                "icmp",
                "fragments",
                "path_mtu",
            ],
        }
    }
}

/// What only a kernel with TCX can show.
const NEEDS_TCX: &str = "--skip pods::pod_doors_are_replaced_in_place --skip resize::pod_doors_write \
                         --skip succession::links_of_another_layout";

/// What needs one more load of the programs, which takes long on an emulated processor.
const NEEDS_TIME: &str = "--skip silent_connections";

/// The commands, each of which ends with its own status.
pub(super) fn steps(scope: Scope, kernel: &Kernel) -> Vec<String> {
    let test = |name: &str, arguments: &str| format!("/target/debug/deps/{name} {arguments}");
    let check = "/target/debug/kproxy check".to_owned();
    match scope {
        Scope::Quick => {
            let part = format!(
                "KPROXY_ACCEPTANCE_EVERY=60 {}",
                test("acceptance_kernel", NEEDS_TIME)
            );
            let links = test("links", "--ignored --test-threads=1");
            vec![check, part, links]
        }
        Scope::Full => {
            let skipped = if kernel.has_tcx { "" } else { NEEDS_TCX };
            vec![
                check,
                test("links", "--ignored --test-threads=1"),
                test("clsact", "--test-threads=1"),
                test("dataplane", &format!("--test-threads=2 {skipped}")),
                test("stale_udp", "--test-threads=1"),
                test("uplink", "--test-threads=1"),
                test("icmp", "--test-threads=1"),
                test("fragments", "--test-threads=1"),
                test("path_mtu", "--test-threads=1"),
                test("acceptance_kernel", ""),
            ]
        }
    }
}
