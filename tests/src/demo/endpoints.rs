//! Which EndpointSlices a Service has, as the endpoint slice controller of a real cluster would write them. Pure.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        core::v1::{ObjectReference, Service, ServicePort},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::manifests::PodManifest;
use crate::cluster::Addresses;

/// A pod that runs.
#[derive(Clone, Debug)]
pub struct RunningPod {
    /// What was asked for.
    pub manifest: PodManifest,
    /// What it got.
    pub addresses: Addresses,
}

/// One slice per family of the Service; without a selector it has none.
#[must_use]
pub fn slices(service: &Service, pods: &[RunningPod]) -> Vec<EndpointSlice> {
    let Some(specification) = &service.spec else {
        return Vec::new();
    };
    let Some(selector) = specification
        .selector
        .as_ref()
        .filter(|selector| !selector.is_empty())
    else {
        return Vec::new();
    };
    let chosen = pods
        .iter()
        .filter(|pod| selects(selector, &pod.manifest.labels))
        .collect::<Vec<_>>();
    let families = specification.ip_families.iter().flatten();
    let ports = specification.ports.iter().flatten();
    let ports = ports
        .filter_map(|port| endpoint_port(port, &chosen))
        .collect::<Vec<_>>();
    families
        .map(|family| slice(service, family, &chosen, &ports))
        .collect()
}

fn slice(service: &Service, family: &str, pods: &[&RunningPod], ports: &[EndpointPort]) -> EndpointSlice {
    let name = service.metadata.name.clone().unwrap_or_default();
    let labels = [
        ("kubernetes.io/service-name", name.as_str()),
        (MANAGED_BY, "kproxy-demo"),
    ];
    EndpointSlice {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{}", family.to_ascii_lowercase())),
            namespace: service.metadata.namespace.clone(),
            labels: Some(
                labels
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
            ),
            ..ObjectMeta::default()
        },
        address_type: family.to_owned(),
        endpoints: pods.iter().map(|pod| endpoint(pod, family)).collect(),
        ports: Some(ports.to_vec()),
    }
}

const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";

fn endpoint(pod: &RunningPod, family: &str) -> Endpoint {
    let RunningPod { manifest, addresses } = pod;
    let address = if family == "IPv6" {
        addresses.v6.to_string()
    } else {
        addresses.v4.to_string()
    };
    Endpoint {
        addresses: vec![address],
        conditions: Some(EndpointConditions {
            ready: Some(true),
            serving: Some(true),
            terminating: Some(false),
        }),
        node_name: Some(manifest.node.clone()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            name: Some(manifest.name.clone()),
            namespace: Some("default".to_owned()),
            ..ObjectReference::default()
        }),
        ..Endpoint::default()
    }
}

/// A named target port is the number that the pods give it; without pods nobody knows.
fn endpoint_port(port: &ServicePort, pods: &[&RunningPod]) -> Option<EndpointPort> {
    let number = match &port.target_port {
        None => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => {
            let named = pods
                .iter()
                .flat_map(|pod| &pod.manifest.ports)
                .find(|port| &port.name == name)?;
            named.number.into()
        }
    };
    Some(EndpointPort {
        name: port.name.clone(),
        port: Some(number),
        protocol: port.protocol.clone(),
        app_protocol: None,
    })
}

fn selects(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::demo::manifests::PodPort;

    fn pod(name: &str, color: &str, last: u8) -> RunningPod {
        let labels =
            [("app", "web"), ("color", color)].map(|(key, value)| (key.to_owned(), value.to_owned()));
        RunningPod {
            manifest: PodManifest {
                name: name.to_owned(),
                node: "a".to_owned(),
                labels: labels.into(),
                sandboxed: false,
                ports: vec![PodPort {
                    name: "http".to_owned(),
                    number: 8080,
                    protocol: "TCP".to_owned(),
                }],
            },
            addresses: Addresses {
                v4: [10, 244, 1, last].into(),
                v6: [0xfd44, 0, 0, 1, 0, 0, 0, last.into()].into(),
            },
        }
    }

    fn service(selector: &serde_json::Value) -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "selector": selector,
                "ipFamilies": ["IPv4", "IPv6"],
                "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
            },
        }))
        .unwrap()
    }

    #[test]
    fn slices_hold_the_pods_that_the_selector_chooses() {
        let pods = [pod("blue", "blue", 2), pod("green", "green", 3)];
        for (selector, wanted) in [
            (
                json!({"app": "web", "color": "blue"}),
                vec!["10.244.1.2", "fd44:0:0:1::2"],
            ),
            (
                json!({"app": "web"}),
                vec!["10.244.1.2", "10.244.1.3", "fd44:0:0:1::2", "fd44:0:0:1::3"],
            ),
            (json!({"app": "nobody"}), vec![]),
        ] {
            let slices = slices(&service(&selector), &pods);
            assert_eq!(slices.len(), 2);
            let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter());
            let addresses: Vec<_> = endpoints.flat_map(|endpoint| &endpoint.addresses).collect();
            assert_eq!(addresses, wanted, "{selector}");
        }
        assert!(slices(&service(&json!({})), &pods).is_empty());
    }

    #[test]
    fn named_target_ports_become_the_pods_numbers() {
        let slices = slices(&service(&json!({"app": "web"})), &[pod("blue", "blue", 2)]);
        let ports = slices[0].ports.as_ref().unwrap();
        assert_eq!(
            (ports[0].port, ports[0].name.as_deref()),
            (Some(8080), Some("http"))
        );
    }
}
