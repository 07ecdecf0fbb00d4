//! What the kernel can do, found by asking it and not by its version: distributions add and remove features.

use std::fmt;
use std::fs;

use aya::maps::MapType;
use aya::programs::tc::TcAttachType;
use aya::programs::{ProgramError, ProgramType, SchedClassifier};
use aya::sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported};

use crate::dataplane::DeviceHooks;

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
];

/// How programs get onto devices here: by TCX where the kernel has it.
#[must_use]
pub fn device_hooks() -> DeviceHooks {
    if present(&Probe::Tcx) {
        DeviceHooks::Tcx
    } else {
        DeviceHooks::Clsact
    }
}

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

    /// Needs root. The machines that run the tests have everything.
    #[test]
    fn this_kernel_has_it_all() {
        assert_eq!(check(), Ok(()));
        assert_eq!(device_hooks(), DeviceHooks::Tcx);
    }
}
