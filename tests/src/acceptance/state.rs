//! What the cluster looks like, as the manifests that say so.

use serde_json::{Value, json};

pub use super::service::{PORT, SHOP, Service, WEB, shop, web};
use super::world::{FAMILIES, NODES, Pod, SERVICE_CIDRS};

/// TCP, UDP or SCTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP. Not every kernel has sockets for it: rows that speak it play packet by packet.
    Sctp,
}

impl Protocol {
    /// Those that every kernel has sockets for.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];
    /// All of them.
    pub const EVERY: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// As manifests spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// All services of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    services: Vec<Service>,
    knows_service_cidrs: bool,
}

impl State {
    /// A cluster with these services.
    #[must_use]
    pub fn of(services: impl IntoIterator<Item = Service>) -> Self {
        Self {
            services: services.into_iter().collect(),
            knows_service_cidrs: false,
        }
    }

    /// It is known where `ClusterIPs` come from.
    #[must_use]
    pub fn with_service_cidrs(mut self) -> Self {
        self.knows_service_cidrs = true;
        self
    }

    /// The manifests: YAML documents.
    #[must_use]
    pub fn manifests(&self) -> String {
        let services = self.services.iter().flat_map(|service| {
            let slices = FAMILIES.map(|family| service.slice(family));
            [service.manifest()].into_iter().chain(slices)
        });
        let cidrs = self.knows_service_cidrs.then(service_cidr);
        let objects = services.chain(cidrs).chain(NODES.map(node));
        let documents = objects.map(|object| serde_yaml_ng::to_string(&object).unwrap_or_default());
        documents.collect::<Vec<_>>().join("---\n")
    }
}

fn service_cidr() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "kubernetes"},
        "spec": {"cidrs": SERVICE_CIDRS},
    })
}

fn node(node: Pod) -> Value {
    let addresses = FAMILIES.map(|family| json!({"type": "InternalIP", "address": node.address(family)}));
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name},
        "status": {"addresses": addresses},
    })
}

impl From<Service> for State {
    fn from(service: Service) -> Self {
        Self::of([service])
    }
}
