//! Anything with a network namespace that runs processes: a pod, a node, a client outside.

use std::{
    ffi::OsStr,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use anyhow::{Context, ensure};
use nix::sys::signal::Signal;

use super::{
    cgroup::Cgroup,
    layout::{Addresses, HostLayout},
    namespace::Namespace,
    process::{Process, binary},
};
use crate::{
    echo::{Options, Report, Totals, load::Event},
    patience::patience,
};

/// How long a process may take for what it does at once.
const PROMPT: Duration = Duration::from_secs(30);

/// Which door of the node a process meets first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// Inside the node's cgroup: the socket door translates.
    Socket,
    /// Outside of the node's cgroup, as with Kata or gVisor: only the packets can be translated.
    Packet,
}

/// Cgroups for the processes of one host.
#[derive(Clone, Debug)]
pub struct Cgroups {
    /// For [`Via::Socket`].
    pub(super) socket: Cgroup,
    /// For [`Via::Packet`].
    pub(super) packet: Cgroup,
}

/// A pod, a node, or a client outside.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    addresses: Addresses,
    device: String,
    namespace: Namespace,
    cgroups: Cgroups,
}

impl Host {
    pub(super) fn new(layout: &HostLayout, namespace: Namespace, cgroups: Cgroups) -> Self {
        let HostLayout {
            name,
            namespace: _,
            addresses,
            device,
        } = layout.clone();
        Self {
            name,
            addresses,
            device,
            namespace,
            cgroups,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its addresses.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its IPv4 address.
    #[must_use]
    pub fn v4(&self) -> Ipv4Addr {
        self.addresses.v4
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn v6(&self) -> Ipv6Addr {
        self.addresses.v6
    }

    /// Both addresses with a port, IPv4 first.
    #[must_use]
    pub fn sockets(&self, port: u16) -> [SocketAddr; 2] {
        self.addresses
            .both()
            .map(|address: IpAddr| (address, port).into())
    }

    /// The other end of its cable: for a pod its device in the node.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Its network namespace.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Runs the echo binary with these arguments.
    ///
    /// # Errors
    /// When it can not be started.
    pub fn run(&self, via: Via, arguments: &[impl AsRef<OsStr>]) -> anyhow::Result<Process> {
        self.run_program(via, &binary("echo", "KPROXY_ECHO", "kproxy-tests")?, arguments)
    }

    /// Runs any program.
    ///
    /// # Errors
    /// When it can not be started.
    pub fn run_program(
        &self,
        via: Via,
        program: &Path,
        arguments: &[impl AsRef<OsStr>],
    ) -> anyhow::Result<Process> {
        let cgroup = match via {
            Via::Socket => &self.cgroups.socket,
            Via::Packet => &self.cgroups.packet,
        };
        Process::start(program, arguments, &[], &self.namespace, cgroup)
            .with_context(|| format!("in {}", self.name))
    }

    /// Starts an echo server of this host's name on these ports of both families; it listens when this returns.
    ///
    /// # Errors
    /// When it does not listen in time, with its words.
    pub fn serve(&self, via: Via, tcp: &[u16], udp: &[u16]) -> anyhow::Result<Process> {
        let tcp = tcp.iter().map(|port| ("--tcp", *port));
        let udp = udp.iter().map(|port| ("--udp", *port));
        self.serve_on(via, tcp.chain(udp))
    }

    /// The same by TCP, UDP and SCTP, all on this port.
    ///
    /// # Errors
    /// When it does not listen in time, with its words: not every kernel has SCTP.
    pub fn serve_everything(&self, via: Via, port: u16) -> anyhow::Result<Process> {
        self.serve_on(via, ["--tcp", "--udp", "--sctp"].map(|flag| (flag, port)))
    }

    fn serve_on(
        &self,
        via: Via,
        ports: impl IntoIterator<Item = (&'static str, u16)>,
    ) -> anyhow::Result<Process> {
        let mut arguments = vec!["serve".to_owned(), "--name".to_owned(), self.name.clone()];
        let ports = ports.into_iter();
        arguments.extend(ports.flat_map(|(flag, port)| [flag.to_owned(), port.to_string()]));
        let server = self.run(via, &arguments)?;
        let listens = server
            .stdout()
            .wait_for(patience(PROMPT), |line| line.contains("listening").then_some(()));
        listens.with_context(|| {
            format!(
                "the echo server in {} does not listen: {}",
                self.name,
                server.stderr().text()
            )
        })?;
        Ok(server)
    }

    /// Runs an echo client to its end.
    ///
    /// # Errors
    /// When it does not end in the time its options allow, or fails other than in its reports.
    pub fn ask(&self, via: Via, options: &Options) -> anyhow::Result<Vec<Report>> {
        let requests = u32::try_from(options.count).context("too many requests for a test")?;
        let bound = patience(PROMPT) + (options.interval + options.timeout) * requests;
        let mut client = self.run(via, &with_command("client", options))?;
        let status = client.wait(bound)?;
        ensure!(
            status.success(),
            "the echo client in {} failed: {}",
            self.name,
            client.stderr().text()
        );
        let lines = client.stdout().lines();
        lines
            .iter()
            .map(|line| serde_json::from_str(line).context("cannot read a client's report"))
            .collect()
    }

    /// Starts a load that goes on until it is stopped.
    ///
    /// # Errors
    /// When it can not be started.
    pub fn load(&self, via: Via, options: &Options, workers: usize) -> anyhow::Result<Load> {
        let mut arguments = with_command("load", options);
        arguments.extend(["--workers".to_owned(), workers.to_string()]);
        Ok(Load {
            process: self.run(via, &arguments)?,
        })
    }
}

fn with_command(command: &str, options: &Options) -> Vec<String> {
    std::iter::once(command.to_owned())
        .chain(options.arguments())
        .collect()
}

/// Clients that ask without a pause until they are stopped.
#[derive(Debug)]
pub struct Load {
    process: Process,
}

impl Load {
    /// What it came to so far; a tenth of a second old at most.
    #[must_use]
    pub fn progress(&self) -> Totals {
        let progress = self.events().rev().find_map(|event| match event {
            Event::Progress(totals) | Event::Totals(totals) => Some(totals),
            Event::Failure(_) => None,
        });
        progress.unwrap_or_default()
    }

    /// Requests that were not answered so far.
    #[must_use]
    pub fn failures(&self) -> Vec<Report> {
        let failures = self.events().filter_map(|event| match event {
            Event::Failure(report) => Some(*report),
            Event::Progress(_) | Event::Totals(_) => None,
        });
        failures.collect()
    }

    /// Stops it and returns what it came to.
    ///
    /// # Errors
    /// When it does not stop or has failed.
    pub fn stop(mut self) -> anyhow::Result<(Totals, Vec<Report>)> {
        self.process.signal(Signal::SIGTERM)?;
        self.process.wait(patience(PROMPT))?;
        let totals = self.events().find_map(|event| match event {
            Event::Totals(totals) => Some(totals),
            Event::Progress(_) | Event::Failure(_) => None,
        });
        let totals =
            totals.with_context(|| format!("the load ended badly: {}", self.process.stderr().text()))?;
        Ok((totals, self.failures()))
    }

    fn events(&self) -> impl DoubleEndedIterator<Item = Event> {
        self.process
            .stdout()
            .lines()
            .into_iter()
            .filter_map(|line| serde_json::from_str(&line).ok())
    }
}
