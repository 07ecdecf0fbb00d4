//! What an agent says about itself: probes, metrics, and events of the cluster.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kproxy_tests::cluster::Cni;
use kproxy_tests::echo::Outcome;
use kproxy_tests::workload::sockets;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::stage::{BOUND, Server, Stage, WEB, on_stage};

const HEALTH: u16 = 10_256;
const METRICS: u16 = 10_249;

/// Status code and body of what the agent of node a says.
fn get(stage: &Stage<'_>, port: u16, path: &str) -> Result<(u16, String)> {
    let ask = || -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let node = stage.cluster.node("a").host();
    let answer = node
        .namespace()
        .run(ask)?
        .with_context(|| format!("{port}{path}"))?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("an answer without an end")?;
    let code = head.split(' ').nth(1).context("an answer without a code")?;
    Ok((code.parse()?, body.to_owned()))
}

/// The sum of all series of a metric whose labels have this text.
fn metric(stage: &Stage<'_>, name: &str, labels: &str) -> Result<f64> {
    let (code, page) = get(stage, METRICS, "/metrics")?;
    ensure!(code == 200, "/metrics answers {code}: {page}");
    let series = page.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(labels))
    });
    let values = series.map(|line| {
        line.rsplit_once(' ')
            .map_or("", |(_, value)| value)
            .parse::<f64>()
    });
    let values = values.collect::<Result<Vec<_>, _>>()?;
    ensure!(!values.is_empty(), "no {name} with {labels} in {page}");
    Ok(values.iter().sum())
}

/// Asks until it is so.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + BOUND;
    while !holds().await? {
        ensure!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

/// The Node object decides about `/healthz`, and about nothing else.
async fn probes(stage: Stage<'_>) -> Result<()> {
    let code = |path| Ok::<_, anyhow::Error>(get(&stage, HEALTH, path)?.0);
    ensure!(code("/livez")? == 200, "9.08");
    ensure!(code("/healthz")? == 503, "9.09 there is no such Node yet");
    let nodes = Api::<Node>::all(stage.api.client()?);
    let node = serde_json::from_value(json!({"metadata": {"name": "a"}}))?;
    nodes.create(&PostParams::default(), &node).await?;
    until("9.09 eligible", async || Ok(code("/healthz")? == 200)).await?;
    let taint = json!({"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"});
    let patch = Patch::Merge(json!({"spec": {"taints": [taint]}}));
    nodes.patch("a", &PatchParams::default(), &patch).await?;
    until("9.09 about to go", async || Ok(code("/healthz")? == 503)).await?;
    ensure!(code("/livez")? == 200, "9.08");
    let body: Value = serde_json::from_str(&get(&stage, HEALTH, "/healthz")?.1)?;
    ensure!(
        body["healthy"] == true && body["nodeEligible"] == false,
        "9.09 {body}"
    );
    Ok(())
}

/// Numbers of the running data plane, and the latency of a change from its trigger.
async fn metrics(stage: Stage<'_>) -> Result<()> {
    let addresses = stage.workload.create("web", &[WEB]).await?;
    stage
        .workload
        .publish("web", &[WEB], &stage.members(0..3))
        .await?;
    // A connection that began before its service was there may have been translated at another door than the one it asked.
    for destination in [sockets(addresses, WEB.port); 2].concat() {
        stage.until(destination, |result, _| result == Outcome::Ok)?;
    }
    let (code, mode) = get(&stage, METRICS, "/proxyMode")?;
    ensure!((code, mode.as_str()) == (200, "nftables"), "9.17 {code} {mode}");
    let rows = [
        ("kproxy_outcomes_total", "door=\"socket\",outcome=\"new\"", 2.0),
        ("kproxy_flows_new_total", "door=\"pod_ingress\"", 2.0),
        ("kproxy_map_entries", "map=\"FRONTENDS\"", 2.0),
        ("kproxy_map_entries", "map=\"BACKENDS\"", 6.0),
        ("kproxy_map_entries", "map=\"FLOWS\"", 4.0),
        ("kproxy_map_capacity", "map=\"FLOWS\"", 1_024.0),
        ("kproxy_map_writes_total", "", 16.0),
        ("kproxy_devices", "door=\"pod\"", 2.0),
        ("kproxy_programming_duration_seconds_count", "", 1.0),
        ("kubeproxy_sync_proxy_rules_duration_seconds_count", "IPv6", 1.0),
        (
            "kubeproxy_sync_full_proxy_rules_duration_seconds_count",
            "IPv4",
            1.0,
        ),
        ("kubeproxy_sync_proxy_rules_last_timestamp_seconds", "IPv4", 1.7e9),
        ("process_resident_memory_bytes", "", 1.0),
    ];
    for (name, labels, least) in rows {
        let value = metric(&stage, name, labels)?;
        ensure!(value >= least, "{name} {labels}: {value}, not {least}");
    }

    let count = || metric(&stage, "kubeproxy_network_programming_duration_seconds_count", "");
    ensure!(count()? == 0.0, "9.20 nobody told of a trigger");
    let slices = Api::<EndpointSlice>::default_namespaced(stage.api.client()?);
    let list = slices.list(&kube::api::ListParams::default()).await?;
    let mut changed = 0.0;
    for slice in list.items {
        let name = slice.metadata.name.unwrap_or_default();
        if !name.starts_with("web") {
            continue;
        }
        let trigger = Timestamp::now().to_string();
        let annotations = json!({"endpoints.kubernetes.io/last-change-trigger-time": trigger});
        let patch = Patch::Merge(json!({
            "metadata": {"annotations": annotations},
            "endpoints": slice.endpoints.get(..1),
        }));
        slices.patch(&name, &PatchParams::default(), &patch).await?;
        changed += 1.0;
    }
    ensure!(changed > 1.0, "a slice for each family");
    until("9.20 a sample for each trigger", async || Ok(count()? >= changed)).await?;
    ensure!(count()? <= changed, "9.20 and no more");
    Ok(())
}

/// The cluster hears of the start, and of objects that can not be used.
async fn events(stage: Stage<'_>) -> Result<()> {
    let client: Client = stage.api.client()?;
    let bad = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "bad", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.300", "clusterIPs": ["10.96.0.300"], "ports": [{"port": 80, "protocol": "TCP"}]},
    });
    stage.api.insert_unchecked(bad)?;
    let events = Api::<Event>::default_namespaced(client);
    let told = async |reason: &str, kind: &str, name: &str| {
        let list = events.list(&kube::api::ListParams::default()).await?;
        let found = list.items.iter().filter(|event| {
            let about = event.regarding.as_ref();
            event.reason.as_deref() == Some(reason)
                && event.reporting_controller.as_deref() == Some("kube-proxy")
                && event.reporting_instance.as_deref() == Some("a")
                && about.and_then(|about| about.kind.as_deref()) == Some(kind)
                && about.and_then(|about| about.name.as_deref()) == Some(name)
        });
        Ok::<_, anyhow::Error>(found.count())
    };
    until("9.22", async || Ok(told("Starting", "Node", "a").await? == 1)).await?;
    until("a bad Service", async || {
        Ok(told("InvalidService", "Service", "bad").await? == 1)
    })
    .await?;
    let problems = metric(&stage, "kproxy_problems", "")?;
    ensure!(problems >= 1.0, "{problems} problems");
    Ok(())
}

/// A load balancer learns on the Service's own port whether the node has endpoints of it.
async fn health_check_port(stage: Stage<'_>) -> Result<()> {
    const PORT: u16 = 32_100;
    stage.workload.create("web", &[WEB]).await?;
    let services = Api::<Service>::default_namespaced(stage.api.client()?);
    let spec = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": PORT});
    let patch = Patch::Merge(json!({ "spec": spec }));
    services.patch("web", &PatchParams::default(), &patch).await?;
    // Of these the first is on node a, and the second and third are not.
    for (members, code, count) in [(0..1, 200, 1), (1..3, 503, 0), (0..3, 200, 1)] {
        stage
            .workload
            .publish("web", &[WEB], &stage.members(members))
            .await?;
        let answers = async || {
            let Ok((found, body)) = get(&stage, PORT, "/") else {
                return Ok(false);
            };
            let body: Value = serde_json::from_str(&body)?;
            Ok(found == code && body["localEndpoints"] == count)
        };
        until("3.53, 3.55, 3.56", answers).await?;
    }
    let patch = Patch::Merge(
        json!({"spec": {"type": "ClusterIP", "externalTrafficPolicy": null, "healthCheckNodePort": null}}),
    );
    services.patch("web", &PatchParams::default(), &patch).await?;
    until("3.58 closed", async || Ok(get(&stage, PORT, "/").is_err())).await
}

#[test]
fn health_check_node_ports_follow_the_endpoints() {
    on_stage("healthport", Cni::RoutedVeth, Server::Any, health_check_port);
}

#[test]
fn probes_follow_the_node_object() {
    on_stage("probes", Cni::RoutedVeth, Server::Any, probes);
}

#[test]
fn metrics_are_those_of_the_running_data_plane() {
    on_stage("metrics", Cni::RoutedVeth, Server::Any, metrics);
}

#[test]
fn events_reach_the_cluster() {
    on_stage("events", Cni::RoutedVeth, Server::WithFaults, events);
}
