//! The daemon set's probes are answered as the kubelet asks them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::stage::{BOUND, NAME, NAMESPACE, Stage, on_stage};

/// Status code of what the node's kubelet hears. A pod in the node's network has the node's address.
fn ask(stage: &Stage<'_>, probe: &Probe) -> anyhow::Result<u16> {
    let get = probe.http_get.as_ref().context("a probe that asks nothing")?;
    let IntOrString::Int(port) = get.port else {
        anyhow::bail!("a port by name: {:?}", get.port);
    };
    let path = get.path.as_deref().context("a probe without a path")?;
    let node = stage.cluster.node("a").host();
    let to = (node.v4(), u16::try_from(port)?);
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

/// 9.08, 9.09: an agent lives from its start, and is ready when its node may have traffic.
async fn are_answered(stage: Stage<'_>) -> anyhow::Result<()> {
    let sets: Api<DaemonSet> = Api::namespaced(stage.client.clone(), NAMESPACE);
    let pod = sets.get(NAME).await?.spec.and_then(|spec| spec.template.spec);
    let [container] = &pod.context("a daemon set without pods")?.containers[..] else {
        anyhow::bail!("more than one container");
    };
    let probe = |probe: &Option<Probe>, name| probe.clone().with_context(|| format!("no {name} probe"));
    let startup = probe(&container.startup_probe, "startup")?;
    let liveness = probe(&container.liveness_probe, "liveness")?;
    let readiness = probe(&container.readiness_probe, "readiness")?;

    let agent = stage.start(&stage.container().await?)?;
    let codes = [&startup, &liveness, &readiness].map(|probe| ask(&stage, probe));
    let codes = codes.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(codes == [200, 200, 503], "without a Node object: {codes:?}");
    let nodes: Api<Node> = Api::all(stage.client.clone());
    let node = serde_json::from_value(json!({"metadata": {"name": stage.cluster.node("a").name()}}))?;
    nodes.create(&PostParams::default(), &node).await?;
    let deadline = Instant::now() + BOUND;
    while ask(&stage, &readiness)? != 200 {
        ensure!(
            Instant::now() < deadline,
            "not ready with a Node object: {}",
            agent.log()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    agent.stop()
}

#[test]
fn probes_are_answered() {
    on_stage("probes", are_answered);
}
