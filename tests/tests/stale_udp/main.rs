//! Connected UDP clients follow their service: whoever keeps one socket is told when its backend is gone, and goes on
//! with the next one within a second. Needs root.

mod clients;
mod frontends;
mod service;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kproxy::dataplane::Pinned;
use kproxy_common::{Address, Backend};
use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Cni, Host, NodeBuilder, Process, Via};
use kproxy_tests::patience::patience;
use tempfile::TempDir;

use clients::{Client, Steady};
use frontends::{cluster_ip, with_port};
use service::{Endpoint, NOBODY, Service, TARGET, other_target};

/// What is promised: from the change to the first answer of the next backend.
const WITHIN: Duration = Duration::from_secs(1);

/// Capabilities of the agent: to enter network namespaces, and by that every other it needs but one.
const ENOUGH: &str = "-all,+sys_admin,+net_admin";
/// To find the sockets of this network namespace.
const OWN_NAMESPACE: &str = "-all,+bpf,+net_admin,+perfmon";

/// Two nodes that share nothing but the machine: each has its agent, its pin directory and its manifests. Clients are
/// on node `a`, backends on `b`.
struct Stage<'a> {
    cluster: &'a Cluster,
    here: Service,
    agent: Agent,
    /// Node `b`'s: nothing ever changes there.
    _there: (Service, Agent),
    _servers: Vec<Process>,
    started: Instant,
}

const BACKENDS: [&str; 3] = ["dns-1", "dns-2", "dns-3"];

fn build(name: &str, cni: Cni) -> anyhow::Result<Cluster> {
    Cluster::builder(name)
        .cni(cni)
        .node("a", |node| node.pod("client"))
        .node("b", |node| {
            BACKENDS.into_iter().fold(node.pod("bystander"), NodeBuilder::pod)
        })
        .build()
}

impl<'a> Stage<'a> {
    /// `program` stands for the agent of node `a`.
    fn new(cluster: &'a Cluster, program: Option<PathBuf>) -> anyhow::Result<Self> {
        let ports = [TARGET, other_target()];
        let serve = |pod| cluster.pod(pod).serve(Via::Socket, &ports, &ports);
        let servers = BACKENDS.into_iter().map(serve).collect::<anyhow::Result<_>>()?;
        let first = [Endpoint::ready(cluster.pod(BACKENDS[0]))];
        let start = |node, program| -> anyhow::Result<_> {
            let service = Service::new(TempDir::new()?);
            service.publish_node(cluster.node(node).host())?;
            service.publish(TARGET, &first)?;
            let options = AgentOptions {
                log: "info,kproxy::sockets=debug".to_owned(),
                program,
                ..AgentOptions::manifests(service.folder())
            };
            let agent = cluster.node(node).start_agent(&options)?;
            Ok((service, agent))
        };
        let (here, agent) = start("a", program)?;
        Ok(Self {
            cluster,
            here,
            agent,
            _there: start("b", None)?,
            _servers: servers,
            started: Instant::now(),
        })
    }

    fn pod(&self, name: &str) -> &Host {
        self.cluster.pod(name)
    }

    /// A client of every frontend, wherever it can be asked.
    fn clients(&self) -> anyhow::Result<Vec<Client>> {
        let mut clients = Vec::new();
        for frontends::Frontend {
            kind,
            to,
            clients: hosts,
        } in frontends::all(self.cluster)
        {
            for host in hosts {
                clients.push(Client::start(kind, host, to)?);
            }
        }
        for client in &clients {
            client.wait_for(Instant::now(), "dns-1", TARGET)?;
        }
        Ok(clients)
    }

    /// Changes the endpoints; every client must be told and go on with this pod and port.
    fn moves(
        &self,
        clients: &[Client],
        target: u16,
        endpoints: &[Endpoint],
        pod: &str,
    ) -> anyhow::Result<()> {
        let changed = Instant::now();
        self.here.publish(target, endpoints)?;
        for client in clients {
            let came = client.wait_for(changed, pod, target)?;
            client.was_told(changed)?;
            let took = came.duration_since(changed);
            ensure!(
                took < patience(WITHIN),
                "{} went on with {pod} after {took:?}",
                client.name()
            );
        }
        Ok(())
    }

    /// Changes something; every client must be told.
    fn tells(
        &self,
        clients: &[Client],
        change: impl FnOnce(&Service) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let changed = Instant::now();
        change(&self.here)?;
        for client in clients {
            let came = client.wait_until_told(changed)?;
            let took = came.duration_since(changed);
            ensure!(
                took < patience(WITHIN),
                "{} was told after {took:?}",
                client.name()
            );
        }
        Ok(())
    }

    /// Gives another service an endpoint that nobody asks, and takes it away once it is in the kernel.
    fn retires_another_backend(&self) -> anyhow::Result<()> {
        self.here.publish_other(&[Endpoint::nobody()])?;
        let pinned = Pinned::open(self.cluster.node("a").pin_dir())?;
        let deadline = Instant::now() + patience(clients::BOUND);
        let is_there = |backend: &Backend| backend.address == Address::from(NOBODY);
        while !pinned.contents()?.backends.iter().any(is_there) {
            ensure!(
                Instant::now() < deadline,
                "the endpoint does not come:\n{}",
                self.agent.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        self.here.publish_other(&[])
    }

    /// Waits until the agent has looked at the sockets this many times more.
    fn looks(&self, times: usize) -> anyhow::Result<()> {
        let messages = ["no UDP sockets to end", "ended UDP sockets, to be connected anew"];
        let count = || -> usize {
            messages
                .map(|message| self.agent.messages(message).len())
                .iter()
                .sum()
        };
        let wanted = count() + times;
        let deadline = Instant::now() + patience(clients::BOUND);
        while count() < wanted {
            ensure!(
                Instant::now() < deadline,
                "nobody looked at the sockets:\n{}",
                self.agent.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// Everything that can happen to a backend, one after another; what must not notice goes on through all of it.
fn follow_their_service(stage: &Stage<'_>) -> anyhow::Result<()> {
    let [dns_1, dns_2, dns_3] = BACKENDS.map(|pod| stage.pod(pod));
    let clients = stage.clients()?;
    // 7.02: TCP is not touched. Nor are sockets that asked for the pod itself, or of another node's data plane.
    let node = stage.cluster.node("a").host();
    let mut bystanders = Vec::new();
    for host in [stage.pod("client"), node] {
        let direct = with_port(dns_1.addresses().both(), TARGET);
        bystanders.push(Steady::tcp(host, cluster_ip())?);
        bystanders.push(Steady::udp(host, direct)?);
    }
    bystanders.push(Steady::udp(stage.pod("bystander"), cluster_ip())?);
    bystanders.iter().try_for_each(Steady::wait_for_start)?;

    // 7.03, 7.13: replaced. The old pod still answers; only who is told leaves it.
    stage
        .moves(&clients, TARGET, &[Endpoint::ready(dns_2)], "dns-2")
        .context("replaced")?;

    // 7.05: it ends but still serves, and another one is there for new clients.
    let quiet = Instant::now();
    let ending = [Endpoint::terminating(dns_2), Endpoint::ready(dns_3)];
    stage.here.publish(TARGET, &ending)?;
    stage.retires_another_backend()?;
    stage.looks(2)?;
    for client in &clients {
        client.stayed(quiet, "dns-2").context("terminating and serving")?;
    }

    stage
        .moves(&clients, TARGET, &[Endpoint::ready(dns_3)], "dns-3")
        .context("ended")?;

    // 7.08: the same pod, on another port.
    let moved = [Endpoint::ready(dns_3)];
    stage
        .moves(&clients, other_target(), &moved, "dns-3")
        .context("target port")?;

    // 7.06: none is left, for as long as it takes, and then one comes.
    stage
        .tells(&clients, |service| service.publish(TARGET, &[]))
        .context("no endpoints")?;
    let back = Instant::now();
    stage.here.publish(TARGET, &[Endpoint::ready(dns_1)])?;
    for client in &clients {
        client
            .wait_for(back, "dns-1", TARGET)
            .context("endpoints again")?;
    }

    // 7.09, 7.07: the service is gone, and comes back.
    stage.tells(&clients, Service::delete).context("deleted")?;
    let back = Instant::now();
    stage.here.publish(TARGET, &[Endpoint::ready(dns_2)])?;
    for client in &clients {
        client.wait_for(back, "dns-2", TARGET).context("created again")?;
    }

    bystanders.into_iter().try_for_each(Steady::stop)
}

/// Without `CAP_SYS_ADMIN` the agent says once what it can not do, and does the rest.
fn stay_where_the_agent_may_not_go(stage: &Stage<'_>) -> anyhow::Result<()> {
    let clients = stage.clients()?;
    let (told, left): (Vec<_>, Vec<_>) = clients.into_iter().partition(|client| client.place() == "a");
    for next in ["dns-2", "dns-3"] {
        stage.moves(&told, TARGET, &[Endpoint::ready(stage.pod(next))], next)?;
        // Whoever connects anew is given the next one, whatever the agent may.
        let asked = stage
            .pod("client")
            .ask(Via::Socket, &clients::once(cluster_ip()[0]))?;
        ensure!(asked.iter().all(|report| report.pod() == Some(next)), "{asked:?}");
    }
    for client in &left {
        client.stayed(stage.started, "dns-1")?;
    }
    let complaint = "may not enter other network namespaces";
    let complaints = stage.agent.log().matches(complaint).count();
    ensure!(complaints == 1, "{complaints} complaints");
    Ok(())
}

/// A program that is kproxy with some of root's capabilities.
fn with_capabilities(folder: &Path, capabilities: &str) -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let kproxy = test
        .ancestors()
        .nth(2)
        .context("the folder of the agent")?
        .join("kproxy");
    let path = folder.join("kproxy");
    let script = format!(
        "#!/bin/sh\nexec setpriv --bounding-set {capabilities} {} \"$@\"\n",
        kproxy.display()
    );
    fs::write(&path, script)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn on_stage(name: &str, cni: Cni, capabilities: &str, story: impl FnOnce(&Stage<'_>) -> anyhow::Result<()>) {
    let cluster = build(name, cni).expect("a cluster");
    let folder = TempDir::new().expect("a folder");
    let agent = with_capabilities(folder.path(), capabilities).expect("a program");
    let stage = Stage::new(&cluster, Some(agent)).expect("a stage");
    let outcome =
        story(&stage).with_context(|| format!("with this log of the agent:\n{}", stage.agent.log()));
    outcome.expect("the story");
}

#[test]
fn connected_udp_clients_follow_their_service_routed() {
    on_stage("staleudp", Cni::RoutedVeth, ENOUGH, follow_their_service);
}

#[test]
fn connected_udp_clients_follow_their_service_bridged() {
    on_stage("staleudpb", Cni::Bridge, ENOUGH, follow_their_service);
}

#[test]
fn without_entering_namespaces_the_node_itself_is_looked_after() {
    on_stage(
        "staleudpo",
        Cni::RoutedVeth,
        OWN_NAMESPACE,
        stay_where_the_agent_may_not_go,
    );
}
