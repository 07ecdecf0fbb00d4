//! How the kernel is asked for a feature. Nothing is changed by it.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported};
use kproxy_common::Family;

use crate::causes::one_line;
use crate::dataplane::{self, DeviceHooks};
use crate::node::{families, mounts};
use crate::sockets::diag::Diag;

/// The kernel's own types, as bytes (Documentation/bpf/btf.rst).
const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// Route lookups of programs name the source address that the kernel would use.
pub(super) const ROUTE_SOURCE: Probe = Probe::Type("BPF_FIB_LOOKUP_SRC");

/// Whether a feature is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    Present,
    /// It is not.
    Missing,
    /// The kernel did not say, for this reason.
    Unknown(String),
}

/// How to ask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Probe {
    Map(MapType),
    Program(ProgramType),
    Helper(ProgramType, BpfHelper),
    DeviceHooks(DeviceHooks),
    /// A mounted cgroup v2.
    Cgroup,
    NamespaceCookie,
    /// The file with the kernel's types.
    Types,
    /// A name in it.
    Type(&'static str),
    UdpSockets,
    SocketEnd,
    IpV6,
    Forwarding,
}

impl Probe {
    pub(super) fn ask(self) -> Presence {
        match self {
            Self::Map(kind) => presence(is_map_supported(kind)),
            Self::Program(kind) => presence(is_program_supported(kind)),
            Self::Helper(kind, helper) => presence(is_helper_supported(kind, helper)),
            Self::DeviceHooks(way) => presence(way.is_supported()),
            Self::Cgroup => found(mounts::has_cgroups()),
            Self::NamespaceCookie => presence(unless(dataplane::network_namespace(), libc::ENOPROTOOPT)),
            Self::Types => found(Path::new(TYPES).exists()),
            Self::Type(name) => {
                presence(File::open(TYPES).and_then(|types| names(BufReader::new(types), name)))
            }
            Self::UdpSockets => {
                let listed = Diag::open().and_then(|mut diag| diag.connected_udp(Family::V4));
                presence(unless(listed, libc::ENOENT))
            }
            Self::SocketEnd => presence(Diag::open().and_then(|mut diag| diag.can_destroy())),
            Self::IpV6 => found(families::of_node().contains(&Family::V6)),
            Self::Forwarding => found(forwards()),
        }
    }
}

fn found(is_there: bool) -> Presence {
    if is_there {
        Presence::Present
    } else {
        Presence::Missing
    }
}

fn presence(answer: Result<bool, impl Error + 'static>) -> Presence {
    match answer {
        Ok(is_there) => found(is_there),
        Err(error) => Presence::Unknown(one_line(&error)),
    }
}

/// True if it works, false if it fails with the error of kernels that lack it.
fn unless<T>(answer: io::Result<T>, lack: i32) -> io::Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(lack) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a name is among the strings of the kernel's types, each of which ends with a zero byte. They are megabytes and
/// not kept.
fn names(mut types: impl BufRead, name: &str) -> io::Result<bool> {
    let mut string = Vec::new();
    while types.read_until(0, &mut string)? > 0 {
        if string.strip_suffix(&[0]) == Some(name.as_bytes()) {
            return Ok(true);
        }
        string.clear();
    }
    Ok(false)
}

/// For every family that the kernel has.
fn forwards() -> bool {
    families::of_node().iter().all(|family| {
        let path = match family {
            Family::V4 => "/proc/sys/net/ipv4/ip_forward",
            Family::V6 => "/proc/sys/net/ipv6/conf/all/forwarding",
        };
        fs::read_to_string(path).is_ok_and(|value| value.trim() != "0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_are_found_among_types() {
        let names = |types: &[u8]| names(types, "flag").unwrap();
        assert!(names(b"\x9f\xeb\x01\0\0int\0flag\0more\0"));
        for types in ["", "flag", "a_flag\0", "flags\0", "Flag\0"] {
            assert!(!names(types.as_bytes()), "{types:?}");
        }
    }

    #[test]
    fn only_the_error_of_a_lack_is_one() {
        let failed = |number| io::Result::<()>::Err(io::Error::from_raw_os_error(number));
        assert_eq!(unless(Ok(()), libc::ENOENT).ok(), Some(true));
        assert_eq!(unless(failed(libc::ENOENT), libc::ENOENT).ok(), Some(false));
        assert_eq!(unless(failed(libc::EPERM), libc::ENOENT).ok(), None);
    }
}
