//! Which parts of a Service count, by configuration.

use std::collections::BTreeSet;

use kproxy_common::{Address, Family};

use crate::model::{External, LoadBalancing, Service};

/// What the configuration says about every Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether `spec.externalIPs` are served: the feature gate `AllowServiceExternalIPs` (semantics 1.23).
    pub allow_external_ips: bool,
    /// The families that this node has (semantics 1.20).
    pub families: BTreeSet<Family>,
    /// How clients outside are balanced, where a Service does not say.
    pub load_balancing: LoadBalancing,
}

impl Default for Rules {
    /// Everything counts.
    fn default() -> Self {
        Self {
            allow_external_ips: true,
            families: [Family::V4, Family::V6].into(),
            load_balancing: LoadBalancing::default(),
        }
    }
}

impl Rules {
    /// What is left of a service.
    pub(super) fn admit(&self, mut service: Service) -> Service {
        let keep = |addresses: &mut Box<[Address]>| {
            if !addresses.iter().all(|it| self.families.contains(&it.family())) {
                let kept = addresses.iter().filter(|it| self.families.contains(&it.family()));
                *addresses = kept.copied().collect();
            }
        };
        keep(&mut service.cluster_ips);
        if let Some(external) = &mut service.external {
            let External {
                external_ips,
                load_balancer_ips,
                source_ranges: _,
                health_check_port: _,
            } = &mut **external;
            keep(load_balancer_ips);
            keep(external_ips);
            if !self.allow_external_ips {
                *external_ips = Box::default();
            }
        }
        service
    }
}
