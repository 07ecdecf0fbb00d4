//! Two nodes behind firewalls, pods, two clients outside, and a service here and one elsewhere.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Host, Node, Process, Via};
use kproxy_tests::manifests::{self, Single};
use kproxy_tests::patience::patience;
use tempfile::TempDir;

use crate::rules::Firewall;

/// Where everybody serves.
pub(crate) const TARGET: u16 = 8080;
/// How long a command may take.
const PROMPT: Duration = Duration::from_secs(30);

/// A service with one backend, the pod of its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    name: &'static str,
    node: &'static str,
    number: u8,
    pub(crate) node_port: u16,
}

/// The backend is on the node that is asked.
pub(crate) const NEAR: Service = Service {
    name: "near",
    node: "a",
    number: 10,
    node_port: 30_080,
};

/// The backend is on the other node.
pub(crate) const FAR: Service = Service {
    name: "far",
    node: "b",
    number: 11,
    node_port: 30_081,
};

/// Everything that runs. Dropped in this order.
pub(crate) struct Stage {
    firewall: Firewall,
    _agents: Vec<Agent>,
    _servers: Vec<Process>,
    _manifests: TempDir,
    pub(crate) cluster: Cluster,
}

impl Stage {
    pub(crate) fn new(name: &str, firewall: Firewall) -> Self {
        let cluster = Cluster::builder(name)
            .node("a", |node| node.pod("client").pod("near"))
            .node("b", |node| node.pod("far"))
            .client_outside("friend")
            .client_outside("stranger")
            .build()
            .unwrap();
        let (near, friend) = (cluster.pod("near"), cluster.client("friend"));
        let rules = firewall.commands(near.addresses(), friend.addresses());
        for node in cluster.nodes() {
            for rule in &rules {
                run(node.host(), rule);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let services = [NEAR, FAR].map(|service| single(&cluster, service));
        manifests::write(folder.path(), "services.yaml", &manifests::singles(services)).unwrap();
        let servers = [near, cluster.pod("far"), friend];
        let servers = servers.map(|host| host.serve(Via::Packet, &[TARGET], &[TARGET]).unwrap());
        let options = AgentOptions::manifests(folder.path());
        let agents = cluster
            .nodes()
            .iter()
            .map(|node| node.start_agent(&options).unwrap());
        Self {
            firewall,
            _agents: agents.collect(),
            _servers: servers.into(),
            _manifests: folder,
            cluster,
        }
    }

    pub(crate) fn cluster_ips(&self, service: Service) -> [SocketAddr; 2] {
        single(&self.cluster, service).cluster_ips()
    }

    /// The rules of both nodes, with what they have counted.
    pub(crate) fn rules(&self) -> String {
        let nodes = self.cluster.nodes().iter().map(Node::host);
        let listings = nodes.flat_map(|node| {
            self.firewall
                .listings()
                .into_iter()
                .map(|command| run(node, &command))
        });
        listings.collect()
    }

    /// Rules that have dropped something.
    pub(crate) fn dropped_by_rules(&self) -> Vec<String> {
        let rules = self.rules();
        let dropped = rules.lines().filter(|line| self.firewall.has_dropped(line));
        dropped.map(|line| line.trim().to_owned()).collect()
    }

    /// Connections that the first node tracks.
    pub(crate) fn tracked(&self) -> Vec<String> {
        // `/proc/net` is the namespace of the process, not of its thread.
        let read = || fs::read_to_string("/proc/thread-self/net/nf_conntrack");
        let table = self
            .cluster
            .node("a")
            .host()
            .namespace()
            .run(read)
            .unwrap()
            .unwrap();
        table.lines().map(str::to_owned).collect()
    }
}

/// Runs a command in a namespace, which must succeed; what it prints.
fn run(host: &Host, command: &[String]) -> String {
    let [program, arguments @ ..] = command else {
        unreachable!("a command has a program");
    };
    let mut process = host
        .run_program(Via::Packet, program.as_ref(), arguments)
        .unwrap();
    let status = process.wait(patience(PROMPT)).unwrap();
    assert!(status.success(), "{command:?}: {}", process.stderr().text());
    process.stdout().text()
}

fn single(cluster: &Cluster, service: Service) -> Single<'static> {
    let Service {
        name,
        node,
        number,
        node_port,
    } = service;
    Single {
        name,
        number,
        node_port,
        target: TARGET,
        backend: cluster.pod(name).addresses(),
        node,
    }
}

/// An address as connection tracking writes it: IPv6 with all its zeros.
pub(crate) fn written(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address
            .segments()
            .map(|segment| format!("{segment:04x}"))
            .join(":"),
    }
}
