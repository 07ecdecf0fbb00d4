//! Manifests of a folder that an agent follows.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use crate::cluster::Addresses;

/// Where [`web`] is asked.
pub const WEB: &str = "10.96.0.10:80";

/// A service with one pod, which listens at port 8080.
#[must_use]
pub fn web(pod: Ipv4Addr) -> String {
    format!(
        "\
apiVersion: v1
kind: Service
metadata: {{name: web, namespace: default}}
spec: {{clusterIP: 10.96.0.10, ports: [{{port: 80}}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-1, namespace: default, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
ports: [{{name: '', port: 8080, protocol: TCP}}]
endpoints: [{{addresses: [{pod}]}}]
"
    )
}

/// A dual-stack service with one backend, over TCP and UDP, that every node serves at a port.
#[derive(Clone, Copy, Debug)]
pub struct Single<'a> {
    /// Its name.
    pub name: &'a str,
    /// The last part of its `ClusterIP`s.
    pub number: u8,
    /// Where nodes serve it.
    pub node_port: u16,
    /// Where the backend listens.
    pub target: u16,
    /// The backend's addresses.
    pub backend: Addresses,
    /// The backend's node.
    pub node: &'a str,
}

impl Single<'_> {
    /// Its `ClusterIP`s with its port, IPv4 first.
    #[must_use]
    pub fn cluster_ips(&self) -> [SocketAddr; 2] {
        let v4 = Ipv4Addr::new(10, 96, 0, self.number);
        let v6 = Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, self.number.into());
        [IpAddr::from(v4), v6.into()].map(|address| (address, 80).into())
    }

    fn objects(&self) -> Vec<Value> {
        let Self {
            name,
            number: _,
            node_port,
            target,
            backend,
            node,
        } = *self;
        let protocols = [("TCP", "tcp"), ("UDP", "udp")];
        let port = |(protocol, port): (&str, &str)| json!({"name": port, "protocol": protocol, "port": 80, "targetPort": target, "nodePort": node_port});
        let addresses = self.cluster_ips().map(|address| address.ip());
        let mut objects = vec![json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "type": "NodePort", "clusterIP": addresses[0], "clusterIPs": addresses,
                "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack",
                "ports": protocols.map(port),
            },
        })];
        let port =
            |(protocol, port): (&str, &str)| json!({"name": port, "protocol": protocol, "port": target});
        for (family, address) in ["IPv4", "IPv6"].into_iter().zip(backend.both()) {
            objects.push(json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {
                    "name": format!("{name}-{}", family.to_lowercase()), "namespace": "default",
                    "labels": {"kubernetes.io/service-name": name},
                },
                "addressType": family,
                "ports": protocols.map(port),
                "endpoints": [{
                    "addresses": [address], "nodeName": node,
                    "conditions": {"ready": true, "serving": true, "terminating": false},
                }],
            }));
        }
        objects
    }
}

/// The manifests of these services.
#[must_use]
pub fn singles<'a>(services: impl IntoIterator<Item = Single<'a>>) -> String {
    let objects = services.into_iter().flat_map(|service| service.objects());
    let documents = objects.map(|object| serde_yaml_ng::to_string(&object).unwrap_or_default());
    documents.collect::<Vec<_>>().join("---\n")
}

/// Puts a manifest into a folder in one step: nobody sees half a file.
///
/// # Errors
/// When it can not be written.
pub fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let new = folder.join(".new");
    fs::write(&new, text).context("write a manifest")?;
    fs::rename(&new, folder.join(name)).context("put a manifest in place")
}
