//! An agent that puts its programs onto devices as it must before Linux 6.6: by clsact filters. Needs root.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kproxy::dataplane::DeviceHooks;
use kproxy::node::features;
use kproxy_tests::cluster::{Agent, AgentOptions, Cluster, Cni, Host, Load, Node, Via};
use kproxy_tests::echo::{Options, Outcome};
use kproxy_tests::patience::patience;
use serde_json::json;

/// A bound against hanging, not a measurement.
const BOUND: Duration = Duration::from_secs(30);

const SERVICE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, 10)),
];

/// Devices of the node with doors: those of both pods, and its uplink.
const DOORS: usize = 3;

/// A service of two families in a folder, and the node's devices.
struct Story {
    folder: tempfile::TempDir,
    cluster: Cluster,
}

impl Story {
    fn new(name: &str, cni: Cni) -> anyhow::Result<Self> {
        let cluster = Cluster::builder(name)
            .cni(cni)
            .node("a", |node| node.pod("client").pod("web"))
            .build()?;
        let folder = tempfile::tempdir()?;
        let web = cluster.pod("web").addresses().both();
        let mut objects = vec![json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "default"},
            "spec": {"clusterIP": SERVICE[0], "clusterIPs": SERVICE, "ipFamilies": ["IPv4", "IPv6"],
                     "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": 8080}]},
        })];
        for (family, address) in ["IPv4", "IPv6"].into_iter().zip(web) {
            objects.push(json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
                "metadata": {"name": format!("web-{}", family.to_lowercase()), "namespace": "default",
                             "labels": {"kubernetes.io/service-name": "web"}},
                "endpoints": [{"addresses": [address]}], "ports": [{"name": "http", "protocol": "TCP", "port": 8080}],
            }));
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        fs::write(folder.path().join("web.json"), list.to_string())?;
        Ok(Self { folder, cluster })
    }

    fn start(&self, hooks: &str) -> anyhow::Result<Agent> {
        self.node().start_agent(&AgentOptions {
            arguments: vec!["--device-hooks".to_owned(), hooks.to_owned()],
            ..AgentOptions::manifests(self.folder.path())
        })
    }

    fn node(&self) -> &Node {
        self.cluster.node("a")
    }

    fn client(&self) -> &Host {
        self.cluster.pod("client")
    }

    /// Both families, past the socket door.
    fn loads(&self) -> anyhow::Result<Vec<Load>> {
        let mut loads = Vec::new();
        for address in SERVICE {
            until_answered(self.client(), (address, 80).into())?;
            let mut options = Options::to((address, 80).into());
            options.interval = Duration::from_millis(2);
            loads.push(self.client().load(Via::Packet, &options, 2)?);
        }
        Ok(loads)
    }

    /// How many devices of the node have clsact.
    fn filtered_devices(&self) -> anyhow::Result<usize> {
        let namespace = self.node().host().namespace();
        let output = namespace.run(|| Command::new("tc").args(["qdisc", "show"]).output())??;
        let text = String::from_utf8(output.stdout)?;
        Ok(text.lines().filter(|line| line.contains("clsact")).count())
    }
}

fn until_answered(client: &Host, to: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience(BOUND);
    loop {
        let reports = client.ask(Via::Packet, &Options::to(to))?;
        let report = reports.first().context("a client without a report")?;
        if report.result == Outcome::Ok {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{to} answers {report:?}");
    }
}

fn all_answered(loads: Vec<Load>) -> anyhow::Result<()> {
    for load in loads {
        let (totals, failures) = load.stop()?;
        ensure!(totals.requests > 10, "the load hardly ran: {totals:?}");
        ensure!(failures.is_empty(), "requests failed: {failures:#?}");
    }
    Ok(())
}

/// However an agent ends and starts, requests by packet are answered.
fn serves_without_a_gap(story: &Story) -> anyhow::Result<()> {
    let _server = story.cluster.pod("web").serve(Via::Socket, &[8080], &[])?;
    let agent = story.start("clsact")?;
    let loads = story.loads().with_context(|| agent.log())?;
    let filtered = story.filtered_devices()?;
    ensure!(filtered == DOORS, "{filtered} devices have filters");
    agent.stop()?;
    story.start("clsact")?.kill()?;
    let agent = story.start("clsact")?;
    all_answered(loads)?;
    agent.stop()?;
    for address in SERVICE {
        until_answered(story.client(), (address, 80).into()).context("without an agent")?;
    }
    story.node().run_cleanup()?;
    ensure!(story.filtered_devices()? == 0, "left behind");
    Ok(())
}

#[test]
fn routed_pods_are_served_without_a_gap() -> anyhow::Result<()> {
    serves_without_a_gap(&Story::new("clsactrouted", Cni::RoutedVeth)?)
}

#[test]
fn bridged_pods_are_served_without_a_gap() -> anyhow::Result<()> {
    serves_without_a_gap(&Story::new("clsactbridged", Cni::Bridge)?)
}

/// Whatever the last run did, the next one leaves only its own programs on the devices.
#[test]
fn the_way_can_be_changed() -> anyhow::Result<()> {
    let story = Story::new("clsactchanged", Cni::RoutedVeth)?;
    let _server = story.cluster.pod("web").serve(Via::Socket, &[8080], &[])?;
    let ways: &[_] = match features::device_hooks() {
        DeviceHooks::Tcx => &[("tcx", 0), ("clsact", DOORS), ("tcx", 0)],
        DeviceHooks::Clsact => &[("clsact", DOORS)],
    };
    for (way, devices) in ways {
        let agent = story.start(way)?;
        for address in SERVICE {
            until_answered(story.client(), (address, 80).into()).with_context(|| agent.log())?;
        }
        let filtered = story.filtered_devices()?;
        ensure!(filtered == *devices, "{way}: {filtered} devices have filters");
        agent.stop()?;
    }
    Ok(())
}
