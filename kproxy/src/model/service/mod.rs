//! Services.
//!
//! This file has the types and the order of the steps. `addresses` reads everything that is an address or a range of
//! addresses, `ports` the ports, `policies` the few words and numbers that say how traffic is treated.

mod addresses;
mod policies;
mod ports;

use clap::ValueEnum;
use k8s_openapi::api::core::v1;
use k8s_openapi::jiff::Timestamp;
use kproxy_common::{Address, Port, Protocol};
use serde::{Deserialize, Serialize};

use super::{Cidr, Kind, Name, ObjectName, Parsed, Problem};

/// The label that hands a Service to another proxy, whatever its value (semantics 1.01). Its ClusterIPs are read all the
/// same: they are no unallocated addresses.
const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

/// A Service with a ClusterIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: ObjectName,
    /// When it was created: the older one wins a frontend that two claim.
    pub created: Created,
    /// Whether another proxy serves it. Then it has its ClusterIPs here and nothing else.
    pub foreign: bool,
    /// Its ClusterIPs, at most one of each family. A family without one is not served at all (semantics 1.16).
    pub cluster_ips: Box<[Address]>,
    /// Its ports; name and protocol are unique, port and protocol as well, and node port and protocol too.
    pub ports: Box<[ServicePort]>,
    /// Who may serve clients of the ClusterIP.
    pub internal_policy: TrafficPolicy,
    /// Who may serve clients of all other frontends that are not inside the cluster.
    pub external_policy: TrafficPolicy,
    /// Session affinity by client address in seconds, 0 for none.
    pub affinity_seconds: u32,
    /// How clients outside are balanced, if the Service says so.
    pub load_balancing: Option<LoadBalancing>,
    /// Addresses outside the cluster. Few Services have any, so they are kept apart.
    pub external: Option<Box<External>>,
}

/// A moment of creation, `None` for objects that never were in an API server; those count as oldest.
pub type Created = Option<Timestamp>;

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, empty if it has none.
    pub name: Name,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The number that clients use.
    pub port: Port,
    /// The number that clients use at an address of a node.
    pub node_port: Option<Port>,
}

/// What a Service has for clients outside the cluster. Every address is of a family that the Service has a ClusterIP
/// in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    /// Addresses that somebody else sends to the nodes, each once.
    pub external_ips: Box<[Address]>,
    /// Addresses of a load balancer that leaves them in its packets, each once.
    pub load_balancer_ips: Box<[Address]>,
    /// Who may ask the load-balancer addresses; a family without a range is open to everybody. Sorted, each once.
    pub source_ranges: Box<[Cidr]>,
    /// Where the load balancer asks whether this node has endpoints of its own.
    pub health_check_port: Option<Port>,
}

/// Which endpoints a kind of clients may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrafficPolicy {
    /// All of them.
    #[default]
    Cluster,
    /// Those on the node where the traffic enters.
    Local,
}

/// How backends are chosen for clients outside. For all others it is chance that chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LoadBalancing {
    /// By chance.
    #[default]
    Random,
    /// By the client's hash in a table that is the same at every node.
    Maglev,
}

impl Service {
    /// Addresses that somebody else sends to the nodes.
    #[must_use]
    pub fn external_ips(&self) -> &[Address] {
        self.external
            .as_ref()
            .map_or(&[], |external| &external.external_ips)
    }

    /// Addresses of a load balancer that leaves them in its packets.
    #[must_use]
    pub fn load_balancer_ips(&self) -> &[Address] {
        self.external
            .as_ref()
            .map_or(&[], |external| &external.load_balancer_ips)
    }

    /// Who may ask the load-balancer addresses. A family without a range is open to everybody.
    #[must_use]
    pub fn source_ranges(&self) -> &[Cidr] {
        self.external
            .as_ref()
            .map_or(&[], |external| &external.source_ranges)
    }

    /// Where the load balancer asks whether this node has endpoints of its own.
    #[must_use]
    pub fn health_check_port(&self) -> Option<Port> {
        self.external.as_ref()?.health_check_port
    }
}

impl TryFrom<v1::Service> for Parsed<Service> {
    type Error = Problem;

    fn try_from(service: v1::Service) -> Result<Self, Problem> {
        let name = ObjectName::of(Kind::Service, &service.metadata)?;
        let spec = service.spec.unwrap_or_default();
        let annotations = service.metadata.annotations;
        let opted_out = service
            .metadata
            .labels
            .is_some_and(|labels| labels.contains_key(PROXY_NAME));
        if is_skipped(&spec) {
            return Ok(Self::ignored(name));
        }
        if opted_out {
            return Ok(foreign(name, &spec));
        }
        let mut problems = Vec::new();
        let mut report = |field, reason| problems.push(Problem::new(Kind::Service, &name, field, reason));
        let sort = policies::sort(&spec, &mut report);
        let cluster_ips = addresses::cluster_ips(&spec, &mut report);
        let external_policy = policies::external(&spec, sort, &mut report);
        let external = External {
            external_ips: addresses::external_ips(&spec, &cluster_ips, &mut report),
            load_balancer_ips: addresses::load_balancer_ips(service.status, &cluster_ips, &mut report),
            source_ranges: addresses::source_ranges(&spec, &cluster_ips, &mut report),
            health_check_port: policies::health_check_port(&spec, sort, external_policy, &mut report),
        };
        let object = Service {
            name: name.clone(),
            created: service.metadata.creation_timestamp.map(|time| time.0),
            foreign: false,
            cluster_ips,
            internal_policy: policies::internal(&spec, &mut report),
            external_policy,
            affinity_seconds: policies::affinity_seconds(&spec, &mut report),
            load_balancing: policies::load_balancing(annotations.as_ref(), &mut report),
            ports: ports::ports(spec.ports.unwrap_or_default(), &mut report),
            external: (external != External::default()).then(|| Box::new(external)),
        };
        Ok(Self {
            name,
            object: Some(object),
            problems,
        })
    }
}

/// What is wrong with it is not for kproxy to tell.
fn foreign(name: ObjectName, spec: &v1::ServiceSpec) -> Parsed<Service> {
    let object = Service {
        name: name.clone(),
        created: None,
        foreign: true,
        cluster_ips: addresses::cluster_ips(spec, &mut |_, _| {}),
        ports: Box::default(),
        internal_policy: TrafficPolicy::Cluster,
        external_policy: TrafficPolicy::Cluster,
        affinity_seconds: 0,
        load_balancing: None,
        external: None,
    };
    Parsed {
        name,
        object: Some(object),
        problems: Vec::new(),
    }
}

/// Headless, not yet given an address, or an alias (semantics 1.06, 1.07).
fn is_skipped(spec: &v1::ServiceSpec) -> bool {
    matches!(spec.cluster_ip.as_deref(), None | Some("" | "None"))
        || spec.type_.as_deref() == Some("ExternalName")
}
