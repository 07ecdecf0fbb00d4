//! A cluster of one node, an API server that has our manifests, and the node's kubelet.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kproxy_tests::apiserver::{ApiServer, Options as ServerOptions};
use kproxy_tests::cluster::{Agent, Cluster, Process, Via};
use kproxy_tests::container::{Container, image, kubelet::Kubelet};
use kproxy_tests::echo::{Mode, Options, Outcome};
use kproxy_tests::kubectl::{self, Overlay};
use kproxy_tests::workload::{Member, Port, Workload, sockets};
use kube::Client;

/// How long something may take to show. A bound against hanging, not a measurement.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

pub(crate) const NAMESPACE: &str = "kube-system";
pub(crate) const NAME: &str = "kproxy";

pub(crate) const WEB: Port = Port {
    name: "http",
    protocol: "TCP",
    port: 80,
    target: 8080,
};

pub(crate) struct Stage<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) api: ApiServer,
    pub(crate) client: Client,
    folder: tempfile::TempDir,
    _server: Process,
}

impl<'a> Stage<'a> {
    async fn new(cluster: &'a Cluster) -> anyhow::Result<Self> {
        let api = ApiServer::start_with(ServerOptions {
            address: SocketAddr::from((cluster.switch_addresses().v4, 0)),
            ..ServerOptions::default()
        })
        .await?;
        let stage = Self {
            cluster,
            client: api.client()?,
            api,
            folder: tempfile::tempdir()?,
            _server: cluster.pod("web-1").serve(Via::Socket, &[WEB.target], &[])?,
        };
        stage
            .api
            .write_kubeconfig(&stage.folder.path().join("kubeconfig"))?;
        // On a BPF file system a name has no dot; its root is a container's, as a node's is a node's.
        std::fs::create_dir_all(cluster.node("a").pin_dir())?;
        stage.apply("kproxy")?;
        Ok(stage)
    }

    /// `kubectl apply -k` of an overlay of this base, with the API server by name.
    pub(crate) fn apply(&self, base: &str) -> anyhow::Result<()> {
        let overlay = self.folder.path().join(format!("overlay-{base}"));
        Overlay {
            base,
            tag: "test",
            api_server: ("kubernetes", self.api.address().port()),
        }
        .write(&overlay)?;
        let output = Command::new(kubectl::program()?)
            .args(["apply", "-k"])
            .arg(&overlay)
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .env("KUBECACHEDIR", self.folder.path().join("cache"))
            .output()
            .context("cannot start kubectl")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl apply -k {base}: {errors}");
        Ok(())
    }

    /// What the node's kubelet makes of the daemon set.
    pub(crate) async fn container(&self) -> anyhow::Result<Container> {
        let node = self.cluster.node("a");
        let hosts = format!(
            "127.0.0.1 localhost\n{} kubernetes\n",
            self.cluster.switch_addresses().v4
        );
        let kubelet = Kubelet {
            node: node.name(),
            // Each is the node's own part of what this machine has once.
            host_paths: BTreeMap::from([
                ("/sys/fs/bpf", node.pin_dir().to_owned()),
                ("/sys/fs/cgroup", node.cgroup().to_owned()),
                ("/run/netns", "/run/netns".into()),
            ]),
            program: image::program()?,
            hosts: &hosts,
            authority: self.api.authority(),
            folder: self.folder.path(),
        };
        kubelet.container(&self.client, NAMESPACE, NAME).await
    }

    /// Starts a container that has to be ready.
    pub(crate) fn start(&self, container: &Container) -> anyhow::Result<Agent> {
        let node = self.cluster.node("a");
        node.start_container(container, self.folder.path())
    }

    /// Starts a container and leaves it alone.
    pub(crate) fn begin(&self, container: &Container) -> anyhow::Result<Process> {
        let node = self.cluster.node("a");
        node.run_container(container, self.folder.path())
    }

    /// Runs a container that ends by itself; its status and everything it said.
    pub(crate) fn run(&self, container: &Container) -> anyhow::Result<(bool, String)> {
        let mut process = self.begin(container)?;
        let status = process.wait(BOUND)?;
        let said = format!("{}\n{}", process.stdout().text(), process.stderr().text());
        Ok((status.success(), said))
    }

    /// The folder on the node where the container's pins are.
    pub(crate) fn pins(&self) -> PathBuf {
        self.cluster.node("a").pin_dir().join("kproxy")
    }

    /// A service with one pod.
    pub(crate) async fn publish(&self) -> anyhow::Result<[IpAddr; 2]> {
        let workload = Workload::new(&self.client);
        let addresses = workload.create("web", &[WEB]).await?;
        let member = Member::new(self.cluster.pod("web-1"), "a");
        workload.publish("web", &[WEB], &[member]).await?;
        Ok(addresses)
    }

    /// The service is answered in both families, by socket and by packet.
    pub(crate) fn is_served(&self, addresses: [IpAddr; 2]) -> anyhow::Result<()> {
        for (client, via) in [("process", Via::Socket), ("sandbox", Via::Packet)] {
            for to in sockets(addresses, WEB.port) {
                self.ask_until(client, via, &Options::to(to), "web-1")?;
            }
        }
        Ok(())
    }

    /// A datagram by a new socket comes to this pod.
    pub(crate) fn is_answered_by(&self, to: SocketAddr, pod: &str) -> anyhow::Result<()> {
        self.ask_until("process", Via::Socket, &Options::to(to).udp(Mode::Connect), pod)
    }

    fn ask_until(&self, client: &str, via: Via, options: &Options, pod: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + BOUND;
        loop {
            let reports = self.cluster.pod(client).ask(via, options)?;
            let report = reports.first().context("a client without a report")?;
            if report.result == Outcome::Ok && report.pod() == Some(pod) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{client} goes on getting {report:?} via {via:?}"
            );
        }
    }
}

/// Runs a test in the switch's namespace, where the node reaches what it listens on.
pub(crate) fn on_stage<F>(name: &str, test: F)
where
    F: for<'a> AsyncFnOnce(Stage<'a>) -> anyhow::Result<()> + Send,
{
    let node = |node: kproxy_tests::cluster::NodeBuilder| {
        node.pod("process").pod("sandbox").pod("web-1").pod("web-2")
    };
    let cluster = Cluster::builder(name).node("a", node).build().expect("a cluster");
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
