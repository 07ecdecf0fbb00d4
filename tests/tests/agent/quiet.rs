//! What a node does not get by having services: neither addresses, nor listening sockets, nor the SCTP module (semantics
//! 3.04, 3.06, 11.18).

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Service};
use kproxy_tests::cluster::Cni;
use kproxy_tests::echo::Outcome;
use kproxy_tests::workload::Port;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::stage::{Server, Stage, WEB, on_stage};

const NODE_PORT: u16 = 30_080;
const EXTERNAL: [&str; 2] = ["192.0.2.80", "2001:db8::80"];
const SIGNALS: Port = Port {
    name: "signals",
    protocol: "SCTP",
    port: 132,
    target: 8132,
};

/// What programs on the node can see of it.
#[derive(Debug, PartialEq, Eq)]
struct Footprint {
    addresses: BTreeSet<String>,
    listening: BTreeSet<String>,
    sctp: bool,
}

impl Footprint {
    fn of(stage: &Stage<'_>) -> Result<Self> {
        let look = || -> Result<Self> {
            let shown = Command::new("ip").args(["-o", "address"]).output()?;
            let shown = String::from_utf8(shown.stdout)?;
            let address = |line: &str| line.split_whitespace().nth(3).map(str::to_owned);
            let mut listening = BTreeSet::new();
            for table in ["tcp", "tcp6", "udp", "udp6"] {
                listening.extend(unconnected(table)?);
            }
            Ok(Self {
                addresses: shown.lines().filter_map(address).collect(),
                listening,
                sctp: Path::new("/sys/module/sctp").exists(),
            })
        };
        let node = stage.cluster.node("a").host();
        node.namespace().run(look)?
    }
}

/// The local ports of a table of sockets, of those that wait for anybody.
fn unconnected(table: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/thread-self/net/{table}"))?;
    let port = |line: &str| -> Option<String> {
        let fields: Vec<_> = line.split_whitespace().collect();
        let remote = fields.get(2)?;
        let waits = remote.ends_with(":0000");
        let (_, port) = fields.get(1)?.split_once(':')?;
        waits.then(|| format!("{table} {port}"))
    };
    Ok(text.lines().skip(1).filter_map(port).collect())
}

/// A service with an address and a port of every kind, which all answer.
async fn leaves_no_trace(stage: Stage<'_>) -> Result<()> {
    let before = Footprint::of(&stage)?;
    ensure!(
        !before.addresses.is_empty() && !before.listening.is_empty(),
        "{before:?}"
    );
    let ports = [WEB, SIGNALS];
    stage.workload.create("web", &ports).await?;
    let client = stage.api.client()?;
    let host = stage.cluster.node("a").host();
    let address = |address: IpAddr| json!({"type": "InternalIP", "address": address});
    // NodePorts answer on the addresses that the Node object names.
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": "a"},
        "status": {"addresses": host.addresses().both().map(address)},
    }))?;
    let nodes = Api::<Node>::all(client.clone());
    nodes.create(&PostParams::default(), &node).await?;
    let services = Api::<Service>::default_namespaced(client);
    let patch = Patch::Merge(json!({"spec": {
        "type": "NodePort",
        "externalIPs": EXTERNAL,
        "ports": [
            {"name": WEB.name, "protocol": "TCP", "port": WEB.port, "targetPort": WEB.target, "nodePort": NODE_PORT},
            {"name": SIGNALS.name, "protocol": "SCTP", "port": SIGNALS.port, "targetPort": SIGNALS.target, "nodePort": NODE_PORT},
        ],
    }}));
    services.patch("web", &PatchParams::default(), &patch).await?;
    stage
        .workload
        .publish("web", &ports, &stage.members(0..3))
        .await?;
    for address in EXTERNAL {
        let to = (address.parse::<IpAddr>()?, WEB.port).into();
        stage
            .until(to, |result, _| result == Outcome::Ok)
            .context("by external address")?;
    }
    for to in stage.cluster.node("a").host().sockets(NODE_PORT) {
        stage
            .until(to, |result, _| result == Outcome::Ok)
            .context("by NodePort")?;
    }
    let after = Footprint::of(&stage)?;
    ensure!(after.addresses == before.addresses, "3.04: {before:?} {after:?}");
    ensure!(after.listening == before.listening, "3.06: {before:?} {after:?}");
    ensure!(after.sctp == before.sctp, "11.18: {before:?} {after:?}");
    Ok(())
}

#[test]
fn services_leave_no_trace_on_the_node() {
    on_stage("quiet", Cni::RoutedVeth, Server::Any, leaves_no_trace);
}
