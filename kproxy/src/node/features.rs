//! What the kernel can do, found by asking it and not by its version: distributions add and remove features.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};

use aya::maps::MapType;
use aya::programs::tc::TcAttachType;
use aya::programs::{ProgramError, ProgramType, SchedClassifier};
use aya::sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported};

/// Something the kernel has had since a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// What it is.
    pub name: &'static str,
    /// The first kernel with it.
    pub since: &'static str,
    /// The kernel's build option, where it has one.
    pub option: Option<&'static str>,
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (Linux {}", self.name, self.since)?;
        if let Some(option) = self.option {
            write!(f, " with {option}")?;
        }
        write!(f, ")")
    }
}

/// The kernel lacks features that kproxy can not do without.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this kernel ({release}) lacks: {}; boot a newer kernel, or one built with what is named",
    list(missing)
)]
pub struct MissingFeatures {
    /// The running kernel.
    pub release: String,
    /// What it lacks.
    pub missing: Vec<Feature>,
}

/// Asks the kernel for everything kproxy needs. Changes nothing.
///
/// # Errors
///
/// [`MissingFeatures`] with all that is missing.
pub fn check() -> Result<(), MissingFeatures> {
    let missing: Vec<_> = PROBES
        .iter()
        .filter(|(_, probe)| !present(probe))
        .map(|(feature, _)| *feature)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")
        .unwrap_or_default()
        .trim()
        .to_owned();
    Err(MissingFeatures { release, missing })
}

/// Whether route lookups of programs name the source address that the kernel would use (`BPF_FIB_LOOKUP_SRC`, Linux 6.7).
/// The kernel's own types have the flag's name then; where they can not be read, it is as if there were none, and the
/// devices' primary addresses count.
#[must_use]
pub fn route_source() -> bool {
    let types = File::open("/sys/kernel/btf/vmlinux");
    types.is_ok_and(|types| names(BufReader::new(types), b"BPF_FIB_LOOKUP_SRC\0"))
}

/// Whether a name, with the zero that ends it, is among the strings of BTF (Documentation/bpf/btf.rst, 2.1).
fn names(mut types: impl BufRead, name: &[u8]) -> bool {
    let mut string = Vec::new();
    loop {
        string.clear();
        match types.read_until(0, &mut string) {
            Ok(1..) if string == name => return true,
            Ok(1..) => {}
            Ok(0) | Err(_) => return false,
        }
    }
}

fn list(missing: &[Feature]) -> String {
    missing
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// How to ask.
enum Probe {
    Map(MapType),
    Program(ProgramType),
    Helper(ProgramType, BpfHelper),
    Tcx,
}

const SOCKET_DOOR: ProgramType = ProgramType::CgroupSockAddr;

const PROBES: &[(Feature, Probe)] = &[
    (
        feature("LRU hash maps", "4.10", Some("CONFIG_BPF_SYSCALL")),
        Probe::Map(MapType::LruHash),
    ),
    (
        feature(
            "programs on connect and sendmsg",
            "4.18",
            Some("CONFIG_CGROUP_BPF"),
        ),
        Probe::Program(SOCKET_DOOR),
    ),
    (
        feature("socket storage", "5.2", Some("CONFIG_NET")),
        Probe::Map(MapType::SkStorage),
    ),
    (
        feature("socket storage in connect programs", "5.3", None),
        Probe::Helper(SOCKET_DOOR, BpfHelper::BPF_FUNC_sk_storage_get),
    ),
    (feature("ring buffers", "5.8", None), Probe::Map(MapType::RingBuf)),
    (
        feature("error codes from connect programs (bpf_set_retval)", "5.18", None),
        Probe::Helper(SOCKET_DOOR, BpfHelper::BPF_FUNC_set_retval),
    ),
    (feature("TCX links", "6.6", Some("CONFIG_NET_XGRESS")), Probe::Tcx),
];

const fn feature(name: &'static str, since: &'static str, option: Option<&'static str>) -> Feature {
    Feature { name, since, option }
}

/// A probe that fails for another reason says nothing: loading will tell.
fn present(probe: &Probe) -> bool {
    match *probe {
        Probe::Map(kind) => is_map_supported(kind).unwrap_or(true),
        Probe::Program(kind) => is_program_supported(kind).unwrap_or(true),
        Probe::Helper(kind, helper) => is_helper_supported(kind, helper).unwrap_or(true),
        // Every network namespace has this device.
        Probe::Tcx => match SchedClassifier::query_tcx("lo", TcAttachType::Ingress) {
            Err(ProgramError::SyscallError(error)) => error.io_error.raw_os_error() != Some(libc::EINVAL),
            Ok(_) | Err(_) => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_the_kernel_that_has_it() {
        let missing = MissingFeatures {
            release: "6.1.0".into(),
            missing: vec![
                feature("TCX links", "6.6", Some("CONFIG_NET_XGRESS")),
                feature("ring buffers", "5.8", None),
            ],
        };
        assert_eq!(
            missing.to_string(),
            "this kernel (6.1.0) lacks: TCX links (Linux 6.6 with CONFIG_NET_XGRESS), ring buffers (Linux 5.8); \
             boot a newer kernel, or one built with what is named"
        );
    }

    #[test]
    fn a_name_is_found_whole() {
        let names = |text: &str| names(text.as_bytes(), b"flag\0");
        assert!(names("\u{1}\0\0int\0flag\0more\0"));
        for text in ["", "flag", "a_flag\0", "flags\0", "Flag\0"] {
            assert!(!names(text), "{text:?}");
        }
    }

    /// Needs root. The machines that run the tests have everything.
    #[test]
    fn this_kernel_has_it_all() {
        assert_eq!(check(), Ok(()));
    }
}
