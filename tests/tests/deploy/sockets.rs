//! What `SYS_ADMIN` and the directory of network namespaces are for: a connected UDP socket in a pod is told when its
//! backend is gone (semantics 7.03, and what kube-proxy can not do for connected sockets).

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use anyhow::{Context, ensure};
use kproxy_tests::cluster::{Process, Via, ip};
use kproxy_tests::container::Container;
use kproxy_tests::echo::{Mode, Options};
use kproxy_tests::workload::{Member, Port, Workload, sockets};

use super::stage::{BOUND, Stage, on_stage};

const DNS: Port = Port {
    name: "dns",
    protocol: "UDP",
    port: 53,
    target: 8053,
};

/// How long it is watched that nothing happens.
const A_WHILE: Duration = Duration::from_secs(2);

/// ECONNABORTED for one that waits, EDESTADDRREQ for one that sends: it is not connected any more.
const TOLD: [&str; 2] = ["os error 103", "os error 89"];

async fn are_told(stage: Stage<'_>) -> anyhow::Result<()> {
    let container = stage.container().await?;
    ensure!(
        is_told(&stage, "dns", &container, BOUND).await?,
        "a socket was not told"
    );
    let mut less = container.clone();
    less.capabilities.remove("SYS_ADMIN");
    ensure!(
        !is_told(&stage, "dns-2", &less, A_WHILE).await?,
        "nobody needs SYS_ADMIN for this"
    );
    let mut less = container;
    less.mounts
        .retain(|mount| mount.target.to_str() != Some("/run/netns"));
    ensure!(
        !is_told(&stage, "dns-3", &less, A_WHILE).await?,
        "nobody needs /run/netns for this"
    );
    Ok(())
}

/// The namespace of a pod that comes later than the agent is seen by it as well.
async fn later_pods_are_seen(stage: Stage<'_>) -> anyhow::Result<()> {
    let agent = stage.start(&stage.container().await?)?;
    // Goes with the cluster, whose namespaces begin like this.
    let name = format!("{}-later", stage.cluster.pod("process").namespace().name());
    ip::batch(None, &[format!("netns add {name}")])?;
    let identity = |root: &str| -> anyhow::Result<_> {
        let path = format!("{root}/run/netns/{name}");
        let metadata = fs::metadata(&path).with_context(|| format!("look at {path}"))?;
        Ok((metadata.dev(), metadata.ino()))
    };
    let (node, container) = (
        identity("")?,
        identity(&format!("/proc/{}/root", agent.process().id()))?,
    );
    ensure!(
        node == container,
        "the agent sees {container:?} instead of {node:?}"
    );
    agent.stop()
}

/// Whether a socket in a pod, connected by a service to a pod that the service then loses, is told.
async fn is_told(
    stage: &Stage<'_>,
    service: &str,
    container: &Container,
    within: Duration,
) -> anyhow::Result<bool> {
    let agent = stage.start(container)?;
    let workload = Workload::new(&stage.client);
    let [before, after] = ["web-1", "web-2"].map(|pod| Member::new(stage.cluster.pod(pod), "a"));
    let _servers = ["web-1", "web-2"]
        .map(|pod| stage.cluster.pod(pod).serve(Via::Socket, &[], &[DNS.target]))
        .into_iter()
        .collect::<anyhow::Result<Vec<_>>>()?;
    let addresses = workload.create(service, &[DNS]).await?;
    workload.publish(service, &[DNS], &[before]).await?;
    let [to, _] = sockets(addresses, DNS.port);
    let client = connected(stage, to)?;
    let answered = |line: &str| line.contains("web-1").then_some(());
    client
        .stdout()
        .wait_for(BOUND, answered)
        .with_context(|| format!("no answer: {}", client.stdout().text()))?;

    workload.publish(service, &[DNS], &[after]).await?;
    // Everybody who connects now comes to the new pod; the agent has done what it does about the old one soon after.
    stage.is_answered_by(to, "web-2")?;
    let told = |line: &str| TOLD.iter().any(|word| line.contains(word)).then_some(());
    let told = client.stdout().wait_for(within, told).is_some();
    agent.stop()?;
    Ok(told)
}

/// A client that asks on one socket for ever.
fn connected(stage: &Stage<'_>, to: SocketAddr) -> anyhow::Result<Process> {
    let options = Options::to(to).udp(Mode::Connect).keep().count(u64::MAX);
    let options = options
        .interval(Duration::from_millis(10))
        .timeout(Duration::from_millis(200));
    let arguments: Vec<_> = std::iter::once("client".to_owned())
        .chain(options.arguments())
        .collect();
    stage.cluster.pod("process").run(Via::Socket, &arguments)
}

#[test]
fn sockets_in_pods_are_told() {
    on_stage("sockets", are_told);
}

#[test]
fn pods_that_come_later_are_seen() {
    on_stage("later", later_pods_are_seen);
}
