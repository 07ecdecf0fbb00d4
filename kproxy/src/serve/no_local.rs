//! Which service ports have endpoints, but none where their traffic policy wants them (semantics 9.21).

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{Family, FrontendFlags};

use crate::plan::{BackendSet, ServicePortName, WantedFrontend, WantedService};

/// Which of a Service's two policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Policy {
    /// `internalTrafficPolicy`
    Internal,
    /// `externalTrafficPolicy`
    External,
}

impl Policy {
    pub(super) const ALL: [Self; 2] = [Self::Internal, Self::External];

    /// The metric's label.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::External => "external",
        }
    }
}

/// The service ports concerned, and how many they are. The cost of a change follows what it changes.
#[derive(Debug, Default)]
pub(super) struct NoLocal {
    names: BTreeSet<(Policy, ServicePortName)>,
    counts: BTreeMap<(Policy, Family), usize>,
}

impl NoLocal {
    pub(super) fn change(&mut self, changes: &BTreeMap<ServicePortName, Option<WantedService>>) {
        for (name, wanted) in changes {
            for policy in Policy::ALL {
                let lacks = wanted.as_ref().is_some_and(|wanted| lacks(wanted, policy));
                // Nearly always there is none, and nothing to be done.
                if !lacks && self.names.is_empty() {
                    continue;
                }
                let entry = (policy, name.clone());
                let count = self.counts.entry((policy, name.family)).or_default();
                if lacks {
                    *count += usize::from(self.names.insert(entry));
                } else {
                    *count -= usize::from(self.names.remove(&entry));
                }
            }
        }
    }

    pub(super) fn count(&self, policy: Policy, family: Family) -> usize {
        self.counts.get(&(policy, family)).copied().unwrap_or_default()
    }
}

/// An empty local set drops exactly when there are endpoints elsewhere, so the flags say it all.
fn lacks(wanted: &WantedService, policy: Policy) -> bool {
    let drops = |frontend: &WantedFrontend| {
        let cluster_ip = frontend.flags.contains(FrontendFlags::CLUSTER_IP);
        match policy {
            Policy::Internal => {
                cluster_ip
                    && frontend.inside == BackendSet::Local
                    && frontend.flags.contains(FrontendFlags::DROP_INSIDE)
            }
            Policy::External => {
                !cluster_ip
                    && frontend.outside == BackendSet::Local
                    && frontend.flags.contains(FrontendFlags::DROP_OUTSIDE)
            }
        }
    };
    wanted.frontends.values().any(drops)
}

#[cfg(test)]
mod tests {
    use kproxy_common::{Address, FrontendKey, Port, Protocol};

    use super::*;

    fn name(name: &str, family: Family) -> ServicePortName {
        ServicePortName {
            namespace: "default".into(),
            name: name.into(),
            port: "".into(),
            protocol: Protocol::TCP,
            family,
        }
    }

    fn service(frontends: &[(FrontendFlags, BackendSet, BackendSet)]) -> WantedService {
        let frontends = (1..).zip(frontends).map(|(port, (flags, inside, outside))| {
            let key = FrontendKey::new(Address::unspecified(Family::V4), Port::new(port), Protocol::TCP);
            let frontend = WantedFrontend {
                flags: *flags,
                affinity_seconds: 0,
                inside: *inside,
                outside: *outside,
                restricted: false,
            };
            (key, frontend)
        });
        WantedService {
            frontends: frontends.collect(),
            ..WantedService::default()
        }
    }

    #[test]
    fn ports_without_local_endpoints_are_counted_by_policy() {
        use BackendSet::{Cluster, Local};
        let ip = FrontendFlags::CLUSTER_IP;
        let both = FrontendFlags::DROP_INSIDE | FrontendFlags::DROP_OUTSIDE;
        let outside = FrontendFlags::DROP_OUTSIDE;
        let none = FrontendFlags::empty();
        let rows = [
            ("internal", vec![(ip | both, Local, Local)], (1, 0)),
            ("9.21 no endpoints at all", vec![(ip, Local, Local)], (0, 0)),
            ("cluster", vec![(ip, Cluster, Cluster)], (0, 0)),
            (
                "external, two frontends of one port",
                vec![
                    (ip, Cluster, Cluster),
                    (outside, Cluster, Local),
                    (outside, Cluster, Local),
                ],
                (0, 1),
            ),
            (
                "9.21 external, no endpoints at all",
                vec![(none, Cluster, Local)],
                (0, 0),
            ),
            (
                "both",
                vec![(ip | both, Local, Local), (outside, Cluster, Local)],
                (1, 1),
            ),
        ];
        for (row, frontends, expected) in rows {
            let mut counted = NoLocal::default();
            let count = |counted: &NoLocal| {
                (
                    counted.count(Policy::Internal, Family::V4),
                    counted.count(Policy::External, Family::V4),
                )
            };
            let web = || name("web", Family::V4);
            for _ in 0..2 {
                counted.change(&[(web(), Some(service(&frontends)))].into());
            }
            assert_eq!(count(&counted), expected, "{row}");
            assert_eq!(counted.count(Policy::Internal, Family::V6), 0, "{row}");
            counted.change(&[(name("other", Family::V4), None)].into());
            assert_eq!(count(&counted), expected, "{row}");
            counted.change(&[(web(), None)].into());
            assert_eq!(count(&counted), (0, 0), "{row}: gone");
        }
    }
}
