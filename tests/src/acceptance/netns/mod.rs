//! Runner: real sockets in network namespaces, real agents that read manifests, one cluster for all rows.

mod maps;
mod request;
mod stream;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use tempfile::TempDir;

use super::answered::Answered;
use super::beside;
use super::row::{End, Expect, Row, Step};
use super::state::State;
use super::world::{self, PODS, Pod, SERVED};
use crate::cluster::{self, Agent, AgentOptions, Cluster, Cni, Host, Process, ip};
use crate::host::program::Wanted;
use maps::Maps;
use stream::Stream;

/// How long a change may take until it is in the maps of every node. A bound, not a measure.
const PROGRAMMED: Duration = Duration::from_secs(30);
/// Clients outside keep the routes that they were given.
const CLIENT_SYSCTLS: [(&str, &str); 2] = [
    ("net/ipv4/conf/all/accept_redirects", "0"),
    ("net/ipv6/conf/all/accept_redirects", "0"),
];
/// Requests that are made at the same time.
const BESIDE: usize = 8;
/// How many connections follow each other on one port.
const REUSES: u64 = 100;

/// A cluster with agents and an echo server in every pod.
#[derive(Debug)]
pub struct Netns {
    answered: Answered,
    kept: HashMap<&'static str, Stream>,
    state: Option<String>,
    manifests: TempDir,
    _servers: Vec<Process>,
    agents: Vec<Agent>,
    // Last: removes everything.
    cluster: Cluster,
}

impl Netns {
    /// Builds the cluster and starts everything in it.
    ///
    /// # Errors
    /// When this process is not root, or the machine lacks something; the message says what to do.
    pub fn start(name: &str, cni: Cni) -> anyhow::Result<Self> {
        let cluster = world::builder(name, cni).build()?;
        for client in world::OUTSIDERS {
            let namespace = cluster.client(client.name).namespace();
            // The node would tell of the switch, which knows no services.
            namespace.set_sysctls(&CLIENT_SYSCTLS.map(|(path, value)| (path.to_owned(), value)))?;
            ip::batch(Some(namespace.name()), &world::routes_of_outsiders())?;
        }
        let manifests = tempfile::tempdir()?;
        let serve = |pod: Pod| {
            cluster
                .pod(pod.name)
                .serve(cluster::Via::Socket, &SERVED, &SERVED)
        };
        let mut servers = PODS.into_iter().map(serve).collect::<anyhow::Result<Vec<_>>>()?;
        let node = cluster.node(world::NODE).host();
        servers.push(node.serve(cluster::Via::Socket, &SERVED, &SERVED)?);
        let options = AgentOptions {
            arguments: maps::arguments(),
            ..AgentOptions::manifests(manifests.path())
        };
        let agents = cluster
            .nodes()
            .iter()
            .map(|node| node.start_agent(&options))
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            answered: Answered::default(),
            kept: HashMap::new(),
            state: None,
            manifests,
            _servers: servers,
            agents,
            cluster,
        })
    }

    /// The cluster that rows play in.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Plays one row.
    ///
    /// # Errors
    /// Names the step and what was not as expected.
    pub fn play(&mut self, row: &Row) -> anyhow::Result<()> {
        // A client's port comes up again within a UDP flow's life: flows of the rows before must lose their pods.
        self.program(&State::default())?;
        self.answered = Answered::default();
        let played = (1..)
            .zip(&row.steps)
            .try_for_each(|(number, step)| self.step(step).with_context(|| format!("in step {number}")));
        self.kept.clear();
        played.and_then(|()| std::mem::take(&mut self.answered).check())
    }

    /// Plays rows: several of one state at the same time, see [`Row::is_beside`].
    ///
    /// # Errors
    /// For each row what was not as expected.
    pub fn play_group(&mut self, rows: &[&Row]) -> Vec<anyhow::Result<()>> {
        let state = match rows {
            [row, _, ..] => row.only_state(),
            _ => None,
        };
        let Some(state) = state else {
            return rows.iter().map(|row| self.play(row)).collect();
        };
        let programmed = self.program(&State::default()).and_then(|()| self.program(state));
        if let Err(error) = programmed {
            let error = format!("{error:#}");
            return rows.iter().map(|_| Err(anyhow!("{error}"))).collect();
        }
        let cluster = &self.cluster;
        beside::map(rows, BESIDE, |row| {
            let mut answered = Answered::default();
            let asked = row.asks().try_for_each(|ask| {
                request::ask(host(cluster, ask.from), ask, &mut answered)
                    .with_context(|| format!("when {} asks {}", ask.from.name, ask.to))
            });
            asked.and_then(|()| answered.check())
        })
    }

    fn step(&mut self, step: &Step) -> anyhow::Result<()> {
        match step {
            Step::State(state) => self.program(state),
            Step::Ask(ask) => match ask.kept {
                None => {
                    let mut answered = std::mem::take(&mut self.answered);
                    let asked = request::ask(host(&self.cluster, ask.from), ask, &mut answered);
                    self.answered = answered;
                    asked
                }
                Some(name) => {
                    if !self.kept.contains_key(name) {
                        let stream = Stream::open(host(&self.cluster, ask.from), ask)?;
                        self.kept.insert(name, stream);
                    }
                    let stream = self.kept.get_mut(name).context("it was just opened")?;
                    stream.ask(ask)
                }
            },
            Step::Alternate { ask, to } => request::alternate(host(&self.cluster, ask.from), ask, *to),
            Step::Reuse { ask, end: End::Reset } => {
                request::reuse(host(&self.cluster, ask.from), ask, REUSES)
            }
            Step::Reuse { end: End::Fin, .. }
            | Step::Packet(_)
            | Step::Raw(..)
            | Step::Arrival(_)
            | Step::Counted(..)
            | Step::Bystander(_)
            | Step::Wait(_)
            | Step::Evict(_)
            | Step::RefuseInserts(_) => bail!("this runner can not play the step {step:?}"),
        }
    }

    /// Puts the manifests into the agents' folder in one move, and waits until every node's maps say the same.
    fn program(&mut self, state: &State) -> anyhow::Result<()> {
        let manifests = state.manifests();
        if self.state.as_ref() == Some(&manifests) {
            return Ok(());
        }
        let path = |name: &str| -> PathBuf { self.manifests.path().join(name) };
        // A name that starts with a dot is none of the agents' business.
        fs::write(path(".next"), &manifests)?;
        fs::rename(path(".next"), path("services.yaml"))?;
        let deadline = Instant::now() + PROGRAMMED;
        for node in self.cluster.nodes() {
            let wanted = Wanted::new(node.name(), &manifests)?;
            let maps = Maps::open(node.pin_dir())?;
            while let Err(difference) = maps.compare(&wanted)? {
                if Instant::now() > deadline {
                    let logs: Vec<_> = self.agents.iter().map(Agent::log).collect();
                    bail!(
                        "node {} does not follow: {difference}; the agents' logs:\n{}",
                        node.name(),
                        logs.join("\n")
                    );
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        self.state = Some(manifests);
        Ok(())
    }
}

fn host(cluster: &Cluster, pod: Pod) -> &Host {
    if pod.is_node() {
        cluster.node(pod.name).host()
    } else if world::OUTSIDERS.contains(&pod) {
        cluster.client(pod.name)
    } else {
        cluster.pod(pod.name)
    }
}

/// The pods that an expectation allows.
fn allowed(expect: &Expect) -> Option<&[&'static str]> {
    match expect {
        Expect::By(pods) | Expect::Spread(pods) | Expect::Varied(pods) => Some(pods),
        Expect::Same
        | Expect::One(_)
        | Expect::Refused
        | Expect::Denied
        | Expect::Silence
        | Expect::Untouched => None,
    }
}
