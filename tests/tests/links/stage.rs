//! Two nodes, one of them with an agent, a service with a backend on each, and clients: a pod of the first node, and one
//! outside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use kproxy_tests::cluster::{Addresses, Agent, AgentOptions, Cluster, Host, Process, Via};
use kproxy_tests::echo::{Mode, Options, Outcome, Protocol, Report};
use kproxy_tests::offloads::{self, Offloads};
use kproxy_tests::patience::patience;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::network::{End, Kind};

/// Where the pods listen, by every protocol.
const TARGET: u16 = 8080;
/// Where the services listen.
const PORT: u16 = 80;

pub(crate) const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a change may take to show.
const BOUND: Duration = Duration::from_secs(30);

/// A service with one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Service {
    /// Its name, and that of its pod.
    name: &'static str,
    node: &'static str,
    number: u8,
}

/// The backend is on the node that is asked.
const NEAR: Service = Service {
    name: "near",
    node: "a",
    number: 1,
};

/// The backend is on the other node.
const FAR: Service = Service {
    name: "far",
    node: "b",
    number: 2,
};

impl Service {
    const ALL: [Self; 2] = [NEAR, FAR];

    fn node_port(self) -> u16 {
        30_080 + u16::from(self.number)
    }

    fn addresses(self) -> Addresses {
        Addresses {
            v4: Ipv4Addr::new(10, 96, 0, self.number),
            v6: Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, self.number.into()),
        }
    }
}

/// A request, and what must come of it.
#[derive(Debug)]
struct Ask {
    to: SocketAddr,
    /// Who answers.
    by: Service,
    /// Whom that sees.
    seen: IpAddr,
}

/// Everything that runs. Dropped in this order.
pub(crate) struct Stage {
    agent: Agent,
    _servers: Vec<Process>,
    _folder: TempDir,
    pub(crate) cluster: Cluster,
}

impl Stage {
    /// Starts everything, with a network of each kind.
    pub(crate) fn new(name: &str) -> Self {
        let cluster = cluster(name);
        Self::on(cluster, "auto")
    }

    /// The same with XDP, where packets have their checksums, and their tags in them.
    pub(crate) fn with_xdp(name: &str) -> Self {
        let cluster = cluster(name);
        offloads::set(&cluster, Offloads::Off).unwrap();
        let ends = End::ALL.map(|end| end.host(&cluster).namespace());
        for namespace in ends.into_iter().chain([cluster.switch()]) {
            let cables = || {
                let devices = offloads::devices()?;
                let cables = devices
                    .iter()
                    .filter(|name| *name == "eth0" || name.starts_with("port"));
                cables
                    .into_iter()
                    .try_for_each(|name| offloads::set_features(name, &["rxvlan", "txvlan"], "off"))
            };
            namespace.run(cables).unwrap().unwrap();
        }
        Self::on(cluster, "generic")
    }

    fn on(cluster: Cluster, xdp: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_manifests(folder.path(), &cluster);
        let serve = |service: Service| {
            let pod = cluster.pod(service.name);
            pod.serve_everything(Via::Socket, TARGET).unwrap()
        };
        let servers = Service::ALL.map(serve).into();
        let arguments = ["--nodeport-addresses=0.0.0.0/0,::/0", "--xdp", xdp];
        let agent = cluster.node("a").start_agent(&AgentOptions {
            arguments: arguments.map(str::to_owned).into(),
            ..AgentOptions::manifests(folder.path())
        });
        Self {
            agent: agent.unwrap(),
            _servers: servers,
            _folder: folder,
            cluster,
        }
    }

    /// The client outside asks for both services at the node's address on the network, and at that on the cable. Answers
    /// what was wrong.
    pub(crate) fn ask_from_outside(&self, kind: Kind, protocol: Protocol) -> Vec<String> {
        let networks = if kind == Kind::Veth {
            vec![kind]
        } else {
            vec![kind, Kind::Veth]
        };
        let asks = networks
            .iter()
            .flat_map(|by| self.node_ports(*by, kind))
            .collect();
        ask(kind, End::Client.host(&self.cluster), Via::Packet, protocol, asks)
    }

    /// Requests to NodePorts by one network, while pods of the other node are reached by another.
    fn node_ports(&self, by: Kind, led: Kind) -> Vec<Ask> {
        let on = |kind: Kind, end| kind.addresses(end, &self.cluster).both();
        let ends = on(by, End::Node).into_iter().zip(on(by, End::Client));
        let ends = ends.zip(on(led, End::Node));
        let asks = ends.flat_map(|((node, client), own)| {
            [(NEAR, client), (FAR, own)].map(|(by, seen)| Ask {
                to: (node, by.node_port()).into(),
                by,
                seen,
            })
        });
        asks.collect()
    }

    /// The client outside asks over and over for what is behind the other node, by the VLAN there and back. Answers what was wrong,
    /// also that more than half of the packets have come to the VLAN's own device.
    pub(crate) fn ask_by_tags(&self) -> Vec<String> {
        const TIMES: usize = 20;
        let asks = || {
            let asks = self.node_ports(Kind::Vlan, Kind::Vlan).into_iter();
            asks.filter(|ask| ask.by == FAR)
        };
        let before = self.received_by_the_vlan();
        let asks: Vec<_> = (0..TIMES).flat_map(|_| asks()).collect();
        let packets = asks.len() * 2;
        let client = End::Client.host(&self.cluster);
        let mut wrong = ask(Kind::Vlan, client, Via::Packet, Protocol::Udp, asks);
        let received = self.received_by_the_vlan() - before;
        if received * 2 > packets {
            wrong.push(format!(
                "{received} of {packets} packets came to the VLAN's device"
            ));
        }
        wrong
    }

    /// How many packets the VLAN's device has received.
    fn received_by_the_vlan(&self) -> usize {
        let node = End::Node.host(&self.cluster).namespace();
        let read = || std::fs::read_to_string("/proc/thread-self/net/dev");
        let devices = node.run(read).unwrap().unwrap();
        let line = devices
            .lines()
            .find_map(|line| line.trim().strip_prefix("vlan0:"))
            .unwrap();
        // Bytes come first.
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// A pod of the node asks for both services at their own addresses.
    pub(crate) fn ask_from_a_pod(&self, kind: Kind, protocol: Protocol, via: Via) -> Vec<String> {
        let pod = self.cluster.pod("pod");
        let asks = Service::ALL.into_iter().flat_map(|by| {
            let ends = by.addresses().both().into_iter().zip(pod.addresses().both());
            ends.map(move |(to, seen)| Ask {
                to: (to, PORT).into(),
                by,
                seen,
            })
        });
        ask(kind, pod, via, protocol, asks.collect())
    }

    /// The client outside asks by TCP until everything is answered, or too much time has gone by.
    pub(crate) fn ask_until_answered(&self, kind: Kind) -> Vec<String> {
        let deadline = Instant::now() + patience(BOUND);
        loop {
            let wrong = self.ask_from_outside(kind, Protocol::Tcp);
            if wrong.is_empty() || Instant::now() > deadline {
                return wrong;
            }
        }
    }

    /// What the agent has said and counted, for a test that fails.
    pub(crate) fn remarks(&self) -> String {
        let pinned = kproxy::dataplane::Pinned::open(self.cluster.node("a").pin_dir()).unwrap();
        let counters = pinned.counters().unwrap().into_iter();
        let counted = counters.filter(|(.., count)| *count > 0);
        let words =
            counted.map(|(door, counter, count)| format!("{} {} {count}", door.name(), counter.name()));
        format!("{}\n{}", words.collect::<Vec<_>>().join(", "), self.agent.log())
    }
}

fn cluster(name: &str) -> Cluster {
    let cluster = Cluster::builder(name)
        .node("a", |node| node.pod("near").pod("pod"))
        .node("b", |node| node.pod("far"))
        .client_outside("ext")
        .build()
        .unwrap();
    for kind in Kind::ALL {
        kind.make(&cluster);
    }
    cluster
}

/// Asks one after another; answers what was wrong.
fn ask(kind: Kind, client: &Host, via: Via, protocol: Protocol, asks: Vec<Ask>) -> Vec<String> {
    let options = Options {
        to: asks.iter().map(|ask| ask.to).collect(),
        count: u64::try_from(asks.len()).unwrap(),
        ..Options::to(asks[0].to).timeout(patience(PATIENCE))
    };
    let options = match protocol {
        Protocol::Tcp => options,
        Protocol::Udp => options.udp(Mode::Sendto),
        Protocol::Sctp => options.sctp(),
    };
    let reports = client.ask(via, &options).unwrap();
    assert_eq!(reports.len(), asks.len());
    let pairs = asks.into_iter().zip(reports);
    let wrong = pairs.filter(|(ask, report)| !ask.is_right(report));
    wrong
        .map(|(ask, report)| format!("{kind:?}, {via:?}: {ask:?} came to {report:?}"))
        .collect()
}

impl Ask {
    fn is_right(&self, report: &Report) -> bool {
        let Self { to, by, seen } = self;
        let answer = report.answer.as_ref();
        report.result == Outcome::Ok
            && report.pod() == Some(by.name)
            && report.peer == Some(*to)
            && answer.is_some_and(|answer| answer.peer.ip() == *seen)
    }
}

fn write_manifests(folder: &Path, cluster: &Cluster) {
    let objects = |service: Service| objects(service, cluster.pod(service.name));
    let items: Vec<_> = Service::ALL.into_iter().flat_map(objects).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    std::fs::write(folder.join("services.json"), list.to_string()).unwrap();
}

fn objects(service: Service, pod: &Host) -> Vec<Value> {
    let Service { name, node, .. } = service;
    let node_port = service.node_port();
    let addresses = service.addresses().both();
    let protocols = [("TCP", "tcp"), ("UDP", "udp"), ("SCTP", "sctp")];
    let ports = protocols.map(|(protocol, port)| {
        json!({"name": port, "protocol": protocol, "port": PORT, "targetPort": TARGET, "nodePort": node_port})
    });
    let mut objects = vec![json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "type": "NodePort", "clusterIP": addresses[0], "clusterIPs": addresses,
            "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack", "ports": ports,
        },
    })];
    let targets =
        protocols.map(|(protocol, port)| json!({"name": port, "protocol": protocol, "port": TARGET}));
    for (family, address) in ["IPv4", "IPv6"].into_iter().zip(pod.addresses().both()) {
        objects.push(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{name}-{}", family.to_lowercase()), "namespace": "default",
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": family,
            "ports": targets,
            "endpoints": [{"addresses": [address], "nodeName": node, "conditions": {"ready": true}}],
        }));
    }
    objects
}
