//! The real kube-proxy, where somebody has one.

use std::path::Path;

use anyhow::Context as _;
use kproxy_tests::apiserver::{ApiServer, Options};
use kproxy_tests::cluster::{Cluster, Process, Relay, Via};
use serde_json::json;
use tempfile::TempDir;

use crate::services::Services;
use crate::stage::NODE;

/// Where its API server is found in the switch.
const PORT: u16 = 6443;

/// kube-proxy in its mode `nftables`, beside an API server with the services.
#[derive(Debug)]
pub(crate) struct KubeProxy {
    process: Process,
    _relay: Relay,
    _server: ApiServer,
    _folder: TempDir,
}

impl KubeProxy {
    pub(crate) fn start(program: &Path, cluster: &Cluster, services: &Services) -> anyhow::Result<Self> {
        let server = ApiServer::start_in_process(&Options::default())?;
        let node = cluster.node(NODE);
        server.insert_unchecked(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE},
            "spec": {"podCIDR": node.pod_ranges()[0], "podCIDRs": [node.pod_ranges()[0]]},
            "status": {"addresses": [{"type": "InternalIP", "address": node.host().v4().to_string()}]},
        }))?;
        for object in services.all.iter().flat_map(crate::services::Service::objects) {
            server.insert_unchecked(object)?;
        }
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let own = folder.path().join("own");
        server.write_kubeconfig(&own)?;
        let relay = cluster.relay(PORT, server.address())?;
        let kubeconfig = folder.path().join("kubeconfig");
        std::fs::write(&kubeconfig, relay.kubeconfig(&std::fs::read_to_string(&own)?)?)?;
        let arguments = [
            "--kubeconfig",
            kubeconfig.to_str().context("a path is not UTF-8")?,
            "--hostname-override",
            NODE,
            "--proxy-mode=nftables",
            "--cluster-cidr=10.244.0.0/16",
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0",
            "--conntrack-tcp-timeout-close-wait=0",
        ];
        let process = node.host().run_program(Via::Packet, program, &arguments)?;
        Ok(Self {
            process,
            _relay: relay,
            _server: server,
            _folder: folder,
        })
    }

    /// What it says where it has ended.
    pub(crate) fn ended(&mut self) -> Option<String> {
        (!self.process.is_running()).then(|| self.process.stderr().text())
    }
}
