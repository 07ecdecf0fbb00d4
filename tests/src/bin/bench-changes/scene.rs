//! Two nodes with a pod each, a client outside, and what is changed about the first node.

use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Host, Load, Process, Via, ip};
use kproxy_tests::echo::{Mode, Options};
use kproxy_tests::manifests::{self, Single};
use tempfile::TempDir;

use crate::probe;

const TARGET: u16 = 8080;
const ADDRESS: [&str; 2] = ["172.30.0.50", "fd30::50"];
const NIC: [&str; 2] = ["172.31.0.1", "fd31::1"];
const BACK: [&str; 2] = ["172.32.0.1", "fd32::1"];

/// Link addresses of a new device, and of its other end.
const OURS: &str = "02:00:00:00:31:01";
const THEIRS: &str = "02:00:00:00:31:02";

/// What happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    AddressAdded,
    AddressRemoved,
    NicAdded,
    RouteChanged,
    PodDeviceReplaced,
}

impl Change {
    pub(crate) const ALL: [Self; 5] = [
        Self::AddressAdded,
        Self::AddressRemoved,
        Self::NicAdded,
        Self::RouteChanged,
        Self::PodDeviceReplaced,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AddressAdded => "address added",
            Self::AddressRemoved => "address removed",
            Self::NicAdded => "NIC added",
            Self::RouteChanged => "route changed",
            Self::PodDeviceReplaced => "pod's device replaced",
        }
    }
}

/// Everything that runs. Dropped in this order.
pub(crate) struct Scene {
    _agents: Vec<Agent>,
    _servers: Vec<Process>,
    _manifests: TempDir,
    cluster: Cluster,
}

impl Scene {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let cluster = Cluster::builder("changes")
            .node("a", |node| node.pod("near"))
            .node("b", |node| node.pod("far"))
            .client_outside("client")
            .build()?;
        second_cable(&cluster)?;
        let serve = |name| cluster.pod(name).serve(Via::Packet, &[TARGET], &[TARGET]);
        let servers = ["near", "far"]
            .map(serve)
            .into_iter()
            .collect::<anyhow::Result<_>>()?;
        let services = ["near", "far"].map(|name| service(&cluster, name));
        let folder = tempfile::tempdir()?;
        manifests::write(folder.path(), "services.yaml", &manifests::singles(services))?;
        let options = AgentOptions::manifests(folder.path());
        let agents = cluster.nodes().iter().map(|node| node.start_agent(&options));
        Ok(Self {
            _agents: agents.collect::<anyhow::Result<_>>()?,
            _servers: servers,
            _manifests: folder,
            cluster,
        })
    }

    /// Requests that none of the changes concerns.
    pub(crate) fn load(&self) -> anyhow::Result<Load> {
        let [to, _] = self.node().sockets(service(&self.cluster, "far").node_port);
        let options = Options::to(to)
            .udp(Mode::Sendto)
            .interval(Duration::from_millis(2));
        self.client().load(Via::Packet, &options, 1)
    }

    /// Makes a change, measures, and takes it back. A time for each family.
    pub(crate) fn measure(&self, change: Change) -> anyhow::Result<Vec<Duration>> {
        match change {
            Change::AddressAdded => {
                self.address("add")?;
                let times = self.until_answered(ADDRESS);
                self.address("delete")?;
                times
            }
            Change::AddressRemoved => {
                self.address("add")?;
                self.until_answered(ADDRESS)?;
                self.address("delete")?;
                let begin = Instant::now();
                together(self.at(ADDRESS, "near"), |to| {
                    probe::until(self.client(), begin, to, probe::AT_LAST, |answer| {
                        answer.is_none()
                    })
                })
            }
            Change::NicAdded => {
                self.add_nic()?;
                let times = self.until_answered(NIC);
                self.on_node(&["link delete nic1".to_owned()])?;
                times
            }
            Change::RouteChanged => {
                let ranges = self.cluster.node("b").pod_ranges();
                let by = |ways: [IpAddr; 2]| {
                    let lines = ranges
                        .iter()
                        .zip(ways)
                        .map(|(range, via)| format!("route replace {range} via {via}"));
                    lines.collect::<Vec<_>>()
                };
                self.on_node(&by(["172.32.0.2", "fd32::2"].map(parsed)))?;
                let begin = Instant::now();
                let own = self.node().addresses().both();
                let port = service(&self.cluster, "far").node_port;
                let times = together(own.into_iter().zip(BACK.map(parsed)), |(own, back)| {
                    probe::until(
                        self.client(),
                        begin,
                        (own, port).into(),
                        probe::SOON,
                        move |answer| answer.is_some_and(|answer| answer.peer.ip().to_canonical() == back),
                    )
                });
                self.on_node(&by(self.cluster.node("b").host().addresses().both()))?;
                times
            }
            Change::PodDeviceReplaced => {
                self.replace_device()?;
                let begin = Instant::now();
                // What the pod asks for has to be translated at the new device.
                let pod = self.cluster.pod("near");
                let to = service(&self.cluster, "far").cluster_ips().into_iter();
                together(to, |to| {
                    probe::until(pod, begin, to, probe::SOON, |answer| answer.is_some())
                })
            }
        }
    }

    fn node(&self) -> &Host {
        self.cluster.node("a").host()
    }

    fn client(&self) -> &Host {
        self.cluster.client("client")
    }

    fn on_node(&self, lines: &[String]) -> anyhow::Result<()> {
        ip::batch(Some(self.node().namespace().name()), lines)
    }

    fn at(&self, addresses: [&str; 2], name: &str) -> impl Iterator<Item = SocketAddr> {
        let port = service(&self.cluster, name).node_port;
        addresses
            .into_iter()
            .map(move |address| (parsed(address), port).into())
    }

    fn until_answered(&self, addresses: [&str; 2]) -> anyhow::Result<Vec<Duration>> {
        let begin = Instant::now();
        together(self.at(addresses, "near"), |to| {
            probe::until(self.client(), begin, to, probe::SOON, |answer| answer.is_some())
        })
    }

    fn address(&self, what: &str) -> anyhow::Result<()> {
        let nodad = if what == "add" {
            " nodad preferred_lft 0"
        } else {
            ""
        };
        let [v4, v6] = ADDRESS;
        self.on_node(&[
            format!("address {what} {v4}/24 dev eth0"),
            format!("address {what} {v6}/64 dev eth0{nodad}"),
        ])
    }

    fn add_nic(&self) -> anyhow::Result<()> {
        let client = self.client().namespace().name();
        let [v4, v6] = NIC;
        // A packet that a device drops before it is ready would cost a second, if it was one that looks for a neighbour.
        let lines = [
            "link set nic1 up".to_owned(),
            "address add 172.31.0.2/24 dev nic1".to_owned(),
            "address add fd31::2/64 dev nic1 nodad".to_owned(),
            format!("neigh add {v4} lladdr {OURS} dev nic1"),
            format!("neigh add {v6} lladdr {OURS} dev nic1"),
        ];
        self.on_node(&[format!(
            "link add nic1 address {OURS} type veth peer name nic1 address {THEIRS} netns {client}"
        )])?;
        ip::batch(Some(client), &lines)?;
        self.on_node(&[
            "link set nic1 up".to_owned(),
            format!("address add {v4}/24 dev nic1"),
            format!("address add {v6}/64 dev nic1 nodad"),
            format!("neigh add 172.31.0.2 lladdr {THEIRS} dev nic1"),
            format!("neigh add fd31::2 lladdr {THEIRS} dev nic1"),
        ])
    }

    /// As the network plug-in does it for a sandbox that is made anew.
    fn replace_device(&self) -> anyhow::Result<()> {
        let pod = self.cluster.pod("near");
        let (device, name) = (pod.device(), pod.namespace().name());
        self.on_node(&[
            format!("link delete {device}"),
            format!(
                "link add {device} address {OURS} type veth peer name eth0 address {THEIRS} netns {name}"
            ),
            format!("link set {device} addrgenmode none"),
            format!("link set {device} up"),
            format!("address add fe80::1/64 dev {device} nodad"),
            format!("route add {}/32 dev {device} scope link", pod.v4()),
            format!("route add {}/128 dev {device}", pod.v6()),
            format!("neigh add {} lladdr {THEIRS} dev {device}", pod.v4()),
            format!("neigh add {} lladdr {THEIRS} dev {device}", pod.v6()),
        ])?;
        let sysctls = [
            (format!("net/ipv4/conf/{device}/proxy_arp"), "1"),
            (format!("net/ipv4/neigh/{device}/proxy_delay"), "0"),
        ];
        self.node().namespace().set_sysctls(&sysctls)?;
        let lines = [
            "link set eth0 up".to_owned(),
            format!("address add {}/32 dev eth0", pod.v4()),
            format!("address add {}/128 dev eth0 nodad", pod.v6()),
            "route add 169.254.1.1 dev eth0 scope link".to_owned(),
            "route add default via 169.254.1.1 dev eth0".to_owned(),
            "route add default via fe80::1 dev eth0".to_owned(),
            format!("neigh add 169.254.1.1 lladdr {OURS} dev eth0"),
            format!("neigh add fe80::1 lladdr {OURS} dev eth0"),
        ];
        ip::batch(Some(name), &lines)
    }
}

/// Measures both families at the same time.
fn together<T: Send>(
    of_both: impl Iterator<Item = T>,
    measure: impl Fn(T) -> anyhow::Result<Duration> + Sync,
) -> anyhow::Result<Vec<Duration>> {
    let measure = &measure;
    thread::scope(|scope| {
        let threads: Vec<_> = of_both.map(|one| scope.spawn(move || measure(one))).collect();
        let joined = threads.into_iter().map(|thread| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        joined.collect()
    })
}

/// Another way from the first node to the second one.
fn second_cable(cluster: &Cluster) -> anyhow::Result<()> {
    // Flows keep the address that the node has given them, whichever way their packets go now.
    let loose = ["all", "default", "eth0"].map(|device| (format!("net/ipv4/conf/{device}/rp_filter"), "2"));
    cluster.node("b").host().namespace().set_sysctls(&loose)?;
    let [here, there] = ["a", "b"].map(|name| cluster.node(name).host().namespace().name());
    let [v4, v6] = BACK;
    let lines = [
        format!("link add back type veth peer name back netns {there}"),
        "link set back up".to_owned(),
        format!("address add {v4}/24 dev back"),
        format!("address add {v6}/64 dev back nodad"),
    ];
    ip::batch(Some(here), &lines)?;
    let lines = [
        "link set back up",
        "address add 172.32.0.2/24 dev back",
        "address add fd32::2/64 dev back nodad",
    ];
    ip::batch(Some(there), &lines.map(str::to_owned))
}

fn parsed(address: &str) -> IpAddr {
    address
        .parse()
        .unwrap_or_else(|_| unreachable!("{address} is written here"))
}

fn service(cluster: &Cluster, name: &str) -> Single<'static> {
    let (name, number, node_port, node) = match name {
        "near" => ("near", 10, 30_080, "a"),
        _ => ("far", 11, 30_081, "b"),
    };
    Single {
        name,
        number,
        node_port,
        target: TARGET,
        backend: cluster.pod(name).addresses(),
        node,
    }
}
