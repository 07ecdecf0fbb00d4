//! Two nodes with a tunnel between them, which is the way to the other node's pods and to a client behind that node.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use kproxy::dataplane::Pinned;
use kproxy_common::Family;
use kproxy_tests::cluster::process::binary;
use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Host, Process, Tunnel, Via, ip, of};
use kproxy_tests::echo::{Mode, Options};
use kproxy_tests::manifests::{self, Single};
use kproxy_tests::patience::patience;
use kproxy_tests::stream::Report;
use tempfile::TempDir;

/// The longest packet in the tunnel.
pub(crate) const TUNNEL: u16 = 1400;
/// The longest packet on a hop behind it: the least that IPv6 allows.
pub(crate) const NARROW: u16 = 1280;

/// Where backends answer, and where they send back streams.
const TARGETS: [u16; 2] = [8080, 8081];
/// Added to a NodePort for streams.
const STREAMS: u16 = 100;
/// Many packets.
const LENGTH: u64 = 2 << 20;
/// On one connection, or from one port.
const REQUESTS: u64 = 5;
/// As long as the answer of a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Against hanging.
const BOUND: Duration = Duration::from_secs(30);

/// The node's ends of the tunnel.
const HERE: [&str; 2] = ["172.33.0.1", "fd33::1"];
const THERE: [&str; 2] = ["172.33.0.2", "fd33::2"];

/// Ways of requests through the first node, with a NodePort for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// Out of the tunnel, to a pod of the node.
    Here,
    /// Out of the tunnel and back into it, to a pod of the other node.
    Through,
    /// From the switch into the tunnel, to a pod of the other node.
    In,
    /// Out of the tunnel to the switch.
    Out,
}

impl Walk {
    pub(crate) const ALL: [Self; 4] = [Self::Here, Self::Through, Self::In, Self::Out];

    /// Who serves, and on which node.
    const fn backend(self) -> (&'static str, &'static str) {
        match self {
            Self::Here => ("near", "a"),
            Self::Through | Self::In => ("far", "b"),
            Self::Out => ("beside", "elsewhere"),
        }
    }

    const fn client(self) -> &'static str {
        match self {
            Self::Here | Self::Through | Self::Out => "behind",
            Self::In => "beside",
        }
    }
}

/// Everything that runs. Dropped in this order.
pub(crate) struct Stage {
    _agents: Vec<Agent>,
    _servers: Vec<Process>,
    _manifests: TempDir,
    _tunnel: Tunnel,
    cluster: Cluster,
}

impl Stage {
    pub(crate) fn new(name: &str) -> Self {
        let cluster = Cluster::builder(name)
            .node("a", |node| node.pod("near"))
            .node("b", |node| node.pod("far"))
            .client_outside("behind")
            .client_outside("beside")
            .build()
            .unwrap();
        let tunnel = dig(&cluster);
        let servers = ["near", "far", "beside"].map(|name| serve(host(&cluster, name)));
        let services = Walk::ALL.into_iter().flat_map(|walk| services(&cluster, walk));
        let folder = tempfile::tempdir().unwrap();
        manifests::write(folder.path(), "services.yaml", &manifests::singles(services)).unwrap();
        let options = AgentOptions::manifests(folder.path());
        let agents = cluster
            .nodes()
            .iter()
            .map(|node| node.start_agent(&options).unwrap());
        Self {
            _agents: agents.collect(),
            _servers: servers.into_iter().flatten().collect(),
            _manifests: folder,
            _tunnel: tunnel,
            cluster,
        }
    }

    /// Holds that requests by TCP and UDP are answered by the backend, which sees whom it should.
    pub(crate) fn assert_answered(&self, walk: Walk, family: Family) {
        let to = self.address(walk, family, 0);
        let all = [
            Options::to(to),
            Options::to(to).udp(Mode::Connect),
            Options::to(to).udp(Mode::Sendto),
        ];
        for options in all {
            let options = options.count(REQUESTS).keep().timeout(PATIENCE);
            for report in self.client(walk).ask(Via::Packet, &options).unwrap() {
                let seen = report
                    .answer
                    .as_ref()
                    .map(|answer| answer.peer.ip().to_canonical());
                assert!(
                    report.pod() == Some(walk.backend().0) && seen == Some(self.seen(walk, family)),
                    "{walk:?} {family}: {report:?}; {}",
                    self.counters()
                );
            }
        }
    }

    /// Sends a stream to the backend and back.
    pub(crate) fn stream(&self, walk: Walk, family: Family) {
        let to = self.address(walk, family, STREAMS);
        let program = binary("stream", "KPROXY_STREAM", "kproxy-tests").unwrap();
        let arguments = ["travel", &to.to_string(), &LENGTH.to_string()];
        let mut process = self
            .client(walk)
            .run_program(Via::Packet, &program, &arguments)
            .unwrap();
        let status = process.wait(patience(BOUND)).unwrap();
        let words = process.stderr().text();
        assert!(
            status.success(),
            "{walk:?} {family}: {words}; {}",
            self.counters()
        );
        let report: Report = serde_json::from_str(&process.stdout().text()).unwrap();
        assert_eq!(
            report.seen.ip().to_canonical(),
            self.seen(walk, family),
            "{walk:?} {family}"
        );
    }

    /// Makes the hops narrow behind the tunnel, to the pod and to the client.
    pub(crate) fn narrow(&self) {
        let (node, far, behind) = (
            self.cluster.node("b").host(),
            self.cluster.pod("far"),
            self.cluster.client("behind"),
        );
        let lines = [
            format!(
                "route replace {}/32 dev {} scope link mtu lock {NARROW}",
                far.v4(),
                far.device()
            ),
            format!(
                "route replace {}/128 dev {} mtu lock {NARROW}",
                far.v6(),
                far.device()
            ),
            format!("route replace {}/32 dev eth0 mtu lock {NARROW}", behind.v4()),
            format!("route replace {}/128 dev eth0 mtu lock {NARROW}", behind.v6()),
        ];
        ip::batch(Some(node.namespace().name()), &lines).unwrap();
    }

    /// Holds that the client has learned how long its packets may be.
    pub(crate) fn assert_knows(&self, walk: Walk, family: Family, mtu: u16) {
        let output = Command::new("ip")
            .args(["-netns", self.client(walk).namespace().name(), "route", "get"])
            .arg(self.address(walk, family, 0).ip().to_string())
            .output()
            .unwrap();
        let route = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            route.contains(&format!("mtu {mtu}")),
            "{walk:?} {family}: {route}"
        );
    }

    /// How often the first node's programs did what these words begin with, or contain.
    pub(crate) fn counted(&self, words: &str) -> u64 {
        let counted = self.all().into_iter().filter(|(name, _)| name.contains(words));
        counted.map(|(_, count)| count).sum()
    }

    /// All that they did, for a test that fails.
    pub(crate) fn counters(&self) -> String {
        let counted = self.all().into_iter().filter(|(_, count)| *count > 0);
        let words = counted.map(|(name, count)| format!("{name} {count}"));
        words.collect::<Vec<_>>().join(", ")
    }

    fn all(&self) -> Vec<(String, u64)> {
        let pinned = Pinned::open(self.cluster.node("a").pin_dir()).unwrap();
        let counters = pinned.counters().unwrap().into_iter();
        counters
            .map(|(door, counter, count)| (format!("{} {}", door.name(), counter.name()), count))
            .collect()
    }

    fn client(&self, walk: Walk) -> &Host {
        self.cluster.client(walk.client())
    }

    /// Where the service is asked: at the node's end of the tunnel by who is behind it.
    fn address(&self, walk: Walk, family: Family, more: u16) -> SocketAddr {
        let address = match walk {
            Walk::Here | Walk::Through | Walk::Out => of(family, HERE).parse().unwrap(),
            Walk::In => of(family, self.cluster.node("a").host().addresses().both()),
        };
        let [service, _] = services(&self.cluster, walk);
        (address, service.node_port + more).into()
    }

    /// Whom the backend takes for the client: the way towards it says by which address the node speaks.
    fn seen(&self, walk: Walk, family: Family) -> IpAddr {
        match walk {
            Walk::Here => of(family, self.client(walk).addresses().both()),
            Walk::Through | Walk::In => of(family, HERE).parse().unwrap(),
            Walk::Out => of(family, self.cluster.node("a").host().addresses().both()),
        }
    }
}

fn dig(cluster: &Cluster) -> Tunnel {
    let [a, b] = ["a", "b"].map(|name| cluster.node(name));
    let behind = cluster.client("behind");
    let end = |[v4, v6]: [&str; 2], ranges: &[String; 2]| {
        vec![
            format!("link set tun0 mtu {TUNNEL} txqueuelen 5000 up"),
            format!("address add {v4}/24 dev tun0"),
            format!("address add {v6}/64 dev tun0 nodad"),
            format!("route replace {} dev tun0", ranges[0]),
            format!("route replace {} dev tun0", ranges[1]),
        ]
    };
    let mut here = end(HERE, b.pod_ranges());
    here.extend([
        format!("route add {}/32 dev tun0", behind.v4()),
        format!("route add {}/128 dev tun0", behind.v6()),
    ]);
    let there = end(THERE, a.pod_ranges());
    let ends = [a, b].map(|node| node.host().namespace());
    let tunnel = Tunnel::new(ends, [&here, &there]).unwrap();
    let ways = HERE.into_iter().zip(b.host().addresses().both());
    let ways: Vec<_> = ways
        .map(|(to, via)| format!("route add {to} via {via}"))
        .collect();
    ip::batch(Some(behind.namespace().name()), &ways).unwrap();
    tunnel
}

fn serve(host: &Host) -> [Process; 2] {
    let [answers, streams] = TARGETS;
    let program = binary("stream", "KPROXY_STREAM", "kproxy-tests").unwrap();
    let streams = host
        .run_program(Via::Packet, &program, &["serve", &streams.to_string()])
        .unwrap();
    let listens = streams.stdout().wait_for(patience(BOUND), |_| Some(()));
    assert!(listens.is_some(), "{}", streams.stderr().text());
    [host.serve(Via::Packet, &[answers], &[answers]).unwrap(), streams]
}

/// The service of a walk, for requests and for streams.
fn services(cluster: &Cluster, walk: Walk) -> [Single<'static>; 2] {
    let (names, number, node_port) = match walk {
        Walk::Here => (["here", "here-streams"], 10, 30_001),
        Walk::Through => (["through", "through-streams"], 20, 30_002),
        Walk::In => (["in", "in-streams"], 30, 30_003),
        Walk::Out => (["out", "out-streams"], 40, 30_004),
    };
    let (backend, node) = walk.backend();
    let service = |name, number, node_port, target| Single {
        name,
        number,
        node_port,
        target,
        backend: host(cluster, backend).addresses(),
        node,
    };
    [
        service(names[0], number, node_port, TARGETS[0]),
        service(names[1], number + 1, node_port + STREAMS, TARGETS[1]),
    ]
}

fn host<'a>(cluster: &'a Cluster, name: &str) -> &'a Host {
    let client = cluster.clients().iter().find(|client| client.name() == name);
    client.unwrap_or_else(|| cluster.pod(name))
}
