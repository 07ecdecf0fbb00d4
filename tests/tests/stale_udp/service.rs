//! A DNS service, over UDP and TCP, and the node that it is asked on, as manifests in a folder.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use anyhow::Context;
use kproxy_tests::cluster::Host;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The service's port.
pub(crate) const PORT: u16 = 53;
/// Its port on every node.
pub(crate) const NODE_PORT: u16 = 30_053;
/// Where its pods listen.
pub(crate) const TARGET: u16 = 8080;

/// An address without a pod.
pub(crate) const NOBODY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Where they listen as well.
pub(crate) const fn other_target() -> u16 {
    TARGET + 1
}

/// The service's addresses.
pub(crate) fn addresses() -> [IpAddr; 2] {
    [
        Ipv4Addr::new(10, 96, 0, 10).into(),
        Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 10).into(),
    ]
}

/// A pod in the service's slices.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    addresses: [String; 2],
    terminating: bool,
}

impl Endpoint {
    pub(crate) fn ready(pod: &Host) -> Self {
        Self {
            addresses: pod.addresses().both().map(|address| address.to_string()),
            terminating: false,
        }
    }

    /// It was told to end and still answers.
    pub(crate) fn terminating(pod: &Host) -> Self {
        Self {
            terminating: true,
            ..Self::ready(pod)
        }
    }

    /// Where no pod is.
    pub(crate) fn nobody() -> Self {
        Self {
            addresses: [NOBODY.to_string(), "2001:db8::1".to_owned()],
            terminating: false,
        }
    }
}

/// The folder that an agent reads.
pub(crate) struct Service {
    folder: TempDir,
}

impl Service {
    pub(crate) fn new(folder: TempDir) -> Self {
        Self { folder }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the service with these endpoints on this port.
    pub(crate) fn publish(&self, target: u16, endpoints: &[Endpoint]) -> anyhow::Result<()> {
        let service = json!({"type": "NodePort", "clusterIPs": addresses()});
        let port = json!({"port": PORT, "targetPort": target, "nodePort": NODE_PORT});
        self.write("dns", &objects("dns", service, &port, target, endpoints))
    }

    /// Writes the node that the agent is on, whose addresses its NodePorts have.
    pub(crate) fn publish_node(&self, node: &Host) -> anyhow::Result<()> {
        let address = |address: IpAddr| json!({"type": "InternalIP", "address": address});
        let object = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": node.name()},
            "status": {"addresses": node.addresses().both().map(address)},
        });
        self.write("node", &object)
    }

    /// Writes another service with these endpoints.
    pub(crate) fn publish_other(&self, endpoints: &[Endpoint]) -> anyhow::Result<()> {
        const OTHER: [&str; 2] = ["10.96.0.11", "fd00:96::b"];
        let service = json!({"type": "ClusterIP", "clusterIPs": OTHER});
        let port = json!({"port": PORT, "targetPort": TARGET});
        self.write("other", &objects("other", service, &port, TARGET, endpoints))
    }

    pub(crate) fn delete(&self) -> anyhow::Result<()> {
        fs::remove_file(self.folder().join("dns.json")).context("remove the manifest")
    }

    /// In one step: nobody sees half a file.
    fn write(&self, name: &str, objects: &Value) -> anyhow::Result<()> {
        let (new, path) = (
            self.folder().join(".new"),
            self.folder().join(format!("{name}.json")),
        );
        fs::write(&new, serde_json::to_vec(objects)?).context("write the manifest")?;
        fs::rename(&new, &path).context("put the manifest in place")
    }
}

/// A service of both families with this port for each protocol, and its slices.
fn objects(name: &str, mut spec: Value, port: &Value, target: u16, endpoints: &[Endpoint]) -> Value {
    spec["ports"] = ports(port).into();
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    });
    let slices = [(0, "IPv4"), (1, "IPv6")].map(|(family, address_type): (usize, _)| {
        let endpoint = |endpoint: &Endpoint| {
            let Endpoint {
                addresses,
                terminating,
            } = endpoint;
            json!({
                "addresses": [addresses[family]],
                "conditions": {"ready": !terminating, "serving": true, "terminating": terminating},
            })
        };
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{name}-{}", address_type.to_lowercase()), "namespace": "default",
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": address_type,
            "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
            "ports": ports(&json!({"port": target})),
        })
    });
    let [v4, v6] = slices;
    json!({"apiVersion": "v1", "kind": "List", "items": [service, v4, v6]})
}

/// One port of this kind for each protocol.
fn ports(port: &Value) -> Vec<Value> {
    let ports = ["UDP", "TCP"].map(|protocol| {
        let mut port = port.clone();
        port["name"] = protocol.to_lowercase().into();
        port["protocol"] = protocol.into();
        port
    });
    ports.to_vec()
}
