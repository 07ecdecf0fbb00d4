//! A node: a host with pods, a cgroup and a pin directory of its own.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use super::{
    agent::{self, Agent, AgentOptions},
    cgroup::Cgroup,
    host::Host,
    process::Process,
};
use crate::{container::Container, patience::patience};

/// A node of a cluster.
#[derive(Debug)]
pub struct Node {
    pub(super) host: Host,
    pub(super) cgroup: Cgroup,
    pub(super) agents: Cgroup,
    pub(super) pin_dir: PathBuf,
    pub(super) pod_ranges: [String; 2],
}

impl Node {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.host.name()
    }

    /// The node as a host of processes of its own, as with `hostNetwork`.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The cgroup whose sockets the node's socket door sees.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        self.cgroup.path()
    }

    /// Where the node's kproxy pins its maps and links.
    #[must_use]
    pub fn pin_dir(&self) -> &Path {
        &self.pin_dir
    }

    /// The node's pod ranges, IPv4 first.
    #[must_use]
    pub fn pod_ranges(&self) -> &[String; 2] {
        &self.pod_ranges
    }

    /// Starts kproxy on this node, in its network but outside of its cgroup, and waits until it is ready.
    ///
    /// # Errors
    /// When it is not ready in time or ends, with its log.
    pub fn start_agent(&self, options: &AgentOptions) -> anyhow::Result<Agent> {
        Agent::start(self, options)
    }

    /// Starts kproxy as [`Node::start_agent`], and waits for nothing.
    ///
    /// # Errors
    /// When it can not be started.
    pub fn begin_agent(&self, options: &AgentOptions) -> anyhow::Result<Agent> {
        let (agent, _) = Agent::begin(self, options)?;
        Ok(agent)
    }

    /// Starts kproxy in a container on this node, and waits until it is ready. What that takes is kept in `folder`, which
    /// outlives it.
    ///
    /// # Errors
    /// When it is not ready in time or ends, with its log.
    pub fn start_container(&self, container: &Container, folder: &Path) -> anyhow::Result<Agent> {
        Agent::start_container(self, container, folder)
    }

    /// Starts a container on this node, as [`Node::start_container`], and waits for nothing.
    ///
    /// # Errors
    /// When it can not be started.
    pub fn run_container(&self, container: &Container, folder: &Path) -> anyhow::Result<Process> {
        agent::run_container(self, container, folder)
    }

    /// Runs `kproxy cleanup` for this node.
    ///
    /// # Errors
    /// When it fails, with its words.
    pub fn run_cleanup(&self) -> anyhow::Result<()> {
        let mut process = agent::run(self, None, "cleanup", &[], "info")?;
        let status = process.wait(patience(agent::STOP_BOUND))?;
        ensure!(
            status.success(),
            "kproxy cleanup on node {} failed:\n{}",
            self.name(),
            process.stderr().text()
        );
        Ok(())
    }
}
