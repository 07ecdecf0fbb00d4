//! Two nodes, a client outside, and a service for each walk, with one backend that sends back what it gets.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kproxy::dataplane::Pinned;
use kproxy_common::Family;
use kproxy_tests::cluster::process::binary;
use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Cni, Host, Process, Via, ip, layout, of};
use kproxy_tests::manifests::{self, Single};
use kproxy_tests::patience::patience;
use kproxy_tests::stream::Report;
use nix::sched::{CpuSet, sched_getaffinity};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::tcp;

pub(crate) const OUTSIDE: &str = "ext";
const TARGET: u16 = 8080;
/// A cable from node to node.
pub(crate) const CABLE: &str = "cable";
/// Against hanging; a stream that stands still ends by itself.
const BOUND: Duration = Duration::from_mins(2);
/// As much is on its way as queues of the kernel hold, which otherwise drop what a fast sender sends
/// (`net.core.netdev_max_backlog`: 1000 packets), and nothing is sent again because an answer takes long on a busy machine.
const SETTINGS: [(&str, &str); 2] = [
    ("net/ipv4/tcp_wmem", "4096 131072 524288"),
    ("net/ipv4/tcp_early_retrans", "0"),
];

/// The walks of ARCHITECTURE.md, each with a backend of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// A pod's socket, a pod of the other node.
    Socket,
    /// A pod's packets, a pod of the other node.
    Pod,
    /// A pod's packets, the pod itself.
    PodHairpin,
    /// A client outside, a pod of the node.
    Here,
    /// A client outside, a process of the node.
    Node,
    /// A client outside, a pod of the other node.
    Elsewhere,
    /// A client outside, itself.
    Hairpin,
}

impl Walk {
    pub(crate) const ALL: [Self; 7] = [
        Self::Socket,
        Self::Pod,
        Self::PodHairpin,
        Self::Here,
        Self::Node,
        Self::Elsewhere,
        Self::Hairpin,
    ];

    /// The host that serves, and its node.
    const fn backend(self) -> (&'static str, &'static str) {
        match self {
            Self::Socket | Self::Pod | Self::Elsewhere => ("far", "b"),
            Self::PodHairpin => ("client", "a"),
            Self::Here => ("near", "a"),
            Self::Node => ("a", "a"),
            Self::Hairpin => (OUTSIDE, "elsewhere"),
        }
    }

    const fn client(self) -> (&'static str, Via) {
        match self {
            Self::Socket => ("client", Via::Socket),
            Self::Pod | Self::PodHairpin => ("client", Via::Packet),
            Self::Here | Self::Node | Self::Elsewhere | Self::Hairpin => (OUTSIDE, Via::Packet),
        }
    }
}

/// Everything that runs. Dropped in this order.
pub(crate) struct Stage {
    _agents: Vec<Agent>,
    _servers: Vec<Process>,
    _manifests: TempDir,
    cpu: String,
    cni: Cni,
    pub(crate) cluster: Cluster,
}

impl Stage {
    pub(crate) fn new(name: &str, cni: Cni) -> anyhow::Result<Self> {
        Self::with_arguments(name, cni, &[])
    }

    /// With agents that are told more.
    pub(crate) fn with_arguments(name: &str, cni: Cni, arguments: &[&str]) -> anyhow::Result<Self> {
        let cpu = cpu()?.to_string();
        let cluster = Cluster::builder(name)
            .cni(cni)
            .node("a", |node| node.pod("client").pod("near"))
            .node("b", |node| node.pod("far"))
            .client_outside(OUTSIDE)
            .build()?;
        let hosts = ["client", "near", "far", "a", OUTSIDE].map(|name| host(&cluster, name));
        let settings = SETTINGS.map(|(path, value)| (path.to_owned(), value));
        let program = program()?;
        let serve = |host: &Host| -> anyhow::Result<Process> {
            host.namespace().set_sysctls(&settings)?;
            let arguments = ["--cpu", &cpu, "serve", &TARGET.to_string()];
            let server = host.run_program(Via::Packet, program.as_ref(), &arguments)?;
            let listens = server.stdout().wait_for(patience(BOUND), |_| Some(()));
            listens.with_context(|| format!("{}: {}", host.name(), server.stderr().text()))?;
            Ok(server)
        };
        let servers = hosts.into_iter().map(serve).collect::<anyhow::Result<_>>()?;
        let folder = tempfile::tempdir()?;
        let services = Walk::ALL.map(|walk| service(&cluster, walk));
        manifests::write(folder.path(), "services.yaml", &manifests::singles(services))?;
        let options = AgentOptions {
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            ..AgentOptions::manifests(folder.path())
        };
        let agents = cluster.nodes().iter().map(|node| node.start_agent(&options));
        Ok(Self {
            _agents: agents.collect::<anyhow::Result<_>>()?,
            _servers: servers,
            _manifests: folder,
            cpu,
            cni,
            cluster,
        })
    }

    /// Sends a stream there and back; nothing may be lost, and the backend must see whom it should.
    pub(crate) fn travel(&self, walk: Walk, family: Family, length: u64) -> anyhow::Result<Report> {
        let (client, via) = walk.client();
        let client = host(&self.cluster, client);
        let ends = [client, host(&self.cluster, walk.backend().0)];
        let before = tcp::lost(&ends)?;
        let to = self.address(walk, family);
        let arguments = ["--cpu", &self.cpu, "travel", &to.to_string(), &length.to_string()];
        let mut process = client.run_program(via, program()?.as_ref(), &arguments)?;
        let status = process.wait(patience(BOUND))?;
        ensure!(status.success(), "to {to}: {}", process.stderr().text());
        let report: Report = serde_json::from_str(&process.stdout().text())?;
        let seen = report.seen.ip().to_canonical();
        let expected = self.seen(walk, family);
        ensure!(seen == expected, "the backend saw {seen} instead of {expected}");
        let lost = tcp::lost(&ends)? - before;
        ensure!(lost <= 0, "{lost} segments were lost");
        Ok(report)
    }

    fn address(&self, walk: Walk, family: Family) -> SocketAddr {
        let service = service(&self.cluster, walk);
        match walk {
            Walk::Socket | Walk::Pod | Walk::PodHairpin => of(family, service.cluster_ips()),
            Walk::Here | Walk::Node | Walk::Elsewhere | Walk::Hairpin => {
                of(family, self.cluster.node("a").host().sockets(service.node_port))
            }
        }
    }

    /// Whom the backend takes for the client.
    fn seen(&self, walk: Walk, family: Family) -> IpAddr {
        match walk {
            Walk::Socket | Walk::Pod | Walk::Here | Walk::Node => {
                of(family, host(&self.cluster, walk.client().0).addresses().both())
            }
            Walk::PodHairpin => self.address(walk, family).ip(),
            // The way to pods elsewhere may be another than the one to clients.
            Walk::Elsewhere if self.cni == Cni::Vxlan => of(family, layout::overlay(1).both()),
            Walk::Elsewhere | Walk::Hairpin => of(family, self.cluster.node("a").host().addresses().both()),
        }
    }

    /// How many packets that came in by a device of the node that clients ask have met an end by XDP, as the driver counts them:
    /// `tx` or `redirect`.
    pub(crate) fn counted_by_xdp(&self, device: &str, end: &str) -> anyhow::Result<u64> {
        let node = self.cluster.node("a").host().namespace();
        let output = node.run(|| Command::new("ethtool").args(["-S", device]).output())??;
        let text = String::from_utf8(output.stdout)?;
        let counters = text.lines().filter_map(|line| line.trim().split_once(": "));
        let suffix = format!("_xdp_{end}");
        let counted = counters.filter(|(name, _)| name.starts_with("rx_") && name.ends_with(&suffix));
        counted.map(|(_, count)| Ok(count.parse::<u64>()?)).sum()
    }

    /// Lays a cable from node to node, by which they reach each other from here on; clients outside come by the switch still.
    pub(crate) fn lay_cable(&self) -> anyhow::Result<()> {
        let [here, there] = ["a", "b"].map(|name| self.cluster.node(name));
        let other = there.host().namespace().name();
        let mut lines = vec![format!(
            "link add {CABLE} type veth peer name {CABLE} netns {other}"
        )];
        lines.extend(end_of_cable(1));
        let ways = there.pod_ranges().iter().zip(["172.32.0.2", "fd32::2"]);
        let own = here.host().addresses().both();
        let ways = ways.zip(own);
        lines.extend(
            ways.map(|((to, via), own)| format!("route replace {to} via {via} dev {CABLE} src {own}")),
        );
        ip::batch(Some(here.host().namespace().name()), &lines)?;
        let mut lines = end_of_cable(2);
        let ways = own.into_iter().zip(["172.32.0.1", "fd32::1"]);
        lines.extend(ways.map(|(to, via)| format!("route add {to} via {via} dev {CABLE}")));
        ip::batch(Some(other), &lines)?;
        // What comes by the cable may be from anywhere.
        let loose = ["all", CABLE].map(|device| (format!("net/ipv4/conf/{device}/rp_filter"), "2"));
        there.host().namespace().set_sysctls(&loose)
    }

    /// What the nodes' programs dropped.
    pub(crate) fn dropped(&self) -> anyhow::Result<Vec<String>> {
        let counted = self.counted()?.into_iter();
        Ok(counted.filter(|line| line.contains("dropped")).collect())
    }

    /// What the nodes' programs counted, for a test that fails.
    pub(crate) fn counters(&self) -> String {
        self.counted().unwrap_or_default().join(", ")
    }

    fn counted(&self) -> anyhow::Result<Vec<String>> {
        let mut lines = Vec::new();
        for node in self.cluster.nodes() {
            let counters = Pinned::open(node.pin_dir())?.counters()?.into_iter();
            let counted = counters.filter(|(.., count)| *count > 0);
            lines.extend(counted.map(|(door, counter, count)| {
                format!("{} {} {} {count}", node.name(), door.name(), counter.name())
            }));
        }
        Ok(lines)
    }
}

fn end_of_cable(number: u8) -> Vec<String> {
    vec![
        format!("link set {CABLE} up"),
        format!("address add 172.32.0.{number}/24 dev {CABLE}"),
        format!("address add fd32::{number}/64 dev {CABLE} nodad"),
    ]
}

/// Both ends of a stream stay on one CPU: its packets stand in one queue, so that none overtakes another, and tests that run
/// at the same time take turns.
fn cpu() -> anyhow::Result<usize> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let cpus: Vec<_> = (0..CpuSet::count())
        .filter(|cpu| allowed.is_set(*cpu) == Ok(true))
        .collect();
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    Ok(cpus[turn % cpus.len()])
}

fn program() -> anyhow::Result<OsString> {
    Ok(binary("stream", "KPROXY_STREAM", "kproxy-tests")?.into())
}

fn service(cluster: &Cluster, walk: Walk) -> Single<'static> {
    let (name, number, node_port) = match walk {
        Walk::Socket => ("socket", 1, 30_001),
        Walk::Pod => ("pod", 2, 30_002),
        Walk::PodHairpin => ("pod-hairpin", 3, 30_003),
        Walk::Here => ("here", 4, 30_004),
        Walk::Node => ("node", 5, 30_005),
        Walk::Elsewhere => ("elsewhere", 6, 30_006),
        Walk::Hairpin => ("hairpin", 7, 30_007),
    };
    let (backend, node) = walk.backend();
    Single {
        name,
        number,
        node_port,
        target: TARGET,
        backend: host(cluster, backend).addresses(),
        node,
    }
}

fn host<'a>(cluster: &'a Cluster, name: &str) -> &'a Host {
    if name == OUTSIDE {
        return cluster.client(name);
    }
    let node = cluster.nodes().iter().find(|node| node.name() == name);
    node.map_or_else(|| cluster.pod(name), |node| node.host())
}
