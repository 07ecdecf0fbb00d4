//! Firewalls of the nodes see client and backend, and what they say is what clients get: real rules of iptables and of
//! nftables, strict filters of reverse paths, a CNI's masquerading. Needs root, `iptables`, `nft`, and a kernel that shows
//! its connections in /proc (`CONFIG_NF_CONNTRACK_PROCFS`).

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod rules;
mod stage;

use std::net::{IpAddr, SocketAddr};

use kproxy_common::Family;
use kproxy_tests::acceptance::world::FAMILIES;
use kproxy_tests::cluster::{Host, Via, of};
use kproxy_tests::echo::{Mode, Options, Outcome, Report};

use rules::Firewall;
use stage::{FAR, NEAR, Service, Stage};

/// As long as the answer of a busy machine may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);
/// On one connection, or from one port.
const REQUESTS: u64 = 10;

/// TCP and both ways to send UDP, each on one socket.
fn hows(to: SocketAddr) -> [Options; 3] {
    [
        Options::to(to),
        Options::to(to).udp(Mode::Connect),
        Options::to(to).udp(Mode::Sendto),
    ]
    .map(|options| options.count(REQUESTS).keep().timeout(PATIENCE))
}

fn ask(client: &Host, options: &Options) -> Vec<Report> {
    client.ask(Via::Packet, options).unwrap()
}

/// Every request is answered, and whoever answers sees this client.
fn assert_answered(stage: &Stage, client: &Host, to: SocketAddr, by: &str, seen: IpAddr) {
    for options in hows(to) {
        for report in ask(client, &options) {
            let peer = report
                .answer
                .as_ref()
                .map(|answer| answer.peer.ip().to_canonical());
            assert!(
                report.pod() == Some(by) && peer == Some(seen),
                "{} asks {to} and not {by} but {:?} answers, who sees {peer:?} and not {seen}: {report:?}\n{}",
                client.name(),
                report.pod(),
                stage.rules(),
            );
        }
    }
}

/// The firewall says no: a reset to TCP, to UDP that somebody has prohibited it.
fn assert_refused(stage: &Stage, client: &Host, to: SocketAddr, family: Family) {
    let report = ask(client, &Options::to(to).timeout(PATIENCE)).remove(0);
    assert_eq!(report.result, Outcome::Refused, "{report:?}\n{}", stage.rules());
    let report = ask(client, &Options::to(to).udp(Mode::Connect).timeout(PATIENCE)).remove(0);
    // What Linux makes of these messages (`icmp_err_convert`, `icmpv6_err_convert`).
    let prohibited = match family {
        Family::V4 => libc::EHOSTUNREACH,
        Family::V6 => libc::EACCES,
    };
    let error = std::io::Error::from_raw_os_error(prohibited).to_string();
    assert_eq!(report.error, Some(error), "{report:?}\n{}", stage.rules());
}

/// What the node's connection tracking knows must be the client and the backend, in both directions.
fn assert_tracked(stage: &Stage, client: IpAddr, backend: IpAddr) {
    let (client, backend) = (stage::written(client), stage::written(backend));
    let entries = stage.tracked();
    for protocol in ["tcp", "udp"] {
        let there = format!("src={client} dst={backend} ");
        let back = format!("src={backend} dst={client} ");
        let is_it = |line: &&String| {
            line.contains(protocol)
                && line
                    .find(&there)
                    .zip(line.find(&back))
                    .is_some_and(|(there, back)| there < back)
        };
        assert!(
            entries.iter().any(|line| is_it(&line)),
            "no {protocol} {there}: {entries:#?}"
        );
    }
}

fn firewall_sees_client_and_backend(name: &str, firewall: Firewall) {
    let stage = Stage::new(name, firewall);
    let node = stage.cluster.node("a").host();
    let [friend, stranger] = ["friend", "stranger"].map(|name| stage.cluster.client(name));
    let [client, near, far] = ["client", "near", "far"].map(|name| stage.cluster.pod(name));
    for family in FAMILIES {
        let address = |host: &Host| of(family, host.addresses().both());
        let at_node = |service: Service| SocketAddr::new(address(node), service.node_port);

        // From outside to a pod here: the policy names one client.
        assert_answered(&stage, friend, at_node(NEAR), "near", address(friend));
        assert_tracked(&stage, address(friend), address(near));
        assert_refused(&stage, stranger, at_node(NEAR), family);

        // From outside to a pod elsewhere: past this node's rules, and as the node for the other one's.
        for client in [friend, stranger] {
            assert_answered(&stage, client, at_node(FAR), "far", address(node));
            let (client, far) = [client, far].map(address).map(stage::written).into();
            let entries = stage.tracked();
            let passes = |line: &String| line.contains(&client) && line.contains(&far);
            assert!(
                !entries.iter().any(passes),
                "{client} is tracked to {far}: {entries:#?}"
            );
        }

        // From a pod, to one elsewhere and to the world, where it is the node.
        let far_service = of(family, stage.cluster_ips(FAR));
        assert_answered(&stage, client, far_service, "far", address(client));
        let outside = SocketAddr::new(address(friend), stage::TARGET);
        assert_answered(&stage, client, outside, "friend", address(node));
    }
    let dropped = stage.dropped_by_rules();
    assert!(
        dropped.is_empty(),
        "rules have dropped what they should not see: {dropped:#?}"
    );
}

#[test]
fn iptables_sees_client_and_backend() {
    firewall_sees_client_and_backend("fwiptables", Firewall::Iptables);
}

#[test]
fn nftables_sees_client_and_backend() {
    firewall_sees_client_and_backend("fwnftables", Firewall::Nftables);
}
