//! The daemon set's probes are answered as the kubelet asks them.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::stage::{BOUND, NAME, NAMESPACE, Stage, on_stage};

/// Status code of what the node's kubelet hears. A pod in the node's network has the node's address, which may be of
/// either family.
fn ask(stage: &Stage<'_>, probe: &Probe, at: IpAddr) -> anyhow::Result<u16> {
    let get = probe.http_get.as_ref().context("a probe that asks nothing")?;
    let IntOrString::Int(port) = get.port else {
        anyhow::bail!("a port by name: {:?}", get.port);
    };
    let path = get.path.as_deref().context("a probe without a path")?;
    let node = stage.cluster.node("a").host();
    let to = SocketAddr::new(at, u16::try_from(port)?);
    let ask = || -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(to).with_context(|| format!("reach {to:?}"))?;
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = node.namespace().run(ask)??;
    let code = answer.split(' ').nth(1).context("an answer without a code")?;
    Ok(code.parse()?)
}

/// The probes of the daemon set's container: startup, liveness, readiness.
async fn probes(stage: &Stage<'_>) -> anyhow::Result<[Probe; 3]> {
    let sets: Api<DaemonSet> = Api::namespaced(stage.client.clone(), NAMESPACE);
    let pod = sets.get(NAME).await?.spec.and_then(|spec| spec.template.spec);
    let [container] = &pod.context("a daemon set without pods")?.containers[..] else {
        anyhow::bail!("more than one container");
    };
    let probe = |probe: &Option<Probe>, name| probe.clone().with_context(|| format!("no {name} probe"));
    Ok([
        probe(&container.startup_probe, "startup")?,
        probe(&container.liveness_probe, "liveness")?,
        probe(&container.readiness_probe, "readiness")?,
    ])
}

/// 9.08, 9.09: an agent lives from its start, and is ready when its node may have traffic. On a node of either family.
async fn are_answered(stage: Stage<'_>) -> anyhow::Result<()> {
    let probes = probes(&stage).await?;
    let agent = stage.start(&stage.container().await?)?;
    let addresses = stage.cluster.node("a").host().addresses().both();
    for at in addresses {
        let codes = probes.iter().map(|probe| ask(&stage, probe, at));
        let codes = codes.collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(codes == [200, 200, 503], "{at} without a Node object: {codes:?}");
    }
    let nodes: Api<Node> = Api::all(stage.client.clone());
    let node = serde_json::from_value(json!({"metadata": {"name": stage.cluster.node("a").name()}}))?;
    nodes.create(&PostParams::default(), &node).await?;
    let [_, _, readiness] = &probes;
    let deadline = Instant::now() + BOUND;
    for at in addresses {
        while ask(&stage, readiness, at)? != 200 {
            ensure!(
                Instant::now() < deadline,
                "{at} not ready with a Node object: {}",
                agent.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    agent.stop()
}

/// The same manifests serve a node whose IPv6 is switched off.
async fn are_answered_without_ipv6(stage: Stage<'_>) -> anyhow::Result<()> {
    let node = stage.cluster.node("a").host();
    let switch = ("net/ipv6/conf/all/disable_ipv6".to_owned(), "1");
    node.namespace().set_sysctls(&[switch])?;
    let agent = stage.start(&stage.container().await?)?;
    for probe in &probes(&stage).await?[..2] {
        ensure!(ask(&stage, probe, node.v4().into())? == 200, "{}", agent.log());
    }
    agent.stop()
}

#[test]
fn probes_are_answered() {
    on_stage("probes", are_answered);
}

#[test]
fn probes_are_answered_without_ipv6() {
    on_stage("probes4", are_answered_without_ipv6);
}
