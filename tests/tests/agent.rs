//! The agent against an API server, with real pods: nothing that a service's owner does may cost a request.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kproxy_tests::apiserver::{ApiServer, Options as ServerOptions};
use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Cni, Load, Process, Via};
use kproxy_tests::echo::{Mode, Options, Outcome};
use kproxy_tests::workload::{Member, Port, Workload, sockets};

const WEB: Port = Port {
    name: "http",
    protocol: "TCP",
    port: 80,
    target: 8080,
};
/// How long a change may take to show. A bound against hanging, not a measurement.
const BOUND: Duration = Duration::from_secs(10);

/// How long a client waits. A rejection by packet may reach the client while `connect` still holds the socket; then the
/// kernel keeps it as a soft error, and only the answer to the next SYN, a second later, ends the call.
const PATIENCE: Duration = Duration::from_secs(3);

/// The pod that asks: one whose sockets the node's kernel has, and one of a sandboxed runtime. A pod is one or the
/// other; if both ways were mixed, the kernel would hand out one source port for the service and for its backend.
fn client(via: Via) -> &'static str {
    match via {
        Via::Socket => "process",
        Via::Packet => "sandbox",
    }
}

/// A cluster whose agents follow an API server.
struct Stage<'a> {
    cluster: &'a Cluster,
    workload: Workload,
    agents: Vec<Agent>,
    _servers: Vec<Process>,
    _api: ApiServer,
    folder: tempfile::TempDir,
}

const PODS: [(&str, &str); 6] = [
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
    async fn new(cluster: &'a Cluster) -> anyhow::Result<Self> {
        let address = SocketAddr::from((cluster.switch_addresses().v4, 0));
        let api = ApiServer::start_with(ServerOptions {
            address,
            ..ServerOptions::default()
        })
        .await?;
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        api.write_kubeconfig(&kubeconfig)?;
        let options = AgentOptions::kubeconfig(&kubeconfig);
        let start = |node: &kproxy_tests::cluster::Node| node.start_agent(&options);
        let agents = cluster.nodes().iter().map(start).collect::<anyhow::Result<_>>()?;
        let serve = |(pod, _)| cluster.pod(pod).serve(Via::Socket, &[8080, 9090], &[8080]);
        let servers = PODS.into_iter().map(serve).collect::<anyhow::Result<_>>()?;
        let workload = Workload::new(&api.client()?);
        Ok(Self {
            cluster,
            workload,
            agents,
            _servers: servers,
            _api: api,
            folder,
        })
    }

    fn members(&self, pods: std::ops::Range<usize>) -> Vec<Member> {
        PODS[pods]
            .iter()
            .map(|(pod, node)| Member::new(self.cluster.pod(pod), node))
            .collect()
    }

    /// Asks until an answer satisfies, from both sides of the socket door.
    fn until(&self, to: SocketAddr, wanted: impl Fn(Outcome, Option<&str>) -> bool) -> anyhow::Result<()> {
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
    fn loads(&self, to: [SocketAddr; 2]) -> anyhow::Result<Vec<(Via, Load)>> {
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
fn all_answered(loads: Vec<(Via, Load)>) -> anyhow::Result<BTreeSet<String>> {
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
fn on_stage<F>(name: &str, cni: Cni, test: F)
where
    F: for<'a> AsyncFnOnce(Stage<'a>) -> anyhow::Result<()> + Send,
{
    let cluster = build(name, cni).expect("a cluster");
    let run = || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async { test(Stage::new(&cluster).await?).await })
    };
    cluster
        .switch()
        .run(run)
        .expect("the switch's namespace")
        .expect("the test");
}

/// Scaling out and in, moving to other pods, one after another, while requests go on.
async fn scale_under_load(stage: Stage<'_>) -> anyhow::Result<()> {
    let addresses = stage.workload.create("web", &[WEB]).await?;
    stage
        .workload
        .publish("web", &[WEB], &stage.members(0..3))
        .await?;
    let to = sockets(addresses, WEB.port);
    for destination in to {
        stage.until(destination, |result, _| result == Outcome::Ok)?;
    }
    let loads = stage.loads(to)?;
    for pods in [0..6, 3..6, 0..6, 1..2, 0..3] {
        stage
            .workload
            .publish("web", &[WEB], &stage.members(pods))
            .await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    all_answered(loads)?;
    Ok(())
}

/// After a pod was taken from the slices, no request reaches it.
async fn removed_pods_get_nothing(stage: Stage<'_>) -> anyhow::Result<()> {
    let addresses = stage.workload.create("web", &[WEB]).await?;
    stage
        .workload
        .publish("web", &[WEB], &stage.members(0..6))
        .await?;
    let to = sockets(addresses, WEB.port);
    for destination in to {
        stage.until(destination, |result, _| result == Outcome::Ok)?;
    }
    let before: Vec<usize> = stage
        .agents
        .iter()
        .map(|agent| agent.messages("programmed").len())
        .collect();
    stage
        .workload
        .publish("web", &[WEB], &stage.members(0..1))
        .await?;
    for (agent, before) in stage.agents.iter().zip(before) {
        // One message for each family's slice, unless both arrive as one change.
        let deadline = Instant::now() + BOUND;
        while agent.messages("programmed").len() < before + 2 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for destination in to {
        stage.until(destination, |_, pod| pod == Some("web-1"))?;
    }
    let loads = stage.loads(to)?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pods = all_answered(loads)?;
    ensure!(
        pods.len() == 1 && pods.contains("web-1"),
        "pods that are not listed answered: {pods:?}"
    );
    Ok(())
}

/// A port is added, the target port changes, the first port goes; the other port's requests never notice.
async fn change_ports(stage: Stage<'_>) -> anyhow::Result<()> {
    const MORE: Port = Port {
        name: "more",
        protocol: "TCP",
        port: 81,
        target: 8080,
    };
    let addresses = stage.workload.create("web", &[WEB, MORE]).await?;
    stage
        .workload
        .publish("web", &[WEB, MORE], &stage.members(0..3))
        .await?;
    let (to, more) = (sockets(addresses, WEB.port), sockets(addresses, MORE.port));
    for destination in to.into_iter().chain(more) {
        stage.until(destination, |result, _| result == Outcome::Ok)?;
    }
    let loads = stage.loads(more)?;
    let moved = Port { target: 9090, ..WEB };
    stage.workload.set_ports("web", &[moved, MORE]).await?;
    stage
        .workload
        .publish("web", &[moved, MORE], &stage.members(0..3))
        .await?;
    for destination in to {
        stage.until(destination, |result, _| result == Outcome::Ok)?;
    }
    stage.workload.set_ports("web", &[MORE]).await?;
    for destination in to {
        stage.until(destination, |result, _| result != Outcome::Ok)?;
    }
    all_answered(loads)?;
    Ok(())
}

/// Deleting a service ends it, without endpoints it refuses at once, and recreated it serves again.
async fn delete_and_recreate(stage: Stage<'_>) -> anyhow::Result<()> {
    for _ in 0..3 {
        let addresses = stage.workload.create("web", &[WEB]).await?;
        let to = sockets(addresses, WEB.port);
        for destination in to {
            stage.until(destination, |result, _| result == Outcome::Refused)?;
        }
        stage
            .workload
            .publish("web", &[WEB], &stage.members(0..3))
            .await?;
        for destination in to {
            stage.until(destination, |result, _| result == Outcome::Ok)?;
        }
        let loads = stage.loads(to)?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        all_answered(loads)?;
        stage.workload.delete("web").await?;
        for destination in to {
            stage.until(destination, |result, _| result != Outcome::Ok)?;
        }
    }
    Ok(())
}

/// The agents end in every way there is, and are started again; requests and changes go on.
async fn agents_come_and_go(mut stage: Stage<'_>) -> anyhow::Result<()> {
    let addresses = stage.workload.create("web", &[WEB]).await?;
    stage
        .workload
        .publish("web", &[WEB], &stage.members(0..3))
        .await?;
    let to = sockets(addresses, WEB.port);
    for destination in to {
        stage.until(destination, |result, _| result == Outcome::Ok)?;
    }
    let loads = stage.loads(to)?;
    let options = AgentOptions::kubeconfig(&stage.folder.path().join("kubeconfig"));
    for round in 0..2 {
        for agent in stage.agents.drain(..) {
            if round == 0 {
                agent.stop()?;
            } else {
                agent.kill()?;
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        for node in stage.cluster.nodes() {
            stage.agents.push(node.start_agent(&options)?);
        }
        let writes: Vec<_> = stage
            .agents
            .iter()
            .flat_map(|agent| agent.messages("programmed"))
            .filter_map(|fields| fields["writes"].as_u64())
            .collect();
        ensure!(
            writes.iter().sum::<u64>() == 0,
            "a restart without a change wrote maps: {writes:?}"
        );
    }
    stage
        .workload
        .publish("web", &[WEB], &stage.members(3..6))
        .await?;
    for destination in to {
        stage.until(destination, |_, pod| {
            matches!(pod, Some("web-4" | "web-5" | "web-6"))
        })?;
    }
    all_answered(loads)?;
    Ok(())
}

/// A UDP client that keeps its port moves to the new pods, also after the service had none for a while.
async fn udp_follows(stage: Stage<'_>) -> anyhow::Result<()> {
    const DNS: Port = Port {
        name: "dns",
        protocol: "UDP",
        port: 53,
        target: 8080,
    };
    let addresses = stage.workload.create("dns", &[DNS]).await?;
    let to = sockets(addresses, DNS.port);
    let pods = |pods: std::ops::Range<usize>| stage.members(pods);
    stage.workload.publish("dns", &[DNS], &pods(0..1)).await?;
    let mut loads = Vec::new();
    for (port, destination) in (5000..).zip(to) {
        for (offset, via) in [(0, Via::Socket), (100, Via::Packet)] {
            let mut options = Options::to(destination)
                .udp(Mode::Sendto)
                .keep()
                .source_port(port + offset);
            options.interval = Duration::from_millis(5);
            options.timeout = Duration::from_millis(200);
            loads.push(stage.cluster.pod(client(via)).load(via, &options, 1)?);
        }
    }
    for wanted in [0..1, 1..2, 0..0, 2..3] {
        stage
            .workload
            .publish("dns", &[DNS], &pods(wanted.clone()))
            .await?;
        let Some((name, _)) = PODS[wanted].first() else {
            continue;
        };
        for load in &loads {
            let deadline = Instant::now() + BOUND;
            while !load.progress().pods.contains_key(*name) {
                ensure!(
                    Instant::now() < deadline,
                    "a client never reached {name}: {:?}",
                    load.progress()
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    Ok(())
}

#[test]
fn scale_under_load_routed() {
    on_stage("scale", Cni::RoutedVeth, scale_under_load);
}

#[test]
fn scale_under_load_bridged() {
    on_stage("scaleb", Cni::Bridge, scale_under_load);
}

#[test]
fn removed_pods_get_no_request() {
    on_stage("removed", Cni::RoutedVeth, removed_pods_get_nothing);
}

#[test]
fn ports_change_alone() {
    on_stage("ports", Cni::RoutedVeth, change_ports);
}

#[test]
fn services_are_deleted_and_recreated() {
    on_stage("recreate", Cni::Bridge, delete_and_recreate);
}

#[test]
fn agents_come_and_go_under_load() {
    on_stage("restart", Cni::RoutedVeth, agents_come_and_go);
}

#[test]
fn udp_clients_follow_their_service() {
    on_stage("udp", Cni::Bridge, udp_follows);
}
