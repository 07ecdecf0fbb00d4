//! What the agent is made of, opened as the configuration says.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use kproxy_common::{Family, Settings, SparePorts};
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;

use super::super::set_up::set_up;
use super::awaited::Awaited;
use super::placing::Placing;
use crate::causes::one_line;
use crate::config::watch::ConfigFile;
use crate::config::{self, Config, PortRange};
use crate::dataplane::Dataplane;
use crate::node::{ephemeral, features, oom};
use crate::plan::MapContents;
use crate::serve::{self, Events, Status};
use crate::sockets::{Report, Sources, Sweeper};
use crate::source::{Event, KubernetesOptions, kubernetes, kubernetes_client, manifests};

/// How long what needs the addresses of the Node object waits for them (semantics 10.19).
const NODE_PATIENCE: Duration = Duration::from_secs(30);

/// What is set on the machine before anything is served.
pub(super) fn prepare(config: &Config, families: &[Family]) -> Result<()> {
    config.check_families(families)?;
    if !families.contains(&Family::V6) {
        tracing::info!("this node has no IPv6: services are served in IPv4 only");
    }
    oom::adjust(config.oom_score_adj);
    set_up(config)
}

/// The constants of the kernel programs.
pub(super) fn settings(config: &Config, families: &[Family]) -> Settings {
    let served = families
        .iter()
        .copied()
        .filter(|family| config.serves_loopback(*family));
    Settings {
        loopback_node_ports: Settings::loopback_node_ports(served),
        route_source: features::route_source().into(),
        spare_ports: spare_ports(config.own.node_port_range, ephemeral::ports()),
        ..Settings::DEFAULT
    }
}

/// Source ports for clients whose own is taken. A NodePort out of its range is not taken from a client either, but may be
/// one of these. They are the node's own ports only where it has left no other.
fn spare_ports(node_ports: PortRange, ephemeral: RangeInclusive<u16>) -> SparePorts {
    let spare = SparePorts::without(node_ports.ports(), ephemeral.clone());
    if !spare.is_empty() {
        return spare;
    }
    tracing::warn!(
        "NodePorts ({node_ports}) and net.ipv4.ip_local_port_range ({} to {}) leave no port for clients outside whose \
         own is taken; they get ports that this node's own connections may have as well: make that range smaller",
        ephemeral.start(),
        ephemeral.end()
    );
    SparePorts::without(node_ports.ports(), 0..=0)
}

/// Ends the tasks when the configuration file changes.
pub(super) fn follow_file(tasks: &mut JoinSet<Result<()>>, file: Option<ConfigFile>) -> Result<()> {
    if let Some(file) = file {
        let watching = config::watch::watch(file)?;
        tasks.spawn(async move { Err(watching.await.into()) });
    }
    Ok(())
}

/// Events and Node objects are a cluster's; a directory of manifests need not have them.
pub(super) async fn status(config: &Config) -> Result<Status> {
    let in_cluster = config.own.manifests.is_none();
    let events = if in_cluster {
        let client = kubernetes_client(&kubernetes_options(config)).await?;
        Events::of_cluster(client, &config.node_name)
    } else {
        Events::none()
    };
    Status::new(config.sync_period, in_cluster, events).context("define metrics")
}

/// Follows Services, their endpoints, this node and the ranges of ClusterIPs.
pub(super) async fn source(config: &Config, sender: Sender<Event>) -> Result<BoxFuture<'static, Result<()>>> {
    if let Some(directory) = config.own.manifests.clone() {
        return Ok(manifests(directory, sender)?.map(Ok).boxed());
    }
    let following = kubernetes(kubernetes_options(config), sender).await?;
    Ok(following.map_err(anyhow::Error::from).boxed())
}

fn kubernetes_options(config: &Config) -> KubernetesOptions {
    KubernetesOptions {
        kubeconfig: config.connection.kubeconfig.clone(),
        master: config.connection.master.clone(),
        node_name: config.node_name.clone(),
    }
}

/// What decides on the node's addresses. A directory of manifests need not have a Node object, so nobody waits for it.
pub(super) fn placing(config: &Config, contents: &MapContents) -> Placing {
    let placing = Placing::new(config.node_port_addresses.clone(), config.bind_address)
        .telling_apart(config.detector.clone());
    if config.own.manifests.is_some() {
        return placing;
    }
    placing.awaiting(Awaited::new(Instant::now() + NODE_PATIENCE, contents))
}

/// What is served about the agent, and where.
pub(super) fn server_options(config: &Config) -> Result<serve::Options> {
    Ok(serve::Options {
        healthz: config.healthz,
        metrics: config.metrics,
        hard_fail: config.bind_hard_fail,
        profiling: config.profiling,
        mode: config.mode.to_string(),
        config_document: serde_json::to_value(&config.document)
            .context("write the configuration for /configz")?,
        ..serve::Options::new(&config.node_name)
    })
}

/// Services work without it, so that what it lacks is no reason to fail.
pub(super) fn sweeper(dataplane: &mut Dataplane, directories: &[PathBuf], status: Status) -> Option<Sweeper> {
    let sources = Sources {
        directories: directories.to_vec(),
        ..Sources::default()
    };
    let told = move |report: &Report, took| status.swept(took, &report.destroyed_by_family);
    let peers = dataplane.stale_peers().map_err(anyhow::Error::from);
    let sweeper = peers.and_then(|peers| Ok(Sweeper::start(sources, peers, told)?));
    sweeper
        .inspect_err(|error| {
            let error = one_line(error.as_ref());
            tracing::warn!(
                "{error}; connected UDP sockets are not told when their backend is gone; that needs the capability \
                 PERFMON or SYS_ADMIN, and a kernel that has its types in /sys/kernel/btf/vmlinux"
            );
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spare_ports_keep_clear_of_node_ports_and_of_the_node_s_own_where_they_can() {
        let all = |ports: SparePorts| (0..u32::from(ports.len())).map(move |place| ports.at(place));
        let range: PortRange = "20000-20999".parse().expect("a range");
        let ports = spare_ports(range, 32_768..=60_999);
        assert_eq!(usize::from(ports.len()), 64_512 - 1_000 - 28_232);
        assert!(all(ports).all(|port| !(20_000..=20_999).contains(&port)));
        assert!(
            all(ports).any(|port| port == 30_000),
            "nothing else is kept clear of"
        );

        let ports = spare_ports(PortRange::NODE_PORTS, 1_024..=65_535);
        assert_eq!(usize::from(ports.len()), 64_512 - 2_768);
        assert!(all(ports).all(|port| !(30_000..=32_767).contains(&port)));
    }
}
