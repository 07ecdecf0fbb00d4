//! Everything that runs during the demo.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{
    Given, controller,
    endpoints::RunningPod,
    manifests::Manifests,
    screen::Screen,
    start::{build_cluster, register_nodes, start_agents, start_servers},
};
use crate::cluster::{Agent, Cluster, Host, Process, Relay, Via};

/// The port at which the nodes find the API server.
const APISERVER_PORT: u16 = 6443;
/// When an agent has programmed nothing for so long, a change has reached it.
const QUIET: Duration = Duration::from_millis(150);
/// How long a change may take at most.
const CHANGE_BOUND: Duration = Duration::from_secs(10);

/// Fields are dropped in order: agents and servers before the cluster that they run in.
pub struct World {
    /// What was given.
    pub given: Given,
    /// Pods and where they run.
    pub manifests: Manifests,
    /// One agent per node.
    pub agents: Vec<(String, Agent)>,
    /// How long each change took.
    pub changes: Vec<Change>,
    services: BTreeMap<String, Vec<IpAddr>>,
    _servers: Vec<Process>,
    _relay: Relay,
    controller: tokio::task::JoinHandle<anyhow::Result<()>>,
    /// Nodes and pods.
    pub cluster: Cluster,
}

/// A change of the cluster's state and when each node's kernel had it.
#[derive(Clone, Debug)]
pub struct Change {
    /// What was changed.
    pub what: String,
    /// Each node.
    pub nodes: Vec<Reached>,
}

/// When a change had reached a node's kernel.
#[derive(Clone, Debug)]
pub struct Reached {
    /// The node.
    pub node: String,
    /// From the call to the API server to the last write, as seen from outside.
    pub after: Duration,
    /// kproxy's part: from the arrival of the event to its last write; the longest when there were several.
    pub kproxy: Duration,
    /// Map writes.
    pub writes: u64,
}

impl World {
    /// Builds everything, and applies the manifests when the agents are ready.
    ///
    /// # Errors
    /// What does not start, with its log.
    pub fn build(given: Given, manifests: Manifests, screen: &mut Screen) -> anyhow::Result<Self> {
        screen.scene("A cluster of two nodes, dual stack");
        screen.row(&format!("API server on {}", given.apiserver));
        let start = Instant::now();
        let cluster = build_cluster(&manifests)?;
        let servers = start_servers(&cluster, &manifests)?;
        let relay = cluster.relay(APISERVER_PORT, given.apiserver)?;
        let made = format!(
            "nodes {} and {} pods as network namespaces",
            manifests.nodes().join(", "),
            manifests.pods.len()
        );
        screen.step(&made, start.elapsed());

        let start = Instant::now();
        given.runtime.block_on(register_nodes(&given, &cluster))?;
        let pods = manifests.pods.iter().map(|manifest| RunningPod {
            manifest: manifest.clone(),
            addresses: cluster.pod(&manifest.name).addresses(),
        });
        let controller = given
            .runtime
            .spawn(controller::run(given.client.clone(), pods.collect()));
        let agents = start_agents(&given, &cluster, &relay)?;
        screen.step("kproxy ready on each of them", start.elapsed());

        let mut world = Self {
            given,
            manifests,
            agents,
            changes: Vec::new(),
            services: BTreeMap::new(),
            _servers: servers,
            _relay: relay,
            controller,
            cluster,
        };
        world.apply_services(screen)?;
        Ok(world)
    }

    fn apply_services(&mut self, screen: &Screen) -> anyhow::Result<()> {
        for service in self.manifests.services.clone() {
            let name = service
                .metadata
                .name
                .clone()
                .context("a Service in the manifests has no name")?;
            let made = self.change(&format!("service {name} applied"), |api| async move {
                api.create(&PostParams::default(), &service).await
            })?;
            let addresses = made.spec.and_then(|spec| spec.cluster_ips).unwrap_or_default();
            let reached = self
                .changes
                .last()
                .and_then(|change| change.nodes.iter().map(|node| node.after).max());
            screen.step(
                &format!("service {name:<6} {}", addresses.join("  ")),
                reached.unwrap_or_default(),
            );
            let addresses = addresses
                .iter()
                .map(|address| address.parse())
                .collect::<Result<Vec<_>, _>>();
            let addresses =
                addresses.with_context(|| format!("service {name} has no readable clusterIPs"))?;
            ensure!(
                addresses.len() == 2,
                "service {name} has {} addresses, not one of each family",
                addresses.len()
            );
            self.services.insert(name, addresses);
        }
        Ok(())
    }

    /// Changes a Service and waits until every node's kernel has it.
    ///
    /// # Errors
    /// When the API server refuses, or a node does not follow.
    pub fn change<Calling: Future<Output = kube::Result<Service>>>(
        &mut self,
        what: &str,
        call: impl FnOnce(Api<Service>) -> Calling,
    ) -> anyhow::Result<Service> {
        let before = Instant::now();
        let api = Api::default_namespaced(self.given.client.clone());
        let service = self
            .given
            .runtime
            .block_on(call(api))
            .with_context(|| format!("at the API server: {what}"))?;
        let reached = self.agents.iter().map(|(node, agent)| {
            settle(node, agent, before).with_context(|| {
                let controller = if self.controller.is_finished() {
                    " (the controller has ended)"
                } else {
                    ""
                };
                format!(
                    "{what} does not reach node {node}{controller}; its log:\n{}",
                    agent.log()
                )
            })
        });
        let nodes = reached.collect::<anyhow::Result<Vec<_>>>()?;
        self.changes.push(Change {
            what: what.to_owned(),
            nodes,
        });
        Ok(service)
    }

    /// Gives a Service another selector, as `kubectl patch` does.
    ///
    /// # Errors
    /// As [`World::change`].
    pub fn select(&mut self, service: &str, selector: &serde_json::Value, what: &str) -> anyhow::Result<()> {
        let patch = Patch::Merge(json!({ "spec": { "selector": selector } }));
        self.change(what, |api| async move {
            api.patch(service, &PatchParams::default(), &patch).await
        })?;
        Ok(())
    }

    /// A Service's addresses with a port, IPv4 first.
    ///
    /// # Panics
    /// When the manifests have no such Service.
    #[must_use]
    pub fn service(&self, name: &str, port: u16) -> [SocketAddr; 2] {
        let addresses = self
            .services
            .get(name)
            .expect("a Service of the demo's manifests");
        [(addresses[0], port).into(), (addresses[1], port).into()]
    }

    /// The pods that ask: each with the way that its requests take.
    ///
    /// # Panics
    /// When the manifests have no such pods.
    #[must_use]
    pub fn clients(&self) -> [Client<'_>; 2] {
        let client = |sandboxed: bool, via, way| {
            let pod = self
                .manifests
                .client(sandboxed)
                .expect("checked when the cluster was built");
            Client {
                host: self.cluster.pod(&pod.name),
                via,
                way,
            }
        };
        [
            client(false, Via::Socket, "by socket"),
            client(true, Via::Packet, "by packet"),
        ]
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The API server may live on, but the pods go.
        self.controller.abort();
    }
}

/// A pod that asks.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// The pod.
    pub host: &'a Host,
    /// The way its requests take.
    pub via: Via,
    /// The same in words.
    pub way: &'static str,
}

/// Waits until the agent has programmed something since `before`, and then nothing for a moment.
fn settle(node: &str, agent: &Agent, before: Instant) -> anyhow::Result<Reached> {
    loop {
        let mut messages = agent.timed_messages("programmed");
        messages.retain(|(came, _)| *came >= before);
        if let Some((last, _)) = messages.last()
            && last.elapsed() >= QUIET
        {
            let number = |fields: &serde_json::Value, name: &str| fields[name].as_u64().unwrap_or_default();
            let micros = messages
                .iter()
                .map(|(_, fields)| number(fields, "micros"))
                .max()
                .unwrap_or_default();
            return Ok(Reached {
                node: node.to_owned(),
                after: *last - before,
                kproxy: Duration::from_micros(micros),
                writes: messages.iter().map(|(_, fields)| number(fields, "writes")).sum(),
            });
        }
        ensure!(before.elapsed() < CHANGE_BOUND, "nothing after {CHANGE_BOUND:?}");
        thread::sleep(Duration::from_millis(2));
    }
}
