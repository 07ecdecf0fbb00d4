//! Connected UDP clients follow their service: whoever keeps one socket is told when its backend is gone, and goes on
//! with the next one within a second. Needs root.

mod clients;
mod service;

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Cni, Host, Process, Via};
use tempfile::TempDir;

use clients::{Client, Steady};
use service::{ADDRESSES, Endpoint, PORT, Service, TARGET, other_target};

/// What is promised: from the change to the first answer of the next backend.
const WITHIN: Duration = Duration::from_secs(1);

/// The addresses under which clients ask, one row for each kind of frontend.
const FRONTENDS: [(&str, [&str; 2]); 1] = [("ClusterIP", ADDRESSES)];

/// Two nodes that share nothing but the machine: each has its agent, its pin directory and its manifests. Clients are
/// on node `a`, backends on `b`.
struct Stage<'a> {
    cluster: &'a Cluster,
    here: Service,
    agent: Agent,
    /// Node `b`'s: nothing ever changes there.
    _there: (Service, Agent),
    _servers: Vec<Process>,
}

const BACKENDS: [&str; 3] = ["dns-1", "dns-2", "dns-3"];

fn build(name: &str, cni: Cni) -> anyhow::Result<Cluster> {
    Cluster::builder(name)
        .cni(cni)
        .node("a", |node| node.pod("client"))
        .node("b", |node| {
            BACKENDS
                .into_iter()
                .fold(node.pod("bystander"), |node, pod| node.pod(pod))
        })
        .build()
}

impl<'a> Stage<'a> {
    fn new(cluster: &'a Cluster) -> anyhow::Result<Self> {
        let ports = [TARGET, other_target()];
        let serve = |pod| cluster.pod(pod).serve(Via::Socket, &ports, &ports);
        let servers = BACKENDS.into_iter().map(serve).collect::<anyhow::Result<_>>()?;
        let first = [Endpoint::ready(cluster.pod(BACKENDS[0]))];
        let start = |node| -> anyhow::Result<_> {
            let service = Service::new(TempDir::new()?);
            service.publish(TARGET, &first)?;
            let mut options = AgentOptions::manifests(service.folder());
            options.log = "info,kproxy::sockets=debug".to_owned();
            let agent = cluster.node(node).start_agent(&options)?;
            Ok((service, agent))
        };
        let (here, agent) = start("a")?;
        Ok(Self {
            cluster,
            here,
            agent,
            _there: start("b")?,
            _servers: servers,
        })
    }

    fn pod(&self, name: &str) -> &Host {
        self.cluster.pod(name)
    }

    /// A client of every frontend, in a pod and on the node itself.
    fn clients(&self) -> anyhow::Result<Vec<Client>> {
        let mut clients = Vec::new();
        for (kind, addresses) in FRONTENDS {
            for host in [self.pod("client"), self.cluster.node("a").host()] {
                let name = format!("{kind} from {}", host.name());
                clients.push(Client::start(&name, host, addresses, PORT)?);
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
                took < WITHIN,
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
            ensure!(took < WITHIN, "{} was told after {took:?}", client.name());
        }
        Ok(())
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
        let deadline = Instant::now() + clients::BOUND;
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
        let direct = dns_1.addresses().both().map(|address| address.to_string());
        bystanders.push(Steady::tcp(host, ADDRESSES, PORT)?);
        bystanders.push(Steady::udp(host, direct.each_ref().map(String::as_str), TARGET)?);
    }
    bystanders.push(Steady::udp(stage.pod("bystander"), ADDRESSES, PORT)?);
    bystanders.iter().try_for_each(Steady::wait_for_start)?;

    // 7.03, 7.13: replaced. The old pod still answers; only who is told leaves it.
    stage
        .moves(&clients, TARGET, &[Endpoint::ready(dns_2)], "dns-2")
        .context("replaced")?;

    // 7.05: it ends but still serves, and another one is there for new clients.
    let quiet = Instant::now();
    let ending = [Endpoint::terminating(dns_2), Endpoint::ready(dns_3)];
    stage.here.publish(TARGET, &ending)?;
    stage.here.publish_other(&[])?;
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

fn on_stage(name: &str, cni: Cni, story: impl FnOnce(&Stage<'_>) -> anyhow::Result<()>) {
    let cluster = build(name, cni).expect("a cluster");
    let stage = Stage::new(&cluster).expect("a stage");
    if let Err(error) = story(&stage) {
        panic!("{error:?}\n\nthe agent's log:\n{}", stage.agent.log());
    }
}

#[test]
fn connected_udp_clients_follow_their_service_routed() {
    on_stage("staleudp", Cni::RoutedVeth, follow_their_service);
}

#[test]
fn connected_udp_clients_follow_their_service_bridged() {
    on_stage("staleudpb", Cni::Bridge, follow_their_service);
}
