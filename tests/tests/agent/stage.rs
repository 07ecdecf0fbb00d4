//! The stage of every story: a cluster of two nodes whose agents follow an API server, six pods that serve, and the
//! two that ask.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kproxy_tests::apiserver::{ApiServer, Options as ServerOptions};
use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Cni, Load, Node, Process, Via};
use kproxy_tests::echo::{Options, Outcome};
use kproxy_tests::workload::{Member, Port, Workload};

/// How long a change may take to show. A bound against hanging, not a measurement.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

/// How long a client waits. A rejection by packet may reach the client while `connect` still holds the socket; then the
/// kernel keeps it as a soft error, and only the answer to the next SYN, a second later, ends the call.
const PATIENCE: Duration = Duration::from_secs(3);

/// The service of most stories.
pub(crate) const WEB: Port = Port {
    name: "http",
    protocol: "TCP",
    port: 80,
    target: 8080,
};

/// The pod that asks: one whose sockets the node's kernel has, and one of a sandboxed runtime. A pod is one or the
/// other; if both ways were mixed, the kernel would hand out one source port for the service and for its backend.
pub(crate) fn client(via: Via) -> &'static str {
    match via {
        Via::Socket => "process",
        Via::Packet => "sandbox",
    }
}

/// Which API server a story needs.
#[derive(Clone, Copy)]
pub(crate) enum Server {
    /// The real one, where `KUBEBUILDER_ASSETS` names it.
    Any,
    /// One that can be told to fail: ours.
    WithFaults,
}

/// A cluster whose agents follow an API server.
pub(crate) struct Stage<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) workload: Workload,
    pub(crate) agents: Vec<Agent>,
    _servers: Vec<Process>,
    pub(crate) api: ApiServer,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) const PODS: [(&str, &str); 6] = [
    ("web-1", "a"),
    ("web-2", "b"),
    ("web-3", "b"),
    ("web-4", "a"),
    ("web-5", "b"),
    ("web-6", "a"),
];

fn build(name: &str, cni: Cni) -> anyhow::Result<Cluster> {
    let pods_of = |node: &'static str| PODS.into_iter().filter(move |(_, on)| *on == node);
    Cluster::builder(name)
        .cni(cni)
        .node("a", |node| {
            pods_of("a").fold(node.pod("process").pod("sandbox"), |node, (pod, _)| node.pod(pod))
        })
        .node("b", |node| {
            pods_of("b").fold(node, |node, (pod, _)| node.pod(pod))
        })
        .build()
}

impl<'a> Stage<'a> {
    async fn new(cluster: &'a Cluster, server: Server) -> anyhow::Result<Self> {
        let address = SocketAddr::from((cluster.switch_addresses().v4, 0));
        let options = ServerOptions {
            address,
            ..ServerOptions::default()
        };
        let api = match server {
            Server::Any => ApiServer::start_with(options).await?,
            Server::WithFaults => ApiServer::start_in_process(&options)?,
        };
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        api.write_kubeconfig(&kubeconfig)?;
        let options = AgentOptions::kubeconfig(&kubeconfig);
        let start = |node: &Node| node.start_agent(&options);
        let agents = cluster.nodes().iter().map(start).collect::<anyhow::Result<_>>()?;
        let serve = |(pod, _)| cluster.pod(pod).serve(Via::Socket, &[8080, 9090], &[8080]);
        let servers = PODS.into_iter().map(serve).collect::<anyhow::Result<_>>()?;
        let workload = Workload::new(&api.client()?);
        Ok(Self {
            cluster,
            workload,
            agents,
            _servers: servers,
            api,
            folder,
        })
    }

    pub(crate) fn members(&self, pods: Range<usize>) -> Vec<Member> {
        PODS[pods]
            .iter()
            .map(|(pod, node)| Member::new(self.cluster.pod(pod), node))
            .collect()
    }

    /// Asks until an answer satisfies, from both sides of the socket door.
    pub(crate) fn until(
        &self,
        to: SocketAddr,
        wanted: impl Fn(Outcome, Option<&str>) -> bool,
    ) -> anyhow::Result<()> {
        for via in [Via::Socket, Via::Packet] {
            let deadline = Instant::now() + BOUND;
            loop {
                let reports = self
                    .cluster
                    .pod(client(via))
                    .ask(via, &Options::to(to).timeout(PATIENCE))?;
                let report = reports.first().context("a client without a report")?;
                if wanted(report.result, report.pod()) {
                    break;
                }
                ensure!(
                    Instant::now() < deadline,
                    "{to} via {via:?} goes on answering with {report:?}"
                );
            }
        }
        Ok(())
    }

    /// Loads on both families, by socket and by packet.
    pub(crate) fn loads(&self, to: [SocketAddr; 2]) -> anyhow::Result<Vec<(Via, Load)>> {
        let mut loads = Vec::new();
        for destination in to {
            for via in [Via::Socket, Via::Packet] {
                let mut options = Options::to(destination);
                options.interval = Duration::from_millis(2);
                loads.push((via, self.cluster.pod(client(via)).load(via, &options, 2)?));
            }
        }
        Ok(loads)
    }
}

/// Stops loads and returns whose pods answered; every request must have been answered.
pub(crate) fn all_answered(loads: Vec<(Via, Load)>) -> anyhow::Result<BTreeSet<String>> {
    let mut pods = BTreeSet::new();
    let mut failed = Vec::new();
    for (via, load) in loads {
        let (totals, failures) = load.stop()?;
        ensure!(totals.requests > 10, "the load hardly ran: {totals:?}");
        if !failures.is_empty() {
            failed.push(format!(
                "{} of {} via {via:?}: {failures:?}",
                failures.len(),
                totals.requests
            ));
        }
        pods.extend(totals.pods.into_keys());
    }
    ensure!(failed.is_empty(), "requests failed: {failed:#?}");
    Ok(pods)
}

/// Runs a test in the switch's namespace, where nodes reach what it listens on.
pub(crate) fn on_stage<F>(name: &str, cni: Cni, server: Server, test: F)
where
    F: for<'a> AsyncFnOnce(Stage<'a>) -> anyhow::Result<()> + Send,
{
    let cluster = build(name, cni).expect("a cluster");
    let run = || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async { test(Stage::new(&cluster, server).await?).await })
    };
    cluster
        .switch()
        .run(run)
        .expect("the switch's namespace")
        .expect("the test");
}
