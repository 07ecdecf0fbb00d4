//! `Service`: what it inherits from the object it replaces, defaults, and the order of the further steps.

use k8s_openapi::api::core::v1::{ClientIPConfig, Service, ServiceSpec, SessionAffinityConfig};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::object::Key;
use super::super::status::Cause;
use super::super::store::Contents;
use super::{Strategy, service_addresses, service_checks, service_ports};

impl Strategy for Service {
    fn prepare(&mut self, old: Option<&Self>, contents: &Contents) -> Vec<Cause> {
        let key = Key {
            resource: "services",
            namespace: self.metadata.namespace.clone().unwrap_or_default(),
            name: self.metadata.name.clone().unwrap_or_default(),
        };
        let old = old.and_then(|old| old.spec.as_ref());
        self.status
            .get_or_insert_default()
            .load_balancer
            .get_or_insert_default();
        let spec = self.spec.get_or_insert_default();
        complete(spec);
        if let Some(old) = old {
            drop_what_the_type_has_not(spec, old);
            inherit(spec, old);
        }

        let mut causes = service_checks::check(&key.name, spec);
        if causes.is_empty() {
            causes = service_addresses::prepare(spec, old, &key, contents);
        }
        if causes.is_empty() {
            causes = service_ports::allocate(spec, &key, contents);
        }
        causes
    }
}

/// The service's type; defaults are set.
pub(super) fn type_of(spec: &ServiceSpec) -> &str {
    spec.type_.as_deref().unwrap_or("ClusterIP")
}

/// Whether the service has no cluster address by choice.
pub(super) fn is_headless(spec: &ServiceSpec) -> bool {
    spec.cluster_ip.as_deref() == Some("None")
}

/// Whether the type gives the service ports on every node.
pub(super) fn has_node_ports(spec: &ServiceSpec) -> bool {
    matches!(type_of(spec), "NodePort" | "LoadBalancer")
}

fn complete(spec: &mut ServiceSpec) {
    spec.type_.get_or_insert_with(|| "ClusterIP".to_owned());
    let affinity = spec.session_affinity.get_or_insert_with(|| "None".to_owned());
    if affinity == "ClientIP" {
        let config = spec.session_affinity_config.get_or_insert_default();
        let ClientIPConfig { timeout_seconds } = config.client_ip.get_or_insert_default();
        timeout_seconds.get_or_insert(10_800);
    } else if spec.session_affinity_config == Some(SessionAffinityConfig::default()) {
        spec.session_affinity_config = None;
    }
    for port in spec.ports.iter_mut().flatten() {
        port.protocol.get_or_insert_with(|| "TCP".to_owned());
        let unset = [
            None,
            Some(IntOrString::Int(0)),
            Some(IntOrString::String(String::new())),
        ];
        if unset.contains(&port.target_port) {
            port.target_port = Some(IntOrString::Int(port.port));
        }
        if port.node_port == Some(0) {
            port.node_port = None;
        }
    }
    // Empty means unset in the real server's types.
    spec.cluster_ip.take_if(|address| address.is_empty());
    spec.cluster_ips.take_if(|addresses| addresses.is_empty());
    spec.ip_families.take_if(|families| families.is_empty());

    let external = spec
        .external_ips
        .as_ref()
        .is_some_and(|addresses| !addresses.is_empty());
    if has_node_ports(spec) || (type_of(spec) == "ClusterIP" && external) {
        spec.external_traffic_policy
            .get_or_insert_with(|| "Cluster".to_owned());
    }
    if type_of(spec) != "ExternalName" {
        spec.internal_traffic_policy
            .get_or_insert_with(|| "Cluster".to_owned());
    }
    if type_of(spec) == "LoadBalancer" {
        spec.allocate_load_balancer_node_ports.get_or_insert(true);
    }
}

/// A client that changes only the type sends the old type's fields back; they go, unless it changed them too
/// (`dropTypeDependentFields`).
fn drop_what_the_type_has_not(spec: &mut ServiceSpec, old: &ServiceSpec) {
    if type_of(old) != "ExternalName" && type_of(spec) == "ExternalName" {
        if spec.cluster_ips == old.cluster_ips {
            (spec.cluster_ip, spec.cluster_ips) = (None, None);
        }
        if spec.ip_families == old.ip_families && spec.ip_family_policy == old.ip_family_policy {
            (spec.ip_families, spec.ip_family_policy) = (None, None);
        }
        spec.internal_traffic_policy = None;
    }
    if has_node_ports(old) && !has_node_ports(spec) {
        let kept = |number| old.ports.iter().flatten().any(|old| old.node_port == number);
        for port in spec
            .ports
            .iter_mut()
            .flatten()
            .filter(|port| kept(port.node_port))
        {
            port.node_port = None;
        }
        if spec.external_traffic_policy == old.external_traffic_policy {
            spec.external_traffic_policy = None;
        }
    }
    if type_of(old) == "LoadBalancer" && type_of(spec) != "LoadBalancer" {
        spec.allocate_load_balancer_node_ports = None;
        spec.load_balancer_class = None;
    }
    let keeps_health_check =
        type_of(spec) == "LoadBalancer" && spec.external_traffic_policy.as_deref() == Some("Local");
    if !keeps_health_check && spec.health_check_node_port == old.health_check_node_port {
        spec.health_check_node_port = None;
    }
}

/// A client that leaves out what the server allocated means to keep it (`patchAllocatedValues`).
fn inherit(spec: &mut ServiceSpec, old: &ServiceSpec) {
    let has_address = |spec: &ServiceSpec| type_of(spec) != "ExternalName";
    if has_address(old) && has_address(spec) {
        if spec.cluster_ip.is_none() && spec.cluster_ips.is_none() {
            spec.cluster_ip.clone_from(&old.cluster_ip);
            spec.cluster_ips.clone_from(&old.cluster_ips);
        }
        if spec.ip_families.is_none() && spec.ip_family_policy.is_none() {
            spec.ip_families.clone_from(&old.ip_families);
            spec.ip_family_policy.clone_from(&old.ip_family_policy);
        }
    }
    if has_node_ports(old) && has_node_ports(spec) {
        for port in spec
            .ports
            .iter_mut()
            .flatten()
            .filter(|port| port.node_port.is_none())
        {
            let same = old
                .ports
                .iter()
                .flatten()
                .find(|old| old.port == port.port && old.protocol == port.protocol);
            port.node_port = same.and_then(|same| same.node_port);
        }
    }
    if spec.health_check_node_port.is_none() && service_ports::needs_health_check(spec) {
        spec.health_check_node_port = old.health_check_node_port;
    }
}
