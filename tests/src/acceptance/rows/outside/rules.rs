//! What Kubernetes wants of a request, in a few rules: written from the specification (semantics sections 3 to 5, and
//! DESIGN.md sections 3 and 8), and not from the code that is held against it.

use std::collections::BTreeSet;

use crate::acceptance::row::{Source, Via};
use crate::acceptance::world::{HOST, NODE, Pod};

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Client {
    /// Nobody's in the cluster.
    External,
    /// A pod's, seen by packet.
    Pod,
    /// A pod's, seen at its socket.
    PodSocket,
    /// The node's own.
    Node,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frontend {
    ClusterIp,
    NodePort,
    ExternalIp,
    LoadBalancerIp,
}

/// `internalTrafficPolicy` for a ClusterIP, `externalTrafficPolicy` for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    Cluster,
    Local,
}

/// Where a service's backends are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A pod of this node.
    ThisNode,
    /// The node itself: a pod in its network namespace.
    HostNetwork,
    /// A pod of another node.
    OtherNode,
    /// Pods of another node only.
    NoneHere,
    /// All of these.
    Everywhere,
    /// None.
    Nowhere,
}

/// What must come of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// One of these answers, as the frontend that was asked.
    Served(Vec<&'static str>),
    /// Port unreachable, or ECONNREFUSED.
    Rejected,
    /// Dropped.
    Dropped,
}

/// Tables 4a and 4b.
pub(super) fn outcome(client: Client, frontend: Frontend, policy: Policy, place: Place) -> Outcome {
    let all = place.backends();
    // Clients inside use an external address as if they had asked for the ClusterIP of policy Cluster.
    let confined = policy == Policy::Local && (frontend == Frontend::ClusterIp || client == Client::External);
    let usable = if confined { local(&all) } else { all.clone() };
    match (usable.is_empty(), all.is_empty()) {
        (false, _) => Outcome::Served(usable),
        (true, true) => Outcome::Rejected,
        (true, false) => Outcome::Dropped,
    }
}

/// As whom a backend sees its client: as the node, only where the answer would not find back by itself.
pub(super) fn source(client: Client, backend: &str) -> Source {
    match client {
        Client::External if is_here(backend) => Source::Kept,
        Client::External => Source::Node,
        Client::Pod | Client::PodSocket | Client::Node => Source::Kept,
    }
}

/// The items that a combination shows.
pub(super) fn items(client: Client, frontend: Frontend, policy: Policy, place: Place) -> String {
    let mut items = BTreeSet::new();
    items.insert(match (frontend, client, policy) {
        (Frontend::ClusterIp, Client::Pod | Client::PodSocket, _) => "3.10",
        (Frontend::ClusterIp, Client::Node, _) => "3.11",
        (Frontend::ClusterIp, Client::External, _) => "3.12",
        (_, _, Policy::Cluster) => "3.33",
        (_, Client::External, Policy::Local) => "3.34",
        (_, Client::Pod | Client::PodSocket, Policy::Local) => "3.35",
        (_, Client::Node, Policy::Local) => "3.36",
    });
    items.extend(match frontend {
        Frontend::ClusterIp => &["3.01"][..],
        Frontend::NodePort => &["3.02", "3.38"],
        Frontend::ExternalIp | Frontend::LoadBalancerIp => &["3.01", "3.31"],
    });
    match outcome(client, frontend, policy, place) {
        Outcome::Served(backends) => {
            let replaced = backends.iter().any(|it| source(client, it) == Source::Node);
            items.extend(match (frontend, replaced) {
                (Frontend::ClusterIp, true) => &["5.02", "5.10"][..],
                (_, true) => &["5.04", "5.10"],
                (_, false) => &["5.05"],
            });
        }
        Outcome::Rejected => items.extend(["4.01", "4.06"]),
        Outcome::Dropped => items.extend(["2.28"]),
    }
    items.into_iter().collect::<Vec<_>>().join(", ")
}

fn local(backends: &[&'static str]) -> Vec<&'static str> {
    backends.iter().copied().filter(|it| is_here(it)).collect()
}

fn is_here(backend: &str) -> bool {
    Pod::named(backend).node_name() == NODE
}

impl Client {
    pub(super) const ALL: [Self; 4] = [Self::External, Self::Pod, Self::PodSocket, Self::Node];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::External => "a client outside",
            Self::Pod => "a pod",
            Self::PodSocket => "a pod's socket",
            Self::Node => "the node",
        }
    }

    /// The door that it meets.
    pub(super) const fn via(self) -> Via {
        match self {
            Self::External => Via::Uplink,
            Self::Pod => Via::Packet,
            Self::PodSocket => Via::Socket,
            Self::Node => Via::Node,
        }
    }
}

impl Frontend {
    pub(super) const ALL: [Self; 4] = [
        Self::ClusterIp,
        Self::NodePort,
        Self::ExternalIp,
        Self::LoadBalancerIp,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ClusterIp => "a ClusterIP",
            Self::NodePort => "a NodePort",
            Self::ExternalIp => "an external address",
            Self::LoadBalancerIp => "a load balancer's address",
        }
    }
}

impl Policy {
    pub(super) const ALL: [Self; 2] = [Self::Cluster, Self::Local];
}

impl Place {
    pub(super) const ALL: [Self; 6] = [
        Self::ThisNode,
        Self::HostNetwork,
        Self::OtherNode,
        Self::NoneHere,
        Self::Everywhere,
        Self::Nowhere,
    ];

    pub(super) fn backends(self) -> Vec<&'static str> {
        match self {
            Self::ThisNode => vec!["web-1"],
            Self::HostNetwork => vec![HOST.name],
            Self::OtherNode => vec!["web-2"],
            Self::NoneHere => vec!["web-2", "web-3"],
            Self::Everywhere => vec!["web-1", HOST.name, "web-2"],
            Self::Nowhere => Vec::new(),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ThisNode => "a pod here",
            Self::HostNetwork => "the node itself",
            Self::OtherNode => "a pod elsewhere",
            Self::NoneHere => "pods elsewhere only",
            Self::Everywhere => "backends everywhere",
            Self::Nowhere => "no backends",
        }
    }
}
