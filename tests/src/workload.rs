//! What the controllers of a real cluster do for a Service: it gets its addresses, and EndpointSlices name its pods.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use crate::cluster::Host;

const NAMESPACE: &str = "default";

/// A port of a service and where its pods listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name in Service and slices.
    pub name: &'static str,
    /// "TCP" or "UDP".
    pub protocol: &'static str,
    /// The service's port.
    pub port: u16,
    /// The pods' port.
    pub target: u16,
}

/// A pod as a slice names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// IPv4 and IPv6 address.
    pub addresses: [IpAddr; 2],
    /// The node it runs on.
    pub node: String,
}

impl Member {
    /// A pod of a cluster.
    #[must_use]
    pub fn new(pod: &Host, node: &str) -> Self {
        Self {
            addresses: pod.addresses().both(),
            node: node.to_owned(),
        }
    }
}

/// Writes Services and their slices to an API server.
#[derive(Clone)]
pub struct Workload {
    services: Api<Service>,
    slices: Api<EndpointSlice>,
}

impl Workload {
    /// Works in the namespace `default`.
    #[must_use]
    pub fn new(client: &Client) -> Self {
        Self {
            services: Api::namespaced(client.clone(), NAMESPACE),
            slices: Api::namespaced(client.clone(), NAMESPACE),
        }
    }

    /// Creates a dual-stack Service and returns its two addresses.
    pub async fn create(&self, name: &str, ports: &[Port]) -> anyhow::Result<[IpAddr; 2]> {
        let service = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name},
            "spec": {
                "ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv4", "IPv6"],
                "selector": {"app": name}, "ports": service_ports(ports),
            },
        }))?;
        let created = self
            .services
            .create(&PostParams::default(), &service)
            .await
            .with_context(|| format!("cannot create service {name}"))?;
        let spec = created.spec.unwrap_or_default();
        let addresses: Vec<IpAddr> = spec
            .cluster_ips
            .unwrap_or_default()
            .iter()
            .filter_map(|ip| ip.parse().ok())
            .collect();
        <[IpAddr; 2]>::try_from(addresses)
            .map_err(|got| anyhow::anyhow!("service {name} got the addresses {got:?} instead of two"))
    }

    /// Replaces the ports of a Service.
    pub async fn set_ports(&self, name: &str, ports: &[Port]) -> anyhow::Result<()> {
        let patch = json!({"spec": {"ports": service_ports(ports)}});
        let patched = self
            .services
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        patched.with_context(|| format!("cannot change the ports of service {name}"))?;
        Ok(())
    }

    /// Writes the slices of both families: these pods serve these ports.
    pub async fn publish(&self, name: &str, ports: &[Port], members: &[Member]) -> anyhow::Result<()> {
        for (family, address_type) in ["IPv4", "IPv6"].into_iter().enumerate() {
            let slice = slice(name, family, address_type, ports, members);
            let slice_name = slice["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let existing = self.slices.get_opt(&slice_name).await?;
            let object: EndpointSlice = serde_json::from_value(slice)?;
            let written = match existing {
                Some(old) => {
                    let mut new = object;
                    new.metadata.resource_version = old.resource_version();
                    self.slices
                        .replace(&slice_name, &PostParams::default(), &new)
                        .await
                }
                None => self.slices.create(&PostParams::default(), &object).await,
            };
            written.with_context(|| format!("cannot write the slice {slice_name}"))?;
        }
        Ok(())
    }

    /// Deletes a Service and its slices.
    pub async fn delete(&self, name: &str) -> anyhow::Result<()> {
        self.services.delete(name, &DeleteParams::default()).await?;
        for address_type in ["ipv4", "ipv6"] {
            self.slices
                .delete(&format!("{name}-{address_type}"), &DeleteParams::default())
                .await?;
        }
        ensure!(
            self.services.get_opt(name).await?.is_none(),
            "service {name} is still there"
        );
        Ok(())
    }
}

/// The two socket addresses of a service port.
#[must_use]
pub fn sockets(addresses: [IpAddr; 2], port: u16) -> [SocketAddr; 2] {
    addresses.map(|address| SocketAddr::new(address, port))
}

fn service_ports(ports: &[Port]) -> Vec<Value> {
    let port = |port: &Port| json!({"name": port.name, "protocol": port.protocol, "port": port.port, "targetPort": port.target});
    ports.iter().map(port).collect()
}

fn slice(name: &str, family: usize, address_type: &str, ports: &[Port], members: &[Member]) -> Value {
    let endpoint = |member: &Member| {
        json!({
            "addresses": [member.addresses[family]], "nodeName": member.node,
            "conditions": {"ready": true, "serving": true, "terminating": false},
        })
    };
    let port = |port: &Port| json!({"name": port.name, "protocol": port.protocol, "port": port.target});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{name}-{}", address_type.to_lowercase()),
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": address_type,
        "endpoints": members.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": ports.iter().map(port).collect::<Vec<_>>(),
    })
}
