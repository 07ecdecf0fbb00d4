//! What the kernel can do, found by asking it and not by its version: distributions add and remove features.
//!
//! * `list`: every feature that kproxy needs or likes
//! * `probe`: how the kernel is asked, which changes nothing

mod list;
mod probe;

use std::fmt;
use std::fs;

use crate::dataplane::DeviceHooks;

pub use list::FEATURES;
pub use probe::Presence;
use probe::{Probe, ROUTE_SOURCE};

/// Something the kernel has had since a version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feature {
    /// What it is.
    pub name: &'static str,
    /// The first kernel with it; none for what is a matter of settings.
    pub since: Option<&'static str>,
    /// The kernel's build option, where it has one.
    pub option: Option<&'static str>,
    /// Whether kproxy runs without it.
    pub need: Need,
    /// What is lost without it, or done instead.
    pub without: &'static str,
    probe: Probe,
}

/// Whether kproxy runs without a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It does not.
    Required,
    /// It does if the feature of this name is there.
    RequiredWithout(&'static str),
    /// It does.
    Liked,
}

impl Feature {
    /// Asks the kernel. It needs what `kproxy run` needs.
    #[must_use]
    pub fn presence(&self) -> Presence {
        self.probe.ask()
    }

    /// The kernels that have it.
    #[must_use]
    pub fn kernels(&self) -> String {
        match (self.since, self.option) {
            (Some(since), Some(option)) => format!("Linux {since} with {option}"),
            (Some(since), None) => format!("Linux {since}"),
            (None, Some(option)) => option.to_owned(),
            (None, None) => String::new(),
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.kernels())
    }
}

/// The kernel lacks features that kproxy can not do without.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
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
    complete(&FEATURES, |feature| {
        if feature.probe == Probe::Cgroup {
            // The start looks for it right behind this, and says what to do.
            Presence::Unknown("the start looks for it".to_owned())
        } else {
            feature.presence()
        }
    })
}

/// The same, with the answers that were given already.
///
/// # Errors
///
/// [`MissingFeatures`] with all that is missing.
pub fn complete(
    features: &[Feature],
    presence: impl Fn(&Feature) -> Presence,
) -> Result<(), MissingFeatures> {
    // What could not be asked says nothing: loading will tell.
    let lacks = |feature: &Feature| presence(feature) == Presence::Missing;
    let missing: Vec<_> = features
        .iter()
        .filter(|feature| match feature.need {
            Need::Required => lacks(feature),
            Need::RequiredWithout(other) => {
                let mut others = features.iter().filter(|it| it.name == other);
                others.all(lacks) && lacks(feature)
            }
            Need::Liked => false,
        })
        .copied()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let release = release();
    Err(MissingFeatures { release, missing })
}

/// The version of the running kernel.
#[must_use]
pub fn release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

/// How programs get onto devices here: by TCX where the kernel has it.
#[must_use]
pub fn device_hooks() -> DeviceHooks {
    if Probe::DeviceHooks(DeviceHooks::Tcx).ask() == Presence::Missing {
        DeviceHooks::Clsact
    } else {
        DeviceHooks::Tcx
    }
}

/// Whether route lookups of programs name the source address that the kernel would use (Linux 6.7). Where the kernel does
/// not say, it is as if they did not, and the devices' primary addresses count.
#[must_use]
pub fn route_source() -> bool {
    ROUTE_SOURCE.ask() == Presence::Present
}

fn list(missing: &[Feature]) -> String {
    missing
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_of(lacking: &[&str]) -> Vec<&'static str> {
        let presence = |feature: &Feature| {
            if lacking.contains(&feature.name) {
                Presence::Missing
            } else {
                Presence::Present
            }
        };
        match complete(&FEATURES, presence) {
            Ok(()) => Vec::new(),
            Err(error) => error.missing.iter().map(|feature| feature.name).collect(),
        }
    }

    #[test]
    fn what_is_missing_is_named_with_the_kernel_that_has_it() {
        let of = |names: [&str; 2]| {
            let features = FEATURES.iter().copied();
            features.filter(|it| names.contains(&it.name)).collect()
        };
        let missing = MissingFeatures {
            release: "5.4.0".into(),
            missing: of(["ring buffers", "clsact filters"]),
        };
        assert_eq!(
            missing.to_string(),
            "this kernel (5.4.0) lacks: ring buffers (Linux 5.8), clsact filters (Linux 4.5 with CONFIG_NET_CLS_BPF); \
             boot a newer kernel, or one built with what is named"
        );
    }

    #[test]
    fn only_what_is_needed_is_missed() {
        let rows: [(&[&str], &[&str]); 5] = [
            (&[], &[]),
            (&["TCX links", "BPF iterators over socket storage"], &[]),
            (&["clsact filters"], &[]),
            (&["TCX links", "clsact filters"], &["clsact filters"]),
            (&["ring buffers", "TCX links", "IPv6"], &["ring buffers"]),
        ];
        for (lacking, missed) in rows {
            assert_eq!(missing_of(lacking), missed, "{lacking:?}");
        }
    }

    #[test]
    fn every_name_is_used_once_and_found() {
        for feature in &FEATURES {
            let same = FEATURES.iter().filter(|it| it.name == feature.name);
            assert_eq!(same.count(), 1, "{}", feature.name);
            if let Need::RequiredWithout(other) = feature.need {
                assert!(FEATURES.iter().any(|it| it.name == other), "{other}");
            }
        }
    }

    /// Needs root. The machines that run the tests have everything but what is a matter of settings.
    #[test]
    fn this_kernel_has_it_all() {
        for feature in FEATURES.iter().filter(|feature| feature.since.is_some()) {
            assert_eq!(feature.presence(), Presence::Present, "{feature}");
        }
        assert_eq!(check(), Ok(()));
        assert_eq!(device_hooks(), DeviceHooks::Tcx);
    }
}
