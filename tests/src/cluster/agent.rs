//! The kproxy process of a node.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{
    node::Node,
    process::{Process, binary},
};
use crate::{container::Container, patience::patience};

/// How long a stop, or a clean-up, may take.
pub(super) const STOP_BOUND: Duration = Duration::from_secs(30);

/// How long an agent may take to be ready, unless its options say something else.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Where an agent reads its services from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder of manifests.
    Manifests(PathBuf),
    /// An API server, which must be reachable from the node: see [`Cluster::listen_for_nodes`](super::Cluster).
    Kubeconfig(PathBuf),
}

/// How to start an agent.
#[derive(Clone, Debug)]
pub struct AgentOptions {
    /// Where it reads its services from.
    pub source: Source,
    /// More arguments for `kproxy run`.
    pub arguments: Vec<String>,
    /// Filter of its log, as `RUST_LOG`.
    pub log: String,
    /// How long it may take to be ready.
    pub ready_within: Duration,
    /// Another program than this workspace's `kproxy`, such as an older release.
    pub program: Option<PathBuf>,
}

impl AgentOptions {
    /// The usual options with this source.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self {
            source,
            arguments: Vec::new(),
            log: "info".to_owned(),
            ready_within: patience(READY_WITHIN),
            program: None,
        }
    }

    /// Reads a folder of manifests.
    #[must_use]
    pub fn manifests(folder: &Path) -> Self {
        Self::new(Source::Manifests(folder.to_owned()))
    }

    /// Follows the API server of a kubeconfig.
    #[must_use]
    pub fn kubeconfig(file: &Path) -> Self {
        Self::new(Source::Kubeconfig(file.to_owned()))
    }
}

/// A running agent; dropping it kills it, as `kill -9` does. The data plane stays until the cluster goes.
#[derive(Debug)]
pub struct Agent {
    node: String,
    process: Process,
}

impl Agent {
    pub(super) fn start(node: &Node, options: &AgentOptions) -> anyhow::Result<Self> {
        let (agent, bound) = Self::begin(node, options)?;
        agent.until_ready(bound)
    }

    /// Starts it and waits for nothing; also gives how long it may take to be ready.
    pub(super) fn begin(node: &Node, options: &AgentOptions) -> anyhow::Result<(Self, Duration)> {
        let AgentOptions {
            source,
            arguments,
            log,
            ready_within,
            program,
        } = options;
        let (flag, path) = match source {
            Source::Manifests(folder) => ("--manifests", folder),
            Source::Kubeconfig(file) => ("--kubeconfig", file),
        };
        let path = path.to_str().context("the source's path is not UTF-8")?;
        let mut own: Vec<&str> = vec!["--hostname-override", node.name(), "--pod-devices", "pod*"];
        own.extend(["--log-format", "json", flag, path]);
        own.extend(arguments.iter().map(String::as_str));
        let process = run(node, program.as_deref(), "run", &own, log)?;
        Ok((Self::of(node, process), *ready_within))
    }

    pub(super) fn start_container(node: &Node, container: &Container, folder: &Path) -> anyhow::Result<Self> {
        let process = run_container(node, container, folder)?;
        Self::of(node, process).until_ready(patience(READY_WITHIN))
    }

    fn of(node: &Node, process: Process) -> Self {
        Self {
            node: node.name().to_owned(),
            process,
        }
    }

    fn until_ready(self, bound: Duration) -> anyhow::Result<Self> {
        self.wait_for_message(bound, |message, _| message == "ready")
            .with_context(|| format!("kproxy on node {} is not ready after {bound:?}", self.node))?;
        Ok(self)
    }

    /// The running process, with its log on standard error.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stderr().text()
    }

    /// The fields of every log message of this text so far, oldest first.
    #[must_use]
    pub fn messages(&self, wanted: &str) -> Vec<Value> {
        self.timed_messages(wanted)
            .into_iter()
            .map(|(_, fields)| fields)
            .collect()
    }

    /// The same, each with the time at which it came.
    #[must_use]
    pub fn timed_messages(&self, wanted: &str) -> Vec<(Instant, Value)> {
        let lines = self.process.stderr().timed_lines().into_iter();
        let messages = lines.filter_map(|line| Some((line.came, message(&line.text)?)));
        messages
            .filter(|(_, (text, _))| text == wanted)
            .map(|(came, (_, fields))| (came, fields))
            .collect()
    }

    /// Waits for a log message, old or new, by its text and fields.
    ///
    /// # Errors
    /// When none comes in time or the agent ends, with its log.
    pub fn wait_for_message(
        &self,
        bound: Duration,
        mut wanted: impl FnMut(&str, &Value) -> bool,
    ) -> anyhow::Result<Value> {
        let pick = |line: &str| {
            message(line)
                .filter(|(text, fields)| wanted(text, fields))
                .map(|(_, fields)| fields)
        };
        let Some(fields) = self.process.stderr().wait_for(bound, pick) else {
            bail!(
                "the awaited message did not come; the log of kproxy on node {}:\n{}",
                self.node,
                self.log()
            );
        };
        Ok(fields)
    }

    /// Ends it with SIGTERM; the data plane stays.
    ///
    /// # Errors
    /// When it does not end, or not with 0.
    pub fn stop(mut self) -> anyhow::Result<()> {
        self.process.signal(Signal::SIGTERM)?;
        let status = self.process.wait(patience(STOP_BOUND))?;
        ensure!(
            status.success(),
            "kproxy on node {} ended with {status}:\n{}",
            self.node,
            self.log()
        );
        Ok(())
    }

    /// Waits until it ends by itself, and answers how, with its log.
    ///
    /// # Errors
    /// When it goes on.
    pub fn ended(mut self, bound: Duration) -> anyhow::Result<(ExitStatus, String)> {
        let status = self.process.wait(bound)?;
        Ok((status, self.log()))
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// When it was gone already.
    pub fn kill(mut self) -> anyhow::Result<ExitStatus> {
        self.process.signal(Signal::SIGKILL)?;
        self.process.wait(patience(STOP_BOUND))
    }
}

/// Starts a kproxy command for a node.
pub(super) fn run(
    node: &Node,
    program: Option<&Path>,
    command: &str,
    arguments: &[&str],
    log: &str,
) -> anyhow::Result<Process> {
    let program = match program {
        Some(program) => program.to_owned(),
        None => binary("kproxy", "KPROXY_BINARY", "kproxy")?,
    };
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path is not UTF-8");
    let (pin_dir, cgroup) = (text(node.pin_dir())?, text(node.cgroup())?);
    let mut all = vec![command, "--pin-dir", &pin_dir, "--cgroup", &cgroup];
    all.extend(arguments);
    Process::start(
        &program,
        all,
        &[("RUST_LOG", log)],
        node.host().namespace(),
        &node.agents,
    )
    .with_context(|| format!("kproxy {command} on node {}", node.name()))
}

/// Starts a container on a node, in its network and outside of its cgroup.
pub(super) fn run_container(node: &Node, container: &Container, folder: &Path) -> anyhow::Result<Process> {
    let (description, root) = (folder.join("description"), folder.join("root"));
    let text = serde_json::to_string(container).context("cannot describe a container")?;
    fs::write(&description, text).context("cannot describe a container")?;
    fs::create_dir_all(&root).context("cannot make a folder for a container's root")?;
    Process::start(
        &binary("contain", "KPROXY_CONTAIN", "kproxy-tests")?,
        [&description, &root],
        &[],
        node.host().namespace(),
        &node.agents,
    )
    .with_context(|| format!("a container on node {}", node.name()))
}

/// Text and fields of a log line in the JSON format of `tracing-subscriber`.
fn message(line: &str) -> Option<(String, Value)> {
    let mut line: Value = serde_json::from_str(line).ok()?;
    // Flattened events have no `fields` of their own.
    let fields = line.get_mut("fields").map(Value::take).unwrap_or(line);
    let text = fields.get("message")?.as_str()?.to_owned();
    Some((text, fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_lines_are_read_in_both_shapes() {
        for line in [
            r#"{"level":"INFO","fields":{"message":"programmed","writes":3},"target":"kproxy"}"#,
            r#"{"level":"INFO","message":"programmed","writes":3,"target":"kproxy"}"#,
        ] {
            let (text, fields) = message(line).unwrap();
            assert_eq!(
                (text.as_str(), &fields["writes"]),
                ("programmed", &Value::from(3))
            );
        }
        assert!(message("thread main panicked").is_none());
    }
}
