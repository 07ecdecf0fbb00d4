//! The words and numbers of a Service that say how its traffic is treated.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;
use kproxy_common::Port;

use super::{LoadBalancing, TrafficPolicy};
use crate::model::{Reason, parse_port};

/// The annotation that says how clients outside are balanced.
const LOAD_BALANCING: &str = "kproxy.io/load-balancing";
/// The API server's default for `sessionAffinityConfig.clientIP.timeoutSeconds` (semantics 6.03).
const AFFINITY_SECONDS: u32 = 10_800;
/// The longest affinity timeout that the API server accepts.
const AFFINITY_SECONDS_MAX: u32 = 86_400;

/// What `spec.type` says, of those types that are served. It says nothing about which frontends there are (semantics
/// 1.08).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    ClusterIp,
    NodePort,
    LoadBalancer,
}

pub(super) fn sort(spec: &v1::ServiceSpec, report: &mut impl FnMut(String, Reason)) -> Sort {
    match spec.type_.as_deref() {
        None | Some("" | "ClusterIP") => Sort::ClusterIp,
        Some("NodePort") => Sort::NodePort,
        Some("LoadBalancer") => Sort::LoadBalancer,
        Some(other) => {
            report("spec.type".into(), Reason::ServiceType(other.to_owned()));
            Sort::ClusterIp
        }
    }
}

/// Anything but exactly `Local` means all endpoints (semantics 1.10).
pub(super) fn internal(spec: &v1::ServiceSpec, report: &mut impl FnMut(String, Reason)) -> TrafficPolicy {
    let field = "spec.internalTrafficPolicy";
    policy(spec.internal_traffic_policy.as_deref(), field, report)
}

/// A Service that only its status makes reachable from outside has no policy of its own (semantics 1.09).
pub(super) fn external(
    spec: &v1::ServiceSpec,
    sort: Sort,
    report: &mut impl FnMut(String, Reason),
) -> TrafficPolicy {
    let field = "spec.externalTrafficPolicy";
    let policy = policy(spec.external_traffic_policy.as_deref(), field, report);
    let has_external_ips = spec.external_ips.as_ref().is_some_and(|list| !list.is_empty());
    match sort {
        Sort::NodePort | Sort::LoadBalancer => policy,
        Sort::ClusterIp if has_external_ips => policy,
        Sort::ClusterIp => TrafficPolicy::Cluster,
    }
}

fn policy(text: Option<&str>, field: &'static str, report: &mut impl FnMut(String, Reason)) -> TrafficPolicy {
    match text {
        Some("Local") => TrafficPolicy::Local,
        None | Some("" | "Cluster") => TrafficPolicy::Cluster,
        Some(other) => {
            report(field.into(), Reason::Policy(other.to_owned()));
            TrafficPolicy::Cluster
        }
    }
}

/// Only load balancers ask, and only a Local policy makes the answer differ from node to node (semantics 1.24).
pub(super) fn health_check_port(
    spec: &v1::ServiceSpec,
    sort: Sort,
    policy: TrafficPolicy,
    report: &mut impl FnMut(String, Reason),
) -> Option<Port> {
    if (sort, policy) != (Sort::LoadBalancer, TrafficPolicy::Local) {
        return None;
    }
    let number = spec.health_check_node_port.unwrap_or_default();
    let port = match number {
        0 => Err(Reason::NoHealthCheckPort),
        number => parse_port(number, "the health check"),
    };
    port.map_err(|reason| report("spec.healthCheckNodePort".into(), reason))
        .ok()
}

pub(super) fn affinity_seconds(spec: &v1::ServiceSpec, report: &mut impl FnMut(String, Reason)) -> u32 {
    match spec.session_affinity.as_deref() {
        Some("ClientIP") => {}
        None | Some("" | "None") => return 0,
        Some(other) => {
            report("spec.sessionAffinity".into(), Reason::Affinity(other.to_owned()));
            return 0;
        }
    }
    let config = spec
        .session_affinity_config
        .as_ref()
        .and_then(|config| config.client_ip.as_ref());
    let Some(seconds) = config.and_then(|client_ip| client_ip.timeout_seconds) else {
        return AFFINITY_SECONDS;
    };
    if let Ok(seconds @ 1..=AFFINITY_SECONDS_MAX) = u32::try_from(seconds) {
        return seconds;
    }
    let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
    report(field.into(), Reason::AffinityTimeout(seconds.into()));
    AFFINITY_SECONDS
}

pub(super) fn load_balancing(
    annotations: Option<&BTreeMap<String, String>>,
    report: &mut impl FnMut(String, Reason),
) -> Option<LoadBalancing> {
    match annotations?.get(LOAD_BALANCING)?.as_str() {
        "random" => Some(LoadBalancing::Random),
        "maglev" => Some(LoadBalancing::Maglev),
        other => {
            let field = format!("metadata.annotations[{LOAD_BALANCING}]");
            report(field, Reason::LoadBalancing(other.to_owned()));
            None
        }
    }
}
