//! Two nodes, of which each has its own history: clients outside reach the same backend through either of them. With real
//! agents and sockets that needs root.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use kproxy::dataplane::Sizes;
use kproxy_common::Family;
use kproxy_tests::acceptance::Row;
use kproxy_tests::acceptance::hashed::by_flow;
use kproxy_tests::acceptance::host::{packet, run};
use kproxy_tests::acceptance::netns::Netns;
use kproxy_tests::acceptance::service::Service;
use kproxy_tests::acceptance::simulation::{Fate, Hook};
use kproxy_tests::acceptance::state::{PORT, Protocol, State, shop, web};
use kproxy_tests::acceptance::uplink;
use kproxy_tests::acceptance::world::{FAMILIES, NODES, OUTSIDE, Pod, Vip};
use kproxy_tests::cluster::{Cni, Via};
use kproxy_tests::echo::Options;
use kproxy_tests::host::frame::{self, Frame, Tcp, Transport};
use kproxy_tests::host::{MemoryTables, Programmer};
use kproxy_tests::patience::patience;

const NODE_PORT: u16 = 30_183;
/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(2);
const PODS: [&str; 3] = ["web-1", "web-2", "web-3"];
const ALL: [&str; 5] = ["web-1", "web-2", "web-3", "other", "sticky"];

fn hashed(pods: &[&'static str]) -> Service {
    web(pods)
        .only(Protocol::Tcp)
        .node_port(NODE_PORT)
        .external_ips(&[Vip::Number(61)])
        .maglev()
}

/// A node after these states of the cluster.
fn node(name: &str, seed: u64, states: impl IntoIterator<Item = State>) -> MemoryTables {
    let mut programmer = Programmer::new(name, Sizes::default().capacity());
    let mut tables = MemoryTables::new(seed);
    tables.pod_ranges = uplink::pod_ranges();
    for state in states {
        tables.apply(&programmer.plan(&state.manifests()).unwrap());
    }
    tables
}

/// The address of the backend that gets the first packet of a connection.
fn backend(tables: &MemoryTables, client: SocketAddr, to: SocketAddr) -> IpAddr {
    let bytes = Frame::new(client, to, Transport::Tcp(Tcp::Syn)).bytes().unwrap();
    match run(tables, Hook::UplinkIngress, packet(Hook::UplinkIngress, bytes, 0)) {
        Fate::On(bytes) | Fate::Forwarded(bytes) => frame::addresses(&bytes).unwrap().1,
        other @ (Fate::Back(_) | Fate::Gone) => unreachable!("{client} to {to}: {other:?}"),
    }
}

#[test]
fn sockets_of_a_client_reach_the_same_pod_through_either_node() {
    let mut netns = Netns::start("maglev", Cni::RoutedVeth).unwrap();
    netns
        .play(&Row::new("both nodes serve").state(hashed(&PODS)))
        .unwrap();
    let mut reached = BTreeSet::new();
    for family in FAMILIES {
        for port in 18_070..18_082 {
            let client = SocketAddr::new(OUTSIDE.address(family), port);
            let expected = by_flow(&PODS, client, (NODE_PORT, Protocol::Tcp), 8080);
            for node in NODES {
                let to = SocketAddr::new(node.address(family), NODE_PORT);
                let options = Options::to(to).source_port(port).timeout(patience(PATIENCE));
                let host = netns.cluster().client(OUTSIDE.name);
                let report = host.ask(Via::Packet, &options).unwrap().remove(0);
                assert_eq!(report.pod(), Some(expected), "{client} at {to}: {report:?}");
            }
            reached.insert(expected);
        }
    }
    assert_eq!(reached, PODS.into());
}

fn clients(count: u16) -> impl Iterator<Item = SocketAddr> {
    let client = |number: u16| {
        let [high, low] = number.to_be_bytes();
        SocketAddr::new(Ipv4Addr::new(203, 0, 113 + high, low).into(), 20_000 + number % 7)
    };
    (1..=count).map(client)
}

/// Where either node answers.
fn addresses(node: usize) -> [SocketAddr; 2] {
    let own = SocketAddr::new(NODES[node].address(Family::V4), NODE_PORT);
    [own, Vip::Number(61).port(PORT, Family::V4)]
}

#[test]
fn a_client_reaches_the_same_backend_through_either_node() {
    let here = node("a", 1, [hashed(&ALL).into()]);
    // Its records and its runs are at other places, and chance would bring others.
    let history = [
        shop(&["web-3", "web-1"]).into(),
        State::of([shop(&["web-3"]), hashed(&["web-3", "web-2"])]),
        State::of([shop(&["web-3"]), hashed(&["sticky", "web-2", "web-3"])]),
        State::of([hashed(&ALL)]),
    ];
    let there = node("b", 2, history);
    let mut counts = BTreeMap::<IpAddr, u32>::new();
    for client in clients(500) {
        for (one, other) in addresses(0).into_iter().zip(addresses(1)) {
            let reached = backend(&here, client, one);
            assert_eq!(
                reached,
                backend(&there, client, other),
                "{client} at {one} and {other}"
            );
            *counts.entry(reached).or_default() += 1;
        }
    }
    assert!(
        counts.len() == ALL.len() && counts.values().all(|count| (140..=260).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn without_hashes_they_do_not() {
    let random = || web(&ALL).only(Protocol::Tcp).node_port(NODE_PORT).into();
    let (here, there) = (node("a", 1, [random()]), node("b", 2, [random()]));
    let [one, other] = [addresses(0)[0], addresses(1)[0]];
    let same = clients(500).filter(|client| backend(&here, *client, one) == backend(&there, *client, other));
    assert!((50..=150).contains(&same.count()));
}

#[test]
fn when_a_backend_goes_few_clients_of_others_move() {
    let before = node("a", 1, [hashed(&ALL).into()]);
    let after = node("a", 1, [hashed(&ALL[..4]).into()]);
    let at = addresses(0)[0];
    let gone = Pod::named(ALL[4]).address(Family::V4);
    let moved = clients(1_000).filter(|client| {
        let had = backend(&before, *client, at);
        had != gone && had != backend(&after, *client, at)
    });
    let moved = moved.count();
    assert!(moved <= 40, "{moved} of 1000");
}
