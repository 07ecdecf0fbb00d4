//! A service with its endpoints, as the manifests that say so.

use std::net::IpAddr;
use std::time::Duration;

use kproxy_common::Family;
use serde_json::{Value, json};

use super::state::Protocol;
use super::world::{FAMILIES, Pod, Vip, cluster_ip};

/// One service with its endpoints, dual stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    name: &'static str,
    number: u8,
    ports: Vec<(Protocol, u16, u16)>,
    ready: Vec<&'static str>,
    terminating: Vec<&'static str>,
    local: bool,
    external: Outside,
    affinity_seconds: Option<u32>,
    maglev: bool,
}

/// How clients reach a service by other addresses than its `ClusterIP`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outside {
    node_port: Option<u16>,
    external_ips: Vec<Vip>,
    load_balancer_ips: Vec<Vip>,
    is_proxy: bool,
    source_ranges: Vec<&'static str>,
    local: bool,
}

/// The number of [`web`] in its `ClusterIP`.
pub const WEB: u8 = 10;
/// The number of [`shop`] in its `ClusterIP`.
pub const SHOP: u8 = 20;
/// Where a load balancer asks for the pods of a node.
const HEALTH_CHECK: u16 = 32_000;
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
        external: Outside::default(),
        affinity_seconds: None,
        maglev: false,
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
        self.ports.push((Protocol::Sctp, PORT, target));
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

    /// Its first port is also served under this port of every node.
    #[must_use]
    pub fn node_port(mut self, port: u16) -> Self {
        self.external.node_port = Some(port);
        self
    }

    /// `externalIPs`.
    #[must_use]
    pub fn external_ips(mut self, vips: &[Vip]) -> Self {
        self.external.external_ips = vips.to_vec();
        self
    }

    /// Addresses of a load balancer.
    #[must_use]
    pub fn load_balancer(mut self, vips: &[Vip]) -> Self {
        self.external.load_balancer_ips = vips.to_vec();
        self
    }

    /// Its load balancer does more than to forward packets: `ipMode: Proxy`.
    #[must_use]
    pub fn behind_a_proxy(mut self) -> Self {
        self.external.is_proxy = true;
        self
    }

    /// `loadBalancerSourceRanges`.
    #[must_use]
    pub fn source_ranges(mut self, ranges: &[&'static str]) -> Self {
        self.external.source_ranges = ranges.to_vec();
        self
    }

    /// `externalTrafficPolicy: Local`.
    #[must_use]
    pub fn external_local(mut self) -> Self {
        self.external.local = true;
        self
    }

    /// `sessionAffinity: ClientIP` with this timeout.
    #[must_use]
    pub fn affinity(mut self, timeout: Duration) -> Self {
        self.affinity_seconds = u32::try_from(timeout.as_secs()).ok();
        self
    }

    /// Its clients outside are balanced by Maglev hashing.
    #[must_use]
    pub fn maglev(mut self) -> Self {
        self.maglev = true;
        self
    }

    pub(super) fn manifest(&self) -> Value {
        let first = self.ports.first().map(|(_, port, _)| *port);
        let ports = self.ports.iter().map(|(protocol, port, target)| {
            json!({
                "name": port_name(*protocol, *port),
                "protocol": protocol.name(),
                "port": port,
                "targetPort": target,
                "nodePort": self.external.node_port.filter(|_| first == Some(*port)),
            })
        });
        let addresses = FAMILIES.map(|family| cluster_ip(self.number, family));
        let Outside {
            node_port,
            external_ips,
            load_balancer_ips,
            is_proxy,
            source_ranges,
            local,
        } = &self.external;
        let mode = if *is_proxy { "Proxy" } else { "VIP" };
        let ingress = in_both_families(load_balancer_ips).map(|ip| json!({"ip": ip, "ipMode": mode}));
        let kind = match (load_balancer_ips.is_empty(), node_port) {
            (false, _) => "LoadBalancer",
            (true, Some(_)) => "NodePort",
            (true, None) => "ClusterIP",
        };
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": self.name,
                "namespace": "default",
                "annotations": self.maglev.then(|| json!({"kproxy.io/load-balancing": "maglev"})),
            },
            "spec": {
                "type": kind,
                "clusterIP": addresses[0],
                "clusterIPs": addresses,
                "ipFamilies": ["IPv4", "IPv6"],
                "ipFamilyPolicy": "RequireDualStack",
                "internalTrafficPolicy": policy(self.local),
                "externalTrafficPolicy": policy(*local),
                "healthCheckNodePort": (*local && kind == "LoadBalancer").then_some(HEALTH_CHECK),
                "externalIPs": in_both_families(external_ips).collect::<Vec<_>>(),
                "loadBalancerSourceRanges": source_ranges,
                "sessionAffinity": if self.affinity_seconds.is_some() { "ClientIP" } else { "None" },
                "sessionAffinityConfig": self.affinity_seconds.map(|it| json!({"clientIP": {"timeoutSeconds": it}})),
                "ports": ports.collect::<Vec<_>>(),
            },
            "status": {"loadBalancer": {"ingress": ingress.collect::<Vec<_>>()}},
        })
    }

    pub(super) fn slice(&self, family: Family) -> Value {
        let ports = self.ports.iter().map(|(protocol, port, target)| {
            json!({"name": port_name(*protocol, *port), "protocol": protocol.name(), "port": target})
        });
        let endpoint = |name: &&'static str, terminating: bool| {
            let pod = Pod::named(name);
            json!({
                "addresses": [pod.address(family)],
                "nodeName": pod.node_name(),
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
            "ports": ports.collect::<Vec<_>>(),
            "endpoints": ready.chain(terminating).collect::<Vec<_>>(),
        })
    }
}

fn in_both_families(vips: &[Vip]) -> impl Iterator<Item = IpAddr> {
    vips.iter()
        .flat_map(|vip| FAMILIES.map(|family| vip.address(family)))
}

fn policy(local: bool) -> &'static str {
    if local { "Local" } else { "Cluster" }
}

fn port_name(protocol: Protocol, port: u16) -> String {
    format!("{}-{port}", protocol.name().to_lowercase())
}
