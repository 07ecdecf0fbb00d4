//! The agent with a configuration file: what it says is in force, and when it changes the process ends, which nobody
//! who uses a service notices (semantics 11.14, 10.06).

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use kproxy_tests::cluster::{AgentOptions, Cluster, Cni, Via};
use kproxy_tests::echo::{Options, Outcome};
use kproxy_tests::manifests;

/// A bound against hanging, not a measurement.
const BOUND: Duration = Duration::from_secs(30);

/// As kubeadm would write it for a node in a container, with kproxy's own document.
const CONFIG: &str = "\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
hostnameOverride: overridden-by-the-flag
mode: nftables
conntrack: {maxPerCore: 0}
---
apiVersion: kproxy.config.k8s.io/v1alpha1
kind: KproxyConfiguration
sizes: {flows: 4096}
";

#[test]
fn a_changed_file_ends_the_agent_and_no_connection_11_14() -> anyhow::Result<()> {
    let cluster = Cluster::builder("configured")
        .cni(Cni::RoutedVeth)
        .node("a", |node| node.pod("client").pod("web"))
        .build()?;
    let folder = tempfile::tempdir()?;
    let (services, file) = (folder.path().join("services"), folder.path().join("config"));
    fs::create_dir(&services)?;
    manifests::write(&services, "web.yaml", &manifests::web(cluster.pod("web").v4()))?;
    fs::write(&file, CONFIG)?;
    let options = options(&services, &file);
    let _server = cluster.pod("web").serve(Via::Socket, &[8080], &[])?;
    let to: SocketAddr = manifests::WEB.parse()?;

    // Left behind by a kube-proxy.
    nft(&cluster, &["add", "table", "ip", "kube-proxy"])?;

    let agent = cluster.node("a").start_agent(&options)?;
    let started = agent.messages("starting");
    assert_eq!(started[0]["node"], "a", "10.06 the flag wins");
    assert_eq!(started[0]["mode"], "nftables");
    assert!(
        agent.log().contains("conntrack_tcp_timeout_established = 86400"),
        "7.16: {}",
        agent.log()
    );
    let mut request = Options::to(to);
    request.interval = Duration::from_millis(2);
    let load = cluster.pod("client").load(Via::Packet, &request, 2)?;

    assert!(
        nft(&cluster, &["list", "tables"])?.contains("kube-proxy"),
        "10.16 not touched"
    );
    let changed = CONFIG.replace("mode: nftables", "mode: iptables");
    fs::write(&file, format!("{changed}removeKubeProxyRules: true\n"))?;
    let (status, log) = agent.ended(BOUND)?;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(
        log.contains("config has changed") && log.contains("the data plane stays"),
        "{log}"
    );
    let report = cluster
        .pod("client")
        .ask(Via::Socket, &Options::to(to))?
        .remove(0);
    assert_eq!(report.result, Outcome::Ok, "served without an agent");

    let agent = cluster.node("a").start_agent(&options)?;
    assert_eq!(agent.messages("starting")[0]["mode"], "iptables", "9.17");
    agent.wait_for_message(BOUND, |message, _| message == "removed table ip kube-proxy (nft)")?;
    assert_eq!(nft(&cluster, &["list", "tables"])?, "", "10.16 removed as asked");
    fs::remove_file(&file)?;
    let (status, log) = agent.ended(BOUND)?;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("config is gone"), "{log}");
    let (totals, failures) = load.stop()?;
    assert!(failures.is_empty(), "{totals:?} {failures:?}");
    Ok(())
}

/// Runs `nft` on the node, and answers what it says.
fn nft(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    let host = cluster.node("a").host();
    let mut process = host.run_program(Via::Packet, "/usr/sbin/nft".as_ref(), arguments)?;
    let status = process.wait(BOUND)?;
    ensure!(status.success(), "nft {arguments:?}: {}", process.stderr().text());
    Ok(process.stdout().text())
}

fn options(services: &Path, file: &Path) -> AgentOptions {
    AgentOptions {
        arguments: vec!["--config".to_owned(), file.display().to_string()],
        ..AgentOptions::manifests(services)
    }
}
