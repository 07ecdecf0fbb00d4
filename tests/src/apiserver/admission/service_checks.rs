//! Checks of a service that need nothing but the service (`ValidateService`).

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::status::Cause;
use super::metadata;
use super::service::{has_node_ports, is_headless, type_of};
use super::slice::special_problem;

const PORT_RANGE: &str = "must be between 1 and 65535, inclusive";
const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: &[&str] = &["Cluster", "Local"];

/// What is wrong with a service whose defaults are set.
pub(super) fn check(name: &str, spec: &ServiceSpec) -> Vec<Cause> {
    let mut causes = Vec::new();
    if !name.is_empty() && !metadata::is_service_name(name) {
        causes.push(Cause::invalid("metadata.name", &name, "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character"));
    }
    one_of(&mut causes, "spec.type", spec.type_.as_deref(), TYPES);
    one_of(
        &mut causes,
        "spec.sessionAffinity",
        spec.session_affinity.as_deref(),
        &["ClientIP", "None"],
    );
    one_of(
        &mut causes,
        "spec.internalTrafficPolicy",
        spec.internal_traffic_policy.as_deref(),
        POLICIES,
    );
    one_of(
        &mut causes,
        "spec.externalTrafficPolicy",
        spec.external_traffic_policy.as_deref(),
        POLICIES,
    );
    let families = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    one_of(
        &mut causes,
        "spec.ipFamilyPolicy",
        spec.ip_family_policy.as_deref(),
        &families,
    );
    let distributions = ["PreferClose", "PreferSameNode", "PreferSameZone"];
    one_of(
        &mut causes,
        "spec.trafficDistribution",
        spec.traffic_distribution.as_deref(),
        &distributions,
    );
    for (index, family) in spec.ip_families.iter().flatten().enumerate() {
        one_of(
            &mut causes,
            &format!("spec.ipFamilies[{index}]"),
            Some(family),
            &["IPv4", "IPv6"],
        );
    }
    check_type(spec, &mut causes);
    check_affinity(spec, &mut causes);
    check_addresses(spec, &mut causes);
    check_ports(spec, &mut causes);
    causes
}

fn one_of(causes: &mut Vec<Cause>, field: &str, value: Option<&str>, supported: &[&str]) {
    if let Some(value) = value
        && !supported.contains(&value)
    {
        causes.push(Cause::unsupported(field, value, supported));
    }
}

fn check_type(spec: &ServiceSpec, causes: &mut Vec<Cause>) {
    let external_name = spec.external_name.as_deref().unwrap_or_default();
    if type_of(spec) == "ExternalName" && !metadata::is_subdomain(external_name.trim_end_matches('.')) {
        causes.push(match external_name {
            "" => Cause::required("spec.externalName", ""),
            name => Cause::invalid(
                "spec.externalName",
                &name,
                "must be a lowercase RFC 1123 subdomain",
            ),
        });
    }
    if is_headless(spec) && has_node_ports(spec) {
        let detail = format!("may not be set to 'None' for {} services", type_of(spec));
        causes.push(Cause::invalid("spec.clusterIPs[0]", &"None", detail));
    }
    let external_addresses = spec
        .external_ips
        .as_ref()
        .is_some_and(|addresses| !addresses.is_empty());
    if let Some(policy) = &spec.external_traffic_policy
        && !has_node_ports(spec)
        && !external_addresses
    {
        let detail = "may only be set for externally-accessible services";
        causes.push(Cause::invalid("spec.externalTrafficPolicy", policy, detail));
    }
}

fn check_affinity(spec: &ServiceSpec, causes: &mut Vec<Cause>) {
    let config = spec.session_affinity_config.as_ref();
    if config.is_some() && spec.session_affinity.as_deref() == Some("None") {
        let detail = "must not be set when session affinity is None";
        causes.push(Cause::forbidden("spec.sessionAffinityConfig", detail));
    }
    let timeout = config.and_then(|config| config.client_ip.as_ref()?.timeout_seconds);
    if let Some(timeout) = timeout.filter(|timeout| !(1..=86_400).contains(timeout)) {
        let field = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
        causes.push(Cause::invalid(
            field,
            &timeout,
            "must be greater than 0 and less than or equal to 86400",
        ));
    }
}

fn check_addresses(spec: &ServiceSpec, causes: &mut Vec<Cause>) {
    for (index, address) in spec.external_ips.iter().flatten().enumerate() {
        let problem = match address.parse::<IpAddr>() {
            Ok(address) => special_problem(address),
            Err(_) => Some("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"),
        };
        causes.extend(
            problem.map(|problem| Cause::invalid(format!("spec.externalIPs[{index}]"), address, problem)),
        );
    }
    let count = spec.cluster_ips.as_ref().map_or(0, Vec::len);
    if count > 2 {
        causes.push(Cause::invalid(
            "spec.clusterIPs",
            &spec.cluster_ips,
            "may only hold up to 2 values",
        ));
    }
}

fn check_ports(spec: &ServiceSpec, causes: &mut Vec<Cause>) {
    let ports = spec.ports.as_deref().unwrap_or_default();
    if ports.is_empty() && !is_headless(spec) && type_of(spec) != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    let (mut names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.iter().enumerate() {
        let path = format!("spec.ports[{index}]");
        check_port(spec, port, &path, ports.len() > 1, causes);
        if port
            .name
            .as_ref()
            .is_some_and(|name| !name.is_empty() && !names.insert(name))
        {
            causes.push(Cause::duplicate(format!("{path}.name"), &port.name));
        }
        if !numbers.insert((port.port, &port.protocol)) {
            causes.push(Cause::duplicate(
                path,
                &serde_json::json!({"port": port.port, "protocol": port.protocol}),
            ));
        }
    }
}

fn check_port(spec: &ServiceSpec, port: &ServicePort, path: &str, named: bool, causes: &mut Vec<Cause>) {
    let name = port.name.as_deref().unwrap_or_default();
    if name.is_empty() && named {
        causes.push(Cause::required(format!("{path}.name"), ""));
    } else if !name.is_empty() && !metadata::is_dns_label(name) {
        causes.push(Cause::invalid(
            format!("{path}.name"),
            &name,
            "must be a valid DNS label",
        ));
    }
    if !(1..=65535).contains(&port.port) {
        causes.push(Cause::invalid(format!("{path}.port"), &port.port, PORT_RANGE));
    }
    one_of(
        causes,
        &format!("{path}.protocol"),
        port.protocol.as_deref(),
        &["SCTP", "TCP", "UDP"],
    );
    let target = format!("{path}.targetPort");
    match &port.target_port {
        Some(IntOrString::Int(number)) if !(1..=65535).contains(number) => {
            causes.push(Cause::invalid(target, number, PORT_RANGE));
        }
        Some(IntOrString::String(name)) if !metadata::is_port_name(name) => {
            causes.push(Cause::invalid(target, name, "must be an IANA service name: at most 15 lower case letters, digits and dashes, at least one letter"));
        }
        Some(IntOrString::Int(_) | IntOrString::String(_)) | None => {}
    }
    if let Some(number) = port.node_port
        && !has_node_ports(spec)
    {
        let detail = format!(
            "may not be used when `type` is '{}' (it is {number})",
            type_of(spec)
        );
        causes.push(Cause::forbidden(format!("{path}.nodePort"), &detail));
    }
}
