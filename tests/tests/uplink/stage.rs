//! Two nodes with a pod each, a client outside, and two services that have a NodePort: one with a backend on the first
//! node, one with a backend on the second.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Cni, Host, Process, Via};
use kproxy_tests::echo::{Mode, Options, Outcome, Report};
use kproxy_tests::manifests::{self, Single};
use kproxy_tests::patience::patience;
use tempfile::TempDir;

/// Where the pods listen, by TCP and by UDP.
const TARGET: u16 = 8080;

/// A service with one backend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    /// Its name, and that of its pod.
    pub(crate) name: &'static str,
    node: &'static str,
    /// Its NodePort, for both protocols.
    pub(crate) node_port: u16,
}

/// The backend is on the node that is asked.
pub(crate) const NEAR: Service = Service {
    name: "near",
    node: "a",
    node_port: 30_080,
};

/// The backend is on the other node.
pub(crate) const FAR: Service = Service {
    name: "far",
    node: "b",
    node_port: 30_081,
};

/// How long one request may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a change may take to show. A bound against hanging, not a measurement.
const BOUND: Duration = Duration::from_secs(30);

/// TCP and both ways to send UDP.
pub(crate) const HOWS: [Option<Mode>; 3] = [None, Some(Mode::Connect), Some(Mode::Sendto)];

/// Everything that runs. Dropped in this order.
pub(crate) struct Stage {
    agents: Vec<Agent>,
    _servers: Vec<Process>,
    _folder: TempDir,
    pub(crate) cluster: Cluster,
}

impl Stage {
    /// Starts everything, with these arguments for the agents.
    pub(crate) fn new(name: &str, cni: Cni, arguments: &[&str]) -> Self {
        let cluster = Cluster::builder(name)
            .cni(cni)
            .node("a", |node| node.pod("near"))
            .node("b", |node| node.pod("far"))
            .client_outside("ext")
            .build()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        write_manifests(folder.path(), &cluster);
        let serve = |pod| cluster.pod(pod).serve(Via::Socket, &[TARGET], &[TARGET]).unwrap();
        let servers = [NEAR, FAR].map(|service| serve(service.name)).into();
        let options = AgentOptions {
            arguments: arguments.iter().map(ToString::to_string).collect(),
            ..AgentOptions::manifests(folder.path())
        };
        let agents = cluster
            .nodes()
            .iter()
            .map(|node| node.start_agent(&options).unwrap());
        Self {
            agents: agents.collect(),
            _servers: servers,
            _folder: folder,
            cluster,
        }
    }

    /// The client outside.
    pub(crate) fn client(&self) -> &Host {
        self.cluster.client("ext")
    }

    /// One request of the client outside, to an address of a node.
    pub(crate) fn ask(&self, service: Service, address: IpAddr, how: Option<Mode>) -> Report {
        let to = SocketAddr::new(address, service.node_port);
        let options = match how {
            None => Options::to(to),
            Some(mode) => Options::to(to).udp(mode),
        };
        let options = options.timeout(patience(PATIENCE));
        self.client().ask(Via::Packet, &options).unwrap().remove(0)
    }

    /// Asks until the service's pod has answered and has seen one of these clients.
    pub(crate) fn until_answered(
        &self,
        service: Service,
        address: IpAddr,
        how: Option<Mode>,
        client: IpAddr,
    ) {
        self.until(service, address, how, |report| {
            let seen = report
                .answer
                .as_ref()
                .map(|answer| answer.peer.ip().to_canonical());
            report.result == Outcome::Ok && report.pod() == Some(service.name) && seen == Some(client)
        });
    }

    /// Asks until nobody answers.
    pub(crate) fn until_silent(&self, service: Service, address: IpAddr, how: Option<Mode>) {
        self.until(service, address, how, |report| report.result != Outcome::Ok);
    }

    fn until(
        &self,
        service: Service,
        address: IpAddr,
        how: Option<Mode>,
        is_right: impl Fn(&Report) -> bool,
    ) {
        let begin = Instant::now();
        loop {
            let report = self.ask(service, address, how);
            if is_right(&report) {
                return;
            }
            assert!(
                begin.elapsed() < patience(BOUND),
                "{service:?} at {address} goes on: {report:?}; node a: {}; node b: {}; {}",
                self.counters("a"),
                self.counters("b"),
                self.agents[0].log(),
            );
        }
    }

    /// The counters of a node that are not zero, for a test that fails.
    pub(crate) fn counters(&self, node: &str) -> String {
        let pinned = kproxy::dataplane::Pinned::open(self.cluster.node(node).pin_dir()).unwrap();
        let counters = pinned.counters().unwrap().into_iter();
        let counted = counters.filter(|(.., count)| *count > 0);
        let words =
            counted.map(|(door, counter, count)| format!("{} {} {count}", door.name(), counter.name()));
        words.collect::<Vec<_>>().join(", ")
    }

    /// Holds that a request was answered by the service's pod, which saw this client.
    pub(crate) fn assert_answered(&self, service: Service, report: &Report, client: IpAddr) {
        let seen = report
            .answer
            .as_ref()
            .map(|answer| answer.peer.ip().to_canonical());
        assert!(
            report.result == Outcome::Ok && report.pod() == Some(service.name) && seen == Some(client),
            "{service:?} saw {seen:?} instead of {client}: {report:?}; node a: {}; node b: {}",
            self.counters("a"),
            self.counters("b"),
        );
    }
}

fn write_manifests(folder: &Path, cluster: &Cluster) {
    let services = (10_u8..).zip([NEAR, FAR]).map(|(number, service)| Single {
        name: service.name,
        number,
        node_port: service.node_port,
        target: TARGET,
        backend: cluster.pod(service.name).addresses(),
        node: service.node,
    });
    manifests::write(folder, "services.yaml", &manifests::singles(services)).unwrap();
}
