//! Starts what a world is made of.

use std::{fs, thread};

use anyhow::{Context, ensure};
use k8s_openapi::{api::core::v1::Node, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, api::PostParams};
use serde_json::json;

use super::{
    Given,
    manifests::{Manifests, PodManifest},
};
use crate::cluster::{self, Agent, AgentOptions, Cluster, Process, Relay, Via};

/// Nodes and pods as network namespaces.
pub(super) fn build_cluster(manifests: &Manifests) -> anyhow::Result<Cluster> {
    ensure!(
        manifests.pod("client").is_some(),
        "the manifests have no pod named client"
    );
    let mut builder = Cluster::builder("demo");
    for node in manifests.nodes() {
        let pods = manifests.pods.iter().filter(|pod| pod.node == node);
        builder = builder.node(node, |builder| {
            pods.fold(builder, |builder, pod| builder.pod(&pod.name))
        });
    }
    builder.build()
}

/// An echo server in every pod that has ports.
pub(super) fn start_servers(cluster: &Cluster, manifests: &Manifests) -> anyhow::Result<Vec<Process>> {
    let serving = manifests.pods.iter().filter(|pod| !pod.ports.is_empty());
    let start = |pod: &PodManifest| {
        cluster
            .pod(&pod.name)
            .serve(Via::Socket, &pod.port_numbers("TCP"), &pod.port_numbers("UDP"))
    };
    serving.map(start).collect()
}

/// As kubelets do.
pub(super) async fn register_nodes(given: &Given, cluster: &Cluster) -> anyhow::Result<()> {
    let api: Api<Node> = Api::all(given.client.clone());
    for node in cluster.nodes() {
        let ranges = node.pod_ranges();
        let metadata = ObjectMeta {
            name: Some(node.name().to_owned()),
            labels: Some([("kubernetes.io/hostname".to_owned(), node.name().to_owned())].into()),
            ..ObjectMeta::default()
        };
        let object = serde_json::from_value(json!({
            "metadata": metadata,
            "spec": { "podCIDR": ranges[0], "podCIDRs": ranges },
            "status": { "addresses": node.host().addresses().both().map(|address| {
                json!({ "type": "InternalIP", "address": address.to_string() })
            }) },
        }))?;
        let registering = || format!("register node {}", node.name());
        api.create(&PostParams::default(), &object)
            .await
            .with_context(registering)?;
    }
    Ok(())
}

/// kproxy on every node, ready.
pub(super) fn start_agents(
    given: &Given,
    cluster: &Cluster,
    relay: &Relay,
) -> anyhow::Result<Vec<(String, Agent)>> {
    let kubeconfig = given.folder.join("kubeconfig-of-nodes");
    fs::write(&kubeconfig, relay.kubeconfig(&given.kubeconfig)?)
        .with_context(|| format!("cannot write {}", kubeconfig.display()))?;
    let options = AgentOptions::kubeconfig(&kubeconfig);
    // All at once: a node does not wait for another.
    let start = |node: &cluster::Node| Ok((node.name().to_owned(), node.start_agent(&options)?));
    thread::scope(|scope| {
        let starting = cluster
            .nodes()
            .iter()
            .map(|node| scope.spawn(|| start(node)))
            .collect::<Vec<_>>();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        starting.into_iter().map(join).collect()
    })
}
