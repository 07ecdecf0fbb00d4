//! The Node object comes when it comes, and what it says of pods' addresses holds for as long as the agent runs. Needs
//! root.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::{Node, Service};
use kproxy_tests::apiserver::{ApiServer, Options as ServerOptions};
use kproxy_tests::cluster::{AgentOptions, Cluster, Host, Via};
use kproxy_tests::echo::{Options, Outcome, Report};
use kproxy_tests::manifests;
use kproxy_tests::workload::{Member, Port, Workload, sockets};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

/// A bound against hanging, not a measurement.
const BOUND: Duration = Duration::from_secs(30);

const WEB: Port = Port {
    name: "http",
    protocol: "TCP",
    port: 80,
    target: 8080,
};

fn cluster(name: &str) -> anyhow::Result<Cluster> {
    Cluster::builder(name)
        .node("a", |node| node.pod("client").pod("web"))
        .build()
}

/// 10.19: an agent whose Node object is not there serves ClusterIPs at once, and NodePorts as soon as it comes.
async fn comes_later(cluster: &Cluster) -> anyhow::Result<()> {
    let api = ApiServer::start_with(ServerOptions {
        address: SocketAddr::from((cluster.switch_addresses().v4, 0)),
        ..ServerOptions::default()
    })
    .await?;
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    api.write_kubeconfig(&kubeconfig)?;
    let (node, web) = (cluster.node("a"), cluster.pod("web"));
    let agent = node.start_agent(&AgentOptions::kubeconfig(&kubeconfig))?;
    let _server = web.serve(Via::Socket, &[WEB.target], &[])?;
    let client = api.client()?;
    let workload = Workload::new(&client);
    let addresses = workload.create("web", &[WEB]).await?;
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    let patch = Patch::Merge(json!({"spec": {"type": "NodePort"}}));
    let service = services.patch("web", &PatchParams::default(), &patch).await?;
    let node_port = service.spec.and_then(|spec| spec.ports?.first()?.node_port);
    let node_port = u16::try_from(node_port.context("a service without a NodePort")?)?;
    workload.publish("web", &[WEB], &[Member::new(web, "a")]).await?;

    let askers = [cluster.pod("client"), node.host()];
    let node_ports = node
        .host()
        .addresses()
        .both()
        .map(|to| SocketAddr::new(to, node_port));
    for host in askers {
        for to in sockets(addresses, WEB.port) {
            until_answered(host, to).with_context(|| format!("10.19 without a node\n{}", agent.log()))?;
        }
        for to in node_ports {
            let report = ask(host, to)?;
            ensure!(
                report.result != Outcome::Ok,
                "10.19 a NodePort without a node: {report:?}"
            );
        }
    }

    let address = |address: IpAddr| json!({"type": "InternalIP", "address": address});
    let object: Node = serde_json::from_value(json!({
        "metadata": {"name": node.name()},
        "status": {"addresses": node.host().addresses().both().map(address)},
    }))?;
    let nodes: Api<Node> = Api::all(client);
    nodes.create(&PostParams::default(), &object).await?;
    for host in askers {
        for to in node_ports {
            until_answered(host, to).with_context(|| format!("10.19 with a node\n{}", agent.log()))?;
        }
    }
    agent.stop()
}

/// 5.14: other ranges of pods' addresses end the agent; who asks does not notice.
fn has_other_ranges(cluster: &Cluster) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (node, web) = (cluster.node("a"), cluster.pod("web"));
    let _server = web.serve(Via::Socket, &[WEB.target], &[])?;
    manifests::write(folder.path(), "web.yaml", &manifests::web(web.v4()))?;
    let of_node = |range: &str| {
        let name = node.name();
        format!("{{apiVersion: v1, kind: Node, metadata: {{name: {name}}}, spec: {{podCIDRs: [{range}]}}}}")
    };
    manifests::write(folder.path(), "node.yaml", &of_node("10.244.1.0/24"))?;
    let options = AgentOptions {
        arguments: ["--detect-local-mode", "NodeCIDR"].map(str::to_owned).to_vec(),
        ..AgentOptions::manifests(folder.path())
    };
    let agent = node.start_agent(&options)?;
    let load = cluster
        .pod("client")
        .load(Via::Packet, &Options::to(manifests::WEB.parse()?), 2)?;

    manifests::write(folder.path(), "node.yaml", &of_node("10.244.2.0/24"))?;
    let (status, log) = agent.ended(BOUND)?;
    ensure!(status.code() == Some(1), "5.14 {status}: {log}");
    ensure!(
        log.contains("from 10.244.1.0/24 to 10.244.2.0/24") && log.contains("the data plane stays"),
        "5.14 {log}"
    );

    let agent = node.start_agent(&options)?;
    let (totals, failures) = load.stop()?;
    ensure!(
        failures.is_empty() && totals.requests > 0,
        "5.14 {totals:?} {failures:?}"
    );
    agent.stop()
}

/// 1.20: where IPv6 is switched off, a node that has IPv4 first is served in IPv4, and another one not at all.
fn lacks_a_family(cluster: &Cluster) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (node, web) = (cluster.node("a"), cluster.pod("web"));
    let _server = web.serve(Via::Socket, &[WEB.target], &[])?;
    manifests::write(folder.path(), "web.yaml", &manifests::web(web.v4()))?;
    let of_node = |addresses: [IpAddr; 2]| {
        let name = node.name();
        let addresses = addresses.map(|address| format!("{{type: InternalIP, address: '{address}'}}"));
        let addresses = addresses.join(", ");
        format!(
            "{{apiVersion: v1, kind: Node, metadata: {{name: {name}}}, status: {{addresses: [{addresses}]}}}}"
        )
    };
    let [v4, v6] = node.host().addresses().both();
    let switch = ("net/ipv6/conf/all/disable_ipv6".to_owned(), "1");
    node.host().namespace().set_sysctls(&[switch])?;

    manifests::write(folder.path(), "node.yaml", &of_node([v4, v6]))?;
    let agent = node.start_agent(&AgentOptions::manifests(folder.path()))?;
    ensure!(
        agent.log().contains("this node has no IPv6"),
        "1.20 {}",
        agent.log()
    );
    until_answered(cluster.pod("client"), manifests::WEB.parse()?)?;
    agent.stop()?;

    manifests::write(folder.path(), "node.yaml", &of_node([v6, v4]))?;
    let (status, log) = node
        .begin_agent(&AgentOptions::manifests(folder.path()))?
        .ended(BOUND)?;
    ensure!(status.code() == Some(1), "1.20 {status}: {log}");
    ensure!(
        log.contains("makes IPv6 the primary family") && log.contains("the data plane stays"),
        "1.20 {log}"
    );
    until_answered(cluster.pod("client"), manifests::WEB.parse()?).context("1.20 it stays")
}

fn ask(host: &Host, to: SocketAddr) -> anyhow::Result<Report> {
    let reports = host.ask(Via::Socket, &Options::to(to))?;
    reports.into_iter().next().context("a client without a report")
}

fn until_answered(host: &Host, to: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + BOUND;
    loop {
        let report = ask(host, to)?;
        if report.result == Outcome::Ok {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{} goes on getting {report:?}",
            host.name()
        );
    }
}

#[test]
fn services_work_before_the_node_and_node_ports_when_it_comes_10_19() {
    let cluster = cluster("nodelater").expect("a cluster");
    let run = || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(comes_later(&cluster))
    };
    // Where the node reaches what the API server listens on.
    cluster
        .switch()
        .run(run)
        .expect("the switch's namespace")
        .expect("the story");
}

#[test]
fn other_pod_ranges_end_the_agent_and_no_connection_5_14() {
    let cluster = cluster("noderanges").expect("a cluster");
    has_other_ranges(&cluster).expect("the story");
}

#[test]
fn a_primary_family_that_the_node_lacks_ends_the_agent_1_20() {
    let cluster = cluster("nofamily").expect("a cluster");
    lacks_a_family(&cluster).expect("the story");
}
