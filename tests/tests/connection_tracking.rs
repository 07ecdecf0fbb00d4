//! What goes past the node's stack leaves nothing in its connection tracking. Needs root, `nft`, and a kernel that shows its
//! table in /proc (`CONFIG_NF_CONNTRACK_PROCFS`).

use std::fs;

use anyhow::{Context, ensure};
use kproxy_common::Family;
use kproxy_tests::acceptance::netns::Netns;
use kproxy_tests::acceptance::row::{Ask, Row, Via};
use kproxy_tests::acceptance::state::{Protocol, web};
use kproxy_tests::acceptance::world::{FAMILIES, NODE, OUTSIDE, Pod, Vip};
use kproxy_tests::cluster::{self, Cni, Host};

const NODE_PORT: u16 = 30_195;
/// A rule that asks for a connection's state makes the kernel track what comes by its hook.
const RULES: &str =
    "table inet watch { chain arrivals { type filter hook prerouting priority 0; ct state new counter; }; }";

#[test]
fn a_client_outside_and_a_backend_elsewhere_are_not_tracked() -> anyhow::Result<()> {
    let mut netns = Netns::start("tracking", Cni::RoutedVeth)?;
    let node = netns.cluster().node(NODE).host().clone();
    let mut nft = node.run_program(cluster::Via::Socket, "/usr/sbin/nft".as_ref(), &[RULES])?;
    let status = nft.wait(std::time::Duration::from_secs(10))?;
    ensure!(status.success(), "nft: {}", nft.stderr().text());

    netns.play(&requests("web-2"))?;
    let entries = tracked(&node)?;
    ensure!(entries.is_empty(), "a backend elsewhere is tracked: {entries:#?}");

    netns.play(&requests("web-1"))?;
    let entries = tracked(&node)?;
    ensure!(
        !entries.is_empty(),
        "a backend here is not tracked, so that the test shows nothing"
    );
    for family in FAMILIES {
        let backend = format!("dst={}", written(Pod::named("web-1"), family));
        ensure!(
            entries.iter().any(|entry| entry.contains(&backend)),
            "tracked is not the backend, {backend}: {entries:#?}"
        );
    }
    Ok(())
}

/// Requests from outside to a service with this backend.
fn requests(backend: &'static str) -> Row {
    let row = Row::new(format!("requests to {backend}")).state(web(&[backend]).node_port(NODE_PORT));
    FAMILIES.into_iter().fold(row, |row, family| {
        Protocol::ALL.into_iter().fold(row, |row, protocol| {
            let to = Vip::Node.port(NODE_PORT, family);
            row.step(
                Ask::web(Via::Uplink, protocol, family)
                    .to(to)
                    .times(3)
                    .by(&[backend]),
            )
        })
    })
}

/// The entries of the client outside.
fn tracked(node: &Host) -> anyhow::Result<Vec<String>> {
    // `/proc/net` is the namespace of the process, not of its thread.
    let path = "/proc/thread-self/net/nf_conntrack";
    let table = node
        .namespace()
        .run(|| fs::read_to_string(path))?
        .with_context(|| format!("cannot read {path}"))?;
    let clients = FAMILIES.map(|family| format!("src={} ", written(OUTSIDE, family)));
    let is_clients = |line: &&str| clients.iter().any(|client| line.contains(client));
    Ok(table.lines().filter(is_clients).map(str::to_owned).collect())
}

/// An address as the kernel writes it there: IPv6 with all its zeros.
fn written(host: Pod, family: Family) -> String {
    match host.address(family) {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => {
            let segments = address.segments().map(|segment| format!("{segment:04x}"));
            segments.join(":")
        }
    }
}
