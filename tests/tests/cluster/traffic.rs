//! Who reaches whom, in both CNI shapes, both families and both protocols.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    thread,
    time::Duration,
};

use kproxy_tests::{
    cluster::{Cluster, Cni, Host, Via},
    echo::{Mode, Options, Outcome, Server},
};

use super::{TCP, UDP, two_nodes, wait_until};

#[test]
fn routed_clusters_carry_traffic() {
    carries_traffic(&two_nodes("routed", Cni::RoutedVeth));
}

#[test]
fn bridged_clusters_carry_traffic() {
    carries_traffic(&two_nodes("bridged", Cni::Bridge));
}

fn carries_traffic(cluster: &Cluster) {
    let (a, b) = (cluster.node("a").host(), cluster.node("b").host());
    let (client, near, far) = (cluster.pod("client"), cluster.pod("near"), cluster.pod("far"));
    let ext = cluster.client("ext");
    let _servers = [near, far, b].map(|host| host.serve(Via::Socket, &[TCP], &[UDP]).unwrap());
    for (from, to) in [
        (client, near),
        (client, far),
        (a, near),
        (a, far),
        (client, b),
        (ext, b),
        (near, near),
    ] {
        for via in [Via::Socket, Via::Packet] {
            assert_reaches(from, via, to);
        }
    }
}

/// Every family and protocol, with both sides seeing the other's real address.
fn assert_reaches(from: &Host, via: Via, to: &Host) {
    let udp = |to| [Mode::Connect, Mode::Sendto].map(|mode| Options::to(to).udp(mode));
    let tcp = to.sockets(TCP).map(Options::to);
    for options in tcp.into_iter().chain(to.sockets(UDP).into_iter().flat_map(udp)) {
        let report = from.ask(via, &options).unwrap().remove(0);
        let what = format!("{} {via:?} to {}: {report:?}", from.name(), to.name());
        let answer = report.answer.unwrap_or_else(|| panic!("{what}"));
        assert_eq!(answer.pod, to.name(), "{what}");
        assert_eq!(report.peer, Some(report.to), "{what}");
        assert_eq!(answer.local, report.to, "{what}");
        // A node with a bridge shows its own pods the bridge's address.
        let bridges = ["10.244.1.1", "fd44:0:0:1::1"].map(|address| address.parse::<IpAddr>().unwrap());
        let seen = answer.peer.ip();
        assert!(
            from.addresses().both().contains(&seen) || from.name() == "a" && bridges.contains(&seen),
            "{what}"
        );
    }
}

#[test]
fn service_addresses_fail_when_nobody_translates() {
    for (name, cni) in [("vipsrouted", Cni::RoutedVeth), ("vipsbridged", Cni::Bridge)] {
        let cluster = two_nodes(name, cni);
        for host in [
            cluster.pod("client"),
            cluster.node("a").host(),
            cluster.client("ext"),
        ] {
            for vip in ["10.96.0.10", "fd96::10"] {
                let vip: SocketAddr = (vip.parse::<IpAddr>().unwrap(), 80).into();
                // An ICMP error that arrives while connect still holds the socket is only remembered; the one for the
                // retransmission a second later counts.
                let options = Options::to(vip).timeout(Duration::from_secs(3));
                let report = host.ask(Via::Socket, &options).unwrap().remove(0);
                assert_eq!(
                    report.result,
                    Outcome::Error,
                    "{} to {vip}: {report:?}",
                    host.name()
                );
            }
        }
    }
}

#[test]
fn the_switch_is_where_this_process_meets_the_nodes() {
    let cluster = two_nodes("meeting", Cni::RoutedVeth);
    let listener = cluster.listen_for_nodes(6443).unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = thread::spawn(move || listener.accept().unwrap().1);
    let options = Options::to(address).timeout(Duration::from_millis(300));
    cluster.node("b").host().ask(Via::Socket, &options).unwrap();
    assert_eq!(
        accepting.join().unwrap().ip(),
        IpAddr::from(cluster.node("b").host().v4())
    );
}

#[test]
fn servers_of_this_process_can_live_in_a_pod() {
    let cluster = two_nodes("inside", Cni::RoutedVeth);
    let near = cluster.pod("near");
    let start = || Server::start("inside", &near.sockets(TCP), &[]);
    let server = near.namespace().run(start).unwrap().unwrap();
    for &address in &server.addresses().tcp {
        let report = cluster
            .pod("client")
            .ask(Via::Socket, &Options::to(address))
            .unwrap();
        assert_eq!(report[0].pod(), Some("inside"), "{report:?}");
    }
}

#[test]
fn load_goes_on_until_it_is_stopped() {
    let cluster = two_nodes("load", Cni::RoutedVeth);
    let far = cluster.pod("far");
    let server = far.serve(Via::Socket, &[TCP], &[]).unwrap();
    let options = Options::to(far.sockets(TCP)[0]).interval(Duration::from_millis(2));
    let load = cluster.pod("client").load(Via::Socket, &options, 2).unwrap();

    wait_until("there is progress", || load.progress().requests >= 10);
    assert!(load.failures().is_empty());
    drop(server);
    wait_until("there are failures without a server", || {
        !load.failures().is_empty()
    });

    let (totals, failures) = load.stop().unwrap();
    assert_eq!(totals.failed(), u64::try_from(failures.len()).unwrap());
    assert!(totals.pods["far"] >= 10);
}

#[test]
fn processes_are_in_the_cgroup_their_door_needs() {
    let cluster = two_nodes("groups", Cni::Bridge);
    let node = cluster.node("a");
    let cgroup_of = |id: u32| fs::read_to_string(format!("/proc/{id}/cgroup")).unwrap();
    for host in [cluster.pod("client"), node.host()] {
        let socket = host.serve(Via::Socket, &[TCP], &[]).unwrap();
        let packet = host.serve(Via::Packet, &[TCP + 1], &[]).unwrap();
        assert!(cgroup_of(socket.id()).contains("/groups/a/"), "{}", host.name());
        assert!(!cgroup_of(packet.id()).contains("/groups/a/"), "{}", host.name());
    }
}

#[test]
fn nodes_reach_servers_of_this_process_through_a_relay() {
    let cluster = two_nodes("relayed", Cni::RoutedVeth);
    let server = Server::start("outside", &["127.0.0.1:0".parse().unwrap()], &[]).unwrap();
    let relay = cluster.relay(6443, server.addresses().tcp[0]).unwrap();
    let node = cluster.node("b").host();
    let ask = |options: &Options| node.ask(Via::Socket, options).unwrap();

    let reports = ask(&Options::to(relay.address()).keep().count(3));
    assert!(
        reports.iter().all(|report| report.pod() == Some("outside")),
        "{reports:?}"
    );

    let config = r#"{"clusters":[{"cluster":{"server":"https://127.0.0.1:1"}}]}"#;
    let config = relay.kubeconfig(config).unwrap();
    assert!(
        config.contains("https://172.30.0.254:6443") && config.contains(r#""tls-server-name": "127.0.0.1""#)
    );

    let address = relay.address();
    drop(relay);
    assert_eq!(ask(&Options::to(address))[0].result, Outcome::Refused);
}
