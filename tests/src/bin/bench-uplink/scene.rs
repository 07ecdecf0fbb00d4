//! A client outside, a node between, and a pod on another node.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kproxy::dataplane::Pinned;
use kproxy_common::Family;
use kproxy_tests::bench::IperfRun as Run;
use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Host, Process, Via, ip, of};
use kproxy_tests::manifests::{self, Single};
use serde_json::Value;
use tempfile::TempDir;

/// Where iperf3 listens.
const TARGET: u16 = 5201;
const NODE_PORT: u16 = 30_201;
/// What starting and ending may take.
const BOUND: Duration = Duration::from_secs(20);

/// How packets come to the pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The node between is a router.
    Routing,
    /// The node between translates.
    NodePort,
}

impl Way {
    pub(crate) const ALL: [Self; 2] = [Self::Routing, Self::NodePort];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Routing => "routing",
            Self::NodePort => "NodePort",
        }
    }
}

/// A stream that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) run: Run,
    /// Segments that were sent again although they had arrived: the receiver says so (duplicate SACK, RFC 2883).
    pub(crate) needlessly: u64,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) seconds: u32,
    pub(crate) cpu: u32,
    pub(crate) reverse: bool,
}

/// Everything that runs. Dropped in this order.
pub(crate) struct Scene {
    _agents: Vec<Agent>,
    _server: Process,
    _manifests: TempDir,
    cluster: Cluster,
}

impl Scene {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let cluster = Cluster::builder("bench")
            .node("between", |node| node)
            .node("far", |node| node.pod("server"))
            .client_outside("client")
            .build()?;
        lead_through_the_node(&cluster)?;
        let pod = cluster.pod("server");
        let server = pod.run_program(Via::Packet, "iperf3".as_ref(), &["--server", "--forceflush"])?;
        let listens = |line: &str| line.contains("listening").then_some(());
        let listening = server.stdout().wait_for(BOUND, listens);
        listening.with_context(|| format!("iperf3 does not listen: {}", server.stderr().text()))?;
        let service = Single {
            name: "streams",
            number: 10,
            node_port: NODE_PORT,
            target: TARGET,
            backend: pod.addresses(),
            node: "far",
        };
        let folder = tempfile::tempdir()?;
        manifests::write(folder.path(), "services.yaml", &manifests::singles([service]))?;
        let options = AgentOptions::manifests(folder.path());
        let agents = cluster.nodes().iter().map(|node| node.start_agent(&options));
        Ok(Self {
            _agents: agents.collect::<anyhow::Result<_>>()?,
            _server: server,
            _manifests: folder,
            cluster,
        })
    }

    pub(crate) const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// One stream.
    pub(crate) fn run(&self, way: Way, family: Family, stream: &Stream) -> anyhow::Result<Sent> {
        let to: SocketAddr = match way {
            Way::Routing => of(family, self.cluster.pod("server").sockets(TARGET)),
            Way::NodePort => of(family, self.cluster.node("between").host().sockets(NODE_PORT)),
        };
        let Stream {
            seconds,
            cpu,
            reverse,
        } = stream;
        let (address, port, time) = (to.ip().to_string(), to.port().to_string(), seconds.to_string());
        let cpus = format!("{cpu},{cpu}");
        let mut arguments = vec!["--json", "--client", &address, "--port", &port];
        arguments.extend(["--time", &time, "--affinity", &cpus]);
        if *reverse {
            arguments.push("--reverse");
        }
        let client = self.cluster.client("client");
        let sender = if *reverse {
            self.cluster.pod("server")
        } else {
            client
        };
        let before = duplicate_sacks(sender)?;
        let mut process = client.run_program(Via::Packet, "iperf3".as_ref(), &arguments)?;
        process.wait(BOUND + Duration::from_secs((*seconds).into()))?;
        let run = Run::read(&process.stdout().text()).with_context(|| format!("{} to {to}", way.name()))?;
        Ok(Sent {
            run,
            needlessly: duplicate_sacks(sender)? - before,
        })
    }

    /// What the nodes' programs dropped.
    pub(crate) fn dropped(&self) -> anyhow::Result<Vec<String>> {
        let counters = Pinned::open(self.cluster.node("between").pin_dir())?.counters()?;
        ensure!(
            counters.iter().any(|(.., count)| *count > 0),
            "kproxy has seen no packets"
        );
        let dropped = counters
            .into_iter()
            .filter(|(_, counter, count)| *count > 0 && counter.name().contains("dropped"));
        Ok(dropped
            .map(|(door, counter, count)| format!("{} {} {count}", door.name(), counter.name()))
            .collect())
    }
}

/// How many duplicate SACKs a host has received so far.
fn duplicate_sacks(host: &Host) -> anyhow::Result<u64> {
    const COUNTER: &str = "TcpExtTCPDSACKRecv";
    let nstat = || {
        Command::new("nstat")
            .args(["-a", "-s", "-z", "--json", COUNTER])
            .output()
    };
    let output = host
        .namespace()
        .run(nstat)?
        .context("cannot run `nstat`; install it: apt-get install iproute2")?;
    let said: Value = serde_json::from_slice(&output.stdout).context("nstat said no JSON")?;
    let count = said["kernel"][COUNTER].as_u64();
    count.with_context(|| format!("nstat said nothing of {COUNTER}: {said}"))
}

/// What goes past the `NodePort` takes the same way as what goes by it, there and back.
fn lead_through_the_node(cluster: &Cluster) -> anyhow::Result<()> {
    let [between, far] = ["between", "far"].map(|name| cluster.node(name));
    let client = cluster.client("client");
    // The node would tell both of the shorter way.
    let silent = ["all", "eth0"].map(|device| (format!("net/ipv4/conf/{device}/send_redirects"), "0"));
    between.host().namespace().set_sysctls(&silent)?;
    let deaf = [
        "net/ipv4/conf/all/accept_redirects",
        "net/ipv6/conf/all/accept_redirects",
        "net/ipv6/conf/eth0/accept_redirects",
    ];
    let deaf = deaf.map(|path| (path.to_owned(), "0"));
    client.namespace().set_sysctls(&deaf)?;
    far.host().namespace().set_sysctls(&deaf)?;
    let ways = far.pod_ranges().iter().zip(between.host().addresses().both());
    let there: Vec<_> = ways
        .map(|(range, via)| format!("route add {range} via {via}"))
        .collect();
    ip::batch(Some(client.namespace().name()), &there)?;
    let ways = client
        .addresses()
        .both()
        .into_iter()
        .zip(between.host().addresses().both());
    let back: Vec<_> = ways
        .map(|(client, via)| format!("route add {client} via {via}"))
        .collect();
    ip::batch(Some(far.host().namespace().name()), &back)
}
