//! A contender's own cluster: the node under test with three pods, a node with one more, and a client outside. Every contender has
//! one of the same shape, so that nothing has to be torn down between rounds.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use kproxy_tests::cluster::{Cluster, Host, Namespace, Process, Via};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::services::{NODE_PORT, PORT, Services, TARGET};
use crate::translator::{PROGRAMMED_WITHIN, Running, Translator, program};
use crate::wire::Sink;

/// What starting and ending may take.
pub(crate) const BOUND: Duration = Duration::from_secs(20);
/// The service addresses' range: nothing but a proxy knows a way there.
const CLUSTER_IPS: &str = "10.96.0.0/16";

/// Everything that runs. Dropped in this order.
#[derive(Debug)]
pub(crate) struct Stage {
    translator: Translator,
    running: Running,
    _servers: Vec<Process>,
    services: Services,
    cpu: usize,
    sink: Option<Sink>,
    pub(crate) cluster: Cluster,
}

pub(crate) const NODE: &str = "under";
/// Asks by its sockets ...
const CLIENT: &str = "client";
/// ... and one that no hook of a socket sees, as in a sandboxed runtime. A pod is one or the other.
const APART: &str = "apart";
pub(crate) const NEAR: &str = "near";
pub(crate) const FAR: &str = "far";
pub(crate) const OUTSIDE: &str = "ext";

impl Stage {
    /// With so many services in force.
    pub(crate) fn new(
        translator: Translator,
        count: u32,
        cpu: usize,
        kube_proxy: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let cluster = Cluster::builder(translator.cluster())
            .node(NODE, |node| node.pod(CLIENT).pod(APART).pod(NEAR))
            .node("other", |node| node.pod(FAR))
            .client_outside(OUTSIDE)
            .build()?;
        let services = Services::new(count, cluster.pod(NEAR).v4(), cluster.pod(FAR).v4());
        prepare(&cluster)?;
        let port = cluster.node(NODE).host().device();
        let sink = cluster.switch().run(|| Sink::new(port, TARGET))?;
        // Whoever sends by XDP needs it; the others are only not measured by packets.
        let sink = if translator == Translator::KproxyXdp {
            Some(sink?)
        } else {
            sink.ok()
        };
        let servers = vec![
            serve(cluster.pod(NEAR), cpu, &[])?,
            // Its port is iperf3's by TCP.
            serve(cluster.pod(FAR), cpu, &["--datagrams"])?,
        ];
        let running = program(translator, &cluster, &services, kube_proxy)?;
        let mut stage = Self {
            translator,
            running,
            _servers: servers,
            services,
            cpu,
            sink,
            cluster,
        };
        stage.wait()?;
        Ok(stage)
    }

    /// Until the services are in force: all of them are at once, also those of a proxy that does not say when.
    fn wait(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PROGRAMMED_WITHIN;
        loop {
            let checked = self.check();
            let Running::KubeProxy(proxy) = &mut self.running else {
                return checked;
            };
            if checked.is_ok() || Instant::now() > deadline {
                return checked;
            }
            if let Some(words) = proxy.ended() {
                bail!("kube-proxy has ended: {words}");
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Where the client asks for the pod near it.
    pub(crate) fn near(&self) -> SocketAddr {
        match self.translator {
            Translator::Nobody => (self.cluster.pod(NEAR).v4(), TARGET).into(),
            Translator::Kproxy
            | Translator::KproxyXdp
            | Translator::Iptables
            | Translator::Nftables
            | Translator::KubeProxy => (self.services.asked().address(), PORT).into(),
        }
    }

    /// Where a client outside asks for the pod elsewhere.
    pub(crate) fn far(&self) -> SocketAddr {
        match self.translator {
            Translator::Nobody => (self.cluster.pod(FAR).v4(), TARGET).into(),
            Translator::Kproxy
            | Translator::KproxyXdp
            | Translator::Iptables
            | Translator::Nftables
            | Translator::KubeProxy => (self.node().v4(), NODE_PORT).into(),
        }
    }

    /// The pod that asks in this way.
    pub(crate) fn client(&self, via: Via) -> &Host {
        self.cluster.pod(match via {
            Via::Socket => CLIENT,
            Via::Packet => APART,
        })
    }

    /// The node under test.
    pub(crate) fn node(&self) -> &Host {
        self.cluster.node(NODE).host()
    }

    /// The end of the node's cable in the switch.
    pub(crate) fn port(&self) -> &str {
        self.node().device()
    }

    /// The processor that everything runs on.
    pub(crate) const fn cpu(&self) -> usize {
        self.cpu
    }

    /// What counts at that end.
    pub(crate) fn sink(&self) -> anyhow::Result<&Sink> {
        let sink = self.sink.as_ref();
        sink.with_context(|| format!("the driver of {} takes no XDP program", self.port()))
    }

    /// Runs this program to its end in a pod or a client outside, and reads what it says.
    pub(crate) fn run<T: DeserializeOwned>(
        &self,
        host: &Host,
        via: Via,
        part: &[String],
        takes: Duration,
    ) -> anyhow::Result<T> {
        let mut process = host.run_program(via, &myself()?, &arguments(self.cpu, part))?;
        let status = process.wait(BOUND + takes)?;
        ensure!(
            status.success(),
            "{} in {}: {}",
            part.join(" "),
            host.namespace().name(),
            process.stderr().text()
        );
        let text = process.stdout().text();
        serde_json::from_str(&text).with_context(|| format!("{} said {text}", part.join(" ")))
    }

    /// A wrong contender would be a fast one.
    fn check(&self) -> anyhow::Result<()> {
        let (client, outside) = (self.client(Via::Packet), self.cluster.client(OUTSIDE));
        let near = ["connect".to_owned(), self.near().to_string(), "1".to_owned()];
        let far = [
            "greet".to_owned(),
            self.far().to_string(),
            "20000".to_owned(),
            "4".to_owned(),
        ];
        self.run::<Value>(client, Via::Packet, &near, BOUND)?;
        self.run::<Value>(outside, Via::Packet, &far, BOUND)?;
        Ok(())
    }
}

fn myself() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("cannot find the running program")
}

fn arguments(cpu: usize, part: &[String]) -> Vec<String> {
    ["part".to_owned(), "--cpu".to_owned(), cpu.to_string()]
        .into_iter()
        .chain(part.iter().cloned())
        .collect()
}

fn serve(host: &Host, cpu: usize, flags: &[&str]) -> anyhow::Result<Process> {
    let mut part = vec!["serve".to_owned(), TARGET.to_string()];
    part.extend(flags.iter().map(|&flag| flag.to_owned()));
    let server = host.run_program(Via::Packet, &myself()?, &arguments(cpu, &part))?;
    let listens = server.stdout().wait_for(BOUND, |_| Some(()));
    listens.with_context(|| format!("{}: {}", host.name(), server.stderr().text()))?;
    Ok(server)
}

/// Settings that no contender profits from.
fn prepare(cluster: &Cluster) -> anyhow::Result<()> {
    let ports = [("net/ipv4/ip_local_port_range".to_owned(), "10000 60999")];
    for client in [CLIENT, APART] {
        cluster.pod(client).namespace().set_sysctls(&ports)?;
    }
    let backlog = [("net/core/somaxconn".to_owned(), "65535")];
    cluster.pod(NEAR).namespace().set_sysctls(&backlog)?;
    for host in [cluster.client(OUTSIDE), cluster.pod(FAR)] {
        // XDP sees neither that a checksum is still to be computed nor that a packet is many.
        ethtool(
            host.namespace(),
            "eth0",
            &["tx", "off", "tso", "off", "gso", "off"],
        )?;
    }
    // What comes in by the node's cable is received by NAPI, whoever translates.
    ethtool(cluster.node(NODE).host().namespace(), "eth0", &["gro", "on"])?;
    let (under, other) = (cluster.node(NODE), cluster.node("other"));
    // The node would tell of a shorter way; what goes by its translation can not take it.
    let silent = ["all", "eth0"].map(|device| (format!("net/ipv4/conf/{device}/send_redirects"), "0"));
    under.host().namespace().set_sysctls(&silent)?;
    let outside = cluster.client(OUTSIDE);
    // There and back through the node under test also where nobody translates.
    let node = under.host().v4();
    ip(
        outside.namespace(),
        &format!("route add {} via {node}", other.pod_ranges()[0]),
    )?;
    ip(
        outside.namespace(),
        &format!("route add {CLUSTER_IPS} via {node}"),
    )?;
    ip(
        other.host().namespace(),
        &format!("route add {} via {node}", outside.v4()),
    )
}

fn ip(namespace: &Namespace, line: &str) -> anyhow::Result<()> {
    kproxy_tests::cluster::ip::batch(Some(namespace.name()), &[line.to_owned()])
}

/// Changes what a device does instead of the kernel.
pub(crate) fn ethtool(namespace: &Namespace, device: &str, features: &[&str]) -> anyhow::Result<()> {
    let output = namespace.run(|| {
        Command::new("ethtool")
            .args(["-K", device])
            .args(features)
            .output()
    })?;
    let output = output.context("cannot run `ethtool`; install it: apt-get install ethtool")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ethtool -K {device}: {}", words.trim());
    Ok(())
}
