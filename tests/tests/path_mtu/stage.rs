//! Two nodes with an agent on the first, a client outside, and a router beside them.

use std::fs;
use std::net::{IpAddr, SocketAddr};

use anyhow::Context as _;
use kproxy_common::Family;
use kproxy_tests::acceptance::state::{PORT, State, WEB, web};
use kproxy_tests::acceptance::world::{self, CLIENT, NODE, OTHER_NODE};
use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Cni, Host, ip};
use tempfile::TempDir;

pub(crate) const NODE_PORT: u16 = 30_100;
/// Where pods serve.
pub(crate) const TARGET: u16 = 8080;
/// The longest packet that fits through a narrow hop: the least that IPv6 allows.
pub(crate) const NARROW: u32 = 1280;

const FAR: &str = "far";
const ROUTER: &str = "hop";

/// Who asks, and where the backend is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// A pod asks for a pod of the other node.
    Pod,
    /// Somebody outside asks for a pod of the node that is asked.
    Here,
    /// Somebody outside asks for a pod of the other node.
    Elsewhere,
}

/// Where a hop is narrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// On the way of answers to the client.
    Client,
    /// On the way of requests to the backend.
    Backend,
}

impl Hop {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
        }
    }
}

pub(crate) struct Stage {
    walk: Walk,
    _agent: Agent,
    _manifests: TempDir,
    // Last: removes everything.
    cluster: Cluster,
}

impl Stage {
    pub(crate) fn new(name: &str, walk: Walk) -> anyhow::Result<Self> {
        let cluster = world::builder(name, Cni::RoutedVeth)
            .client_outside(FAR)
            .client_outside(ROUTER)
            .build()?;
        let manifests = tempfile::tempdir()?;
        let state = State::of([web(&[backend(walk)]).node_port(NODE_PORT)]);
        fs::write(manifests.path().join("services.yaml"), state.manifests())?;
        let agent = cluster
            .node(NODE)
            .start_agent(&AgentOptions::manifests(manifests.path()))?;
        Ok(Self {
            walk,
            _agent: agent,
            _manifests: manifests,
            cluster,
        })
    }

    pub(crate) fn client(&self) -> Host {
        match self.walk {
            Walk::Pod => self.cluster.pod(CLIENT).clone(),
            Walk::Here | Walk::Elsewhere => self.cluster.client(FAR).clone(),
        }
    }

    pub(crate) fn backend(&self) -> Host {
        self.cluster.pod(backend(self.walk)).clone()
    }

    /// What the client asks.
    pub(crate) fn service(&self, family: Family) -> SocketAddr {
        match self.walk {
            Walk::Pod => world::service(WEB, PORT, family),
            Walk::Here | Walk::Elsewhere => (world::HOST.address(family), NODE_PORT).into(),
        }
    }

    /// Whom the backend takes for the client.
    pub(crate) fn peer(&self, family: Family) -> IpAddr {
        match self.walk {
            Walk::Pod | Walk::Here => address(&self.client(), family),
            Walk::Elsewhere => world::HOST.address(family),
        }
    }

    /// Makes a hop narrow.
    pub(crate) fn narrow(&self, hop: Hop) -> anyhow::Result<()> {
        match (hop, self.walk) {
            (Hop::Client, Walk::Here | Walk::Elsewhere) => self.lead_through_the_router(),
            (Hop::Client, Walk::Pod) => self.narrow_pod(NODE, &self.client()),
            (Hop::Backend, Walk::Here) => self.narrow_pod(NODE, &self.backend()),
            (Hop::Backend, Walk::Pod | Walk::Elsewhere) => self.narrow_pod(OTHER_NODE, &self.backend()),
        }
    }

    /// The node's way to one of its pods.
    fn narrow_pod(&self, node: &str, pod: &Host) -> anyhow::Result<()> {
        let lines = [
            format!(
                "route replace {}/32 dev {} scope link mtu lock {NARROW}",
                pod.v4(),
                pod.device()
            ),
            format!(
                "route replace {}/128 dev {} mtu lock {NARROW}",
                pod.v6(),
                pod.device()
            ),
        ];
        run_ip(self.cluster.node(node).host(), &lines)
    }

    /// What the node sends to the client goes by a router to which the client's cable is narrow.
    fn lead_through_the_router(&self) -> anyhow::Result<()> {
        let (far, router) = (self.cluster.client(FAR), self.cluster.client(ROUTER));
        let settings = [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            // It would tell the node of the way that goes by itself.
            ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv4/conf/eth0/send_redirects", "0"),
        ];
        router
            .namespace()
            .set_sysctls(&settings.map(|(path, value)| (path.to_owned(), value)))?;
        run_ip(
            router,
            &[
                format!("route add {}/32 dev eth0 mtu lock {NARROW}", far.v4()),
                format!("route add {}/128 dev eth0 mtu lock {NARROW}", far.v6()),
            ],
        )?;
        run_ip(
            self.cluster.node(NODE).host(),
            &[
                format!("route add {}/32 via {}", far.v4(), router.v4()),
                format!("route add {}/128 via {}", far.v6(), router.v6()),
            ],
        )
    }

    /// A client outside sends what is for ClusterIPs to the node.
    pub(crate) fn lead_to_cluster_ips(&self) -> anyhow::Result<()> {
        if self.walk == Walk::Pod {
            return Ok(());
        }
        let node = self.cluster.node(NODE).host();
        let ways = world::FAMILIES.map(|family| {
            let (service, node) = (world::service(WEB, PORT, family).ip(), address(node, family));
            format!("route add {service} via {node}")
        });
        run_ip(&self.client(), &ways)
    }
}

fn run_ip(host: &Host, lines: &[String]) -> anyhow::Result<()> {
    ip::batch(Some(host.namespace().name()), lines).with_context(|| format!("in {}", host.name()))
}

const fn backend(walk: Walk) -> &'static str {
    match walk {
        Walk::Here => "web-1",
        Walk::Pod | Walk::Elsewhere => "web-2",
    }
}

pub(crate) fn address(host: &Host, family: Family) -> IpAddr {
    match family {
        Family::V4 => host.v4().into(),
        Family::V6 => host.v6().into(),
    }
}
