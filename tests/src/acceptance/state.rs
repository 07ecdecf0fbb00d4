//! What the cluster looks like, as the manifests that say so.

use kproxy_common::Family;
use serde_json::{Value, json};

use super::world::{Pod, cluster_ip};

/// TCP or UDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// As manifests spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// All services of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    services: Vec<Service>,
}

/// One service with its endpoints, dual stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    name: &'static str,
    number: u8,
    ports: Vec<(Protocol, u16, u16)>,
    ready: Vec<&'static str>,
    terminating: Vec<&'static str>,
    local: bool,
    sctp_target: Option<u16>,
}

/// The number of [`web`] in its `ClusterIP`.
pub const WEB: u8 = 10;
/// The number of [`shop`] in its `ClusterIP`.
pub const SHOP: u8 = 20;
/// The port that both are served under.
pub const PORT: u16 = 80;

/// The service that most rows ask: port 80 over TCP and UDP, port 8080 of its pods.
#[must_use]
pub fn web(ready: &[&'static str]) -> Service {
    Service {
        name: "web",
        number: WEB,
        ports: both(PORT, 8080),
        ready: ready.to_vec(),
        terminating: Vec::new(),
        local: false,
        sctp_target: None,
    }
}

/// Another service, which may have the same pods and ports.
#[must_use]
pub fn shop(ready: &[&'static str]) -> Service {
    Service {
        name: "shop",
        number: SHOP,
        ..web(ready)
    }
}

fn both(port: u16, target: u16) -> Vec<(Protocol, u16, u16)> {
    Protocol::ALL.map(|protocol| (protocol, port, target)).to_vec()
}

impl Service {
    /// Served over one protocol only.
    #[must_use]
    pub fn only(mut self, wanted: Protocol) -> Self {
        self.ports.retain(|(protocol, ..)| *protocol == wanted);
        self
    }

    /// One more port, over both protocols.
    #[must_use]
    pub fn port(mut self, port: u16, target: u16) -> Self {
        self.ports.extend(both(port, target));
        self
    }

    /// Served over SCTP as well, on this port of its pods. Rows send its packets: not every kernel has sockets for it.
    #[must_use]
    pub fn sctp(mut self, target: u16) -> Self {
        self.sctp_target = Some(target);
        self
    }

    /// Every port leads to this port of the pods.
    #[must_use]
    pub fn target(mut self, target: u16) -> Self {
        self.ports.iter_mut().for_each(|port| port.2 = target);
        self
    }

    /// Pods that are shutting down but still serve.
    #[must_use]
    pub fn terminating(mut self, pods: &[&'static str]) -> Self {
        self.terminating = pods.to_vec();
        self
    }

    /// `internalTrafficPolicy: Local`.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    fn manifest(&self) -> Value {
        let ports = self.ports.iter().map(|(protocol, port, target)| {
            json!({"name": port_name(*protocol, *port), "protocol": protocol.name(), "port": port, "targetPort": target})
        });
        let sctp = self
            .sctp_target
            .map(|target| json!({"name": "sctp", "protocol": "SCTP", "port": PORT, "targetPort": target}));
        let addresses = [Family::V4, Family::V6].map(|family| cluster_ip(self.number, family));
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": self.name, "namespace": "default"},
            "spec": {
                "clusterIP": addresses[0],
                "clusterIPs": addresses,
                "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": "RequireDualStack",
                "internalTrafficPolicy": if self.local { "Local" } else { "Cluster" },
                "ports": ports.chain(sctp).collect::<Vec<_>>(),
            },
        })
    }

    fn slice(&self, family: Family) -> Value {
        let ports = self.ports.iter().map(|(protocol, port, target)| {
            json!({"name": port_name(*protocol, *port), "protocol": protocol.name(), "port": target})
        });
        let sctp = self
            .sctp_target
            .map(|target| json!({"name": "sctp", "protocol": "SCTP", "port": target}));
        let endpoint = |name: &&'static str, terminating: bool| {
            let pod = Pod::named(name);
            json!({
                "addresses": [pod.address(family)],
                "nodeName": pod.node,
                "conditions": {"ready": !terminating, "serving": true, "terminating": terminating},
            })
        };
        let ready = self.ready.iter().map(|name| endpoint(name, false));
        let terminating = self.terminating.iter().map(|name| endpoint(name, true));
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{}-{}", self.name, family.to_string().to_lowercase()),
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": self.name},
            },
            "addressType": family.to_string(),
            "ports": ports.chain(sctp).collect::<Vec<_>>(),
            "endpoints": ready.chain(terminating).collect::<Vec<_>>(),
        })
    }
}

fn port_name(protocol: Protocol, port: u16) -> String {
    format!("{}-{port}", protocol.name().to_lowercase())
}

impl State {
    /// A cluster with these services.
    #[must_use]
    pub fn of(services: impl IntoIterator<Item = Service>) -> Self {
        Self {
            services: services.into_iter().collect(),
        }
    }

    /// The manifests: YAML documents.
    #[must_use]
    pub fn manifests(&self) -> String {
        let objects = self.services.iter().flat_map(|service| {
            [
                service.manifest(),
                service.slice(Family::V4),
                service.slice(Family::V6),
            ]
        });
        let documents = objects.map(|object| serde_yaml_ng::to_string(&object).unwrap_or_default());
        documents.collect::<Vec<_>>().join("---\n")
    }
}

impl From<Service> for State {
    fn from(service: Service) -> Self {
        Self::of([service])
    }
}
