//! Nodes with several uplinks: who asks by one may be answered by another, as the routes say.

use std::net::IpAddr;
use std::time::Duration;

use kproxy_tests::cluster::{Cni, Host, Via, ip};

use super::stage::{FAR, HOWS, NEAR, Service, Stage};

/// The node's addresses on its second uplink.
const SECOND: [&str; 2] = ["172.31.0.1", "fd31::1"];
/// A client's addresses that are no neighbours of any uplink.
const CLIENT: [&str; 2] = ["198.18.0.5", "fd18::5"];

fn run(host: &Host, lines: &[String]) {
    ip::batch(Some(host.namespace().name()), lines).unwrap();
}

fn both(addresses: [&str; 2]) -> [IpAddr; 2] {
    addresses.map(|address| address.parse().unwrap())
}

/// Runs a program, which must not fail.
fn succeed(host: &Host, program: &str, arguments: &[&str]) {
    let mut process = host
        .run_program(Via::Packet, program.as_ref(), arguments)
        .unwrap();
    let status = process.wait(Duration::from_secs(10)).unwrap();
    assert!(
        status.success(),
        "{program} {arguments:?}: {}",
        process.stderr().text()
    );
}

/// Replaces the packet filter of a host.
fn filter(host: &Host, chain: &str) {
    let rules =
        format!("table inet ways; delete table inet ways; table inet ways {{ chain ways {{ {chain} }}; }}");
    succeed(host, "nft", &[&rules]);
}

/// A second cable to the client outside, who speaks by an address of its own and asks by that cable. The node's way to this
/// address is the first one.
fn second_uplink(stage: &Stage) {
    let (node, client) = (stage.cluster.node("a").host(), stage.client());
    let [v4, v6] = SECOND;
    let own = CLIENT;
    run(
        node,
        &[
            format!(
                "link add nic1 type veth peer name nic1 netns {}",
                client.namespace().name()
            ),
            "link set nic1 up".to_owned(),
            format!("address add {v4}/24 dev nic1"),
            format!("address add {v6}/64 dev nic1 nodad"),
            format!("route add {} via {}", own[0], client.v4()),
            format!("route add {} via {}", own[1], client.v6()),
            // What speaks by the second uplink's addresses, or another address with a rule, leaves by it.
            "route add default via 172.31.0.2 dev nic1 table 100".to_owned(),
            "route add default via fd31::2 dev nic1 table 100".to_owned(),
        ],
    );
    run(
        client,
        &[
            "link set nic1 up".to_owned(),
            "address add 172.31.0.2/24 dev nic1".to_owned(),
            "address add fd31::2/64 dev nic1 nodad".to_owned(),
            format!("address add {}/32 dev lo", own[0]),
            format!("address add {}/128 dev lo nodad", own[1]),
            format!("route add {v4} dev nic1 src {}", own[0]),
            format!("route add {v6} dev nic1 src {}", own[1]),
        ],
    );
    // A packet filter says by which way answers may come; the node answers no ARP request of a stranger's address.
    let settings = ["all", "eth0", "nic1"].map(|device| (format!("net/ipv4/conf/{device}/rp_filter"), "0"));
    let announce = ("net/ipv4/conf/all/arp_announce".to_owned(), "2");
    let settings = [&settings[..], &[announce]].concat();
    client.namespace().set_sysctls(&settings).unwrap();
}

fn rules(stage: &Stage, what: &str, from: [IpAddr; 2]) {
    let node = stage.cluster.node("a").host();
    for (family, from) in ["-4", "-6"].into_iter().zip(from) {
        let from = from.to_string();
        let arguments = [family, "rule", what, "from", &from, "lookup", "100"];
        succeed(node, "ip", &arguments);
    }
}

/// Answers of the second uplink's addresses reach the client by this device alone.
fn answers_come_by(stage: &Stage, device: &str) {
    let [v4, v6] = SECOND;
    let chain = format!(
        "type filter hook prerouting priority raw; \
         ip saddr {v4} meta l4proto {{ tcp, udp }} iifname != {device} counter drop; \
         ip6 saddr {v6} meta l4proto {{ tcp, udp }} iifname != {device} counter drop;"
    );
    filter(stage.client(), &chain);
}

/// Every kind of request, at these addresses of the node, is answered by the service's pod, which sees these clients.
fn assert_answered(stage: &Stage, service: Service, at: [IpAddr; 2], seen: [IpAddr; 2]) {
    for how in HOWS {
        for (at, seen) in at.into_iter().zip(seen) {
            stage.assert_answered(service, &stage.ask(service, at, how), seen);
        }
    }
}

/// Replies leave as the routes say for who they come from then (story K88).
#[test]
fn replies_leave_by_the_uplink_that_policy_routes_say() {
    let stage = Stage::new("policies", Cni::RoutedVeth, &[]);
    second_uplink(&stage);
    let (node, near) = (stage.cluster.node("a").host(), stage.cluster.pod("near"));
    let (at, own, client) = (both(SECOND), node.addresses().both(), both(CLIENT));
    // The agent has heard of the new device when its address is served.
    answers_come_by(&stage, "eth0");
    for (at, own) in at.into_iter().zip(own) {
        stage.until_answered(FAR, at, None, own);
    }

    // A backend elsewhere: the reply leaves for the program as if the service's address had sent it.
    assert_answered(&stage, FAR, at, own);
    rules(&stage, "add", at);
    answers_come_by(&stage, "nic1");
    assert_answered(&stage, FAR, at, own);

    // A pod here: the stack routes what the pod sends, and wants what comes by no other way than that.
    rules(&stage, "add", near.addresses().both());
    assert_answered(&stage, NEAR, at, client);
    rules(&stage, "delete", near.addresses().both());
    answers_come_by(&stage, "eth0");
    let loose = ["all", "nic1"].map(|device| (format!("net/ipv4/conf/{device}/rp_filter"), "2"));
    node.namespace().set_sysctls(&loose).unwrap();
    assert_answered(&stage, NEAR, at, client);
}

/// Requests leave by one uplink, and answers come in by another, which the filter of reverse paths would not let pass.
#[test]
fn answers_come_in_by_another_uplink_than_requests_leave() {
    let stage = Stage::new("asymmetric", Cni::RoutedVeth, &[]);
    let (here, there) = (stage.cluster.node("a").host(), stage.cluster.node("b").host());
    let own = here.addresses().both();
    run(
        here,
        &[
            format!(
                "link add back type veth peer name back netns {}",
                there.namespace().name()
            ),
            "link set back up".to_owned(),
            "address add 172.32.0.1/24 dev back".to_owned(),
            "address add fd32::1/64 dev back nodad".to_owned(),
        ],
    );
    run(
        there,
        &[
            "link set back up".to_owned(),
            "address add 172.32.0.2/24 dev back".to_owned(),
            "address add fd32::2/64 dev back nodad".to_owned(),
            format!("route add {} via 172.32.0.1", here.v4()),
            format!("route add {} via fd32::1", here.v6()),
        ],
    );
    // The other node's own filter must not mind either.
    let loose = ["all", "eth0"].map(|device| (format!("net/ipv4/conf/{device}/rp_filter"), "2"));
    there.namespace().set_sysctls(&loose).unwrap();
    let far = stage.cluster.pod("far");
    let chain = format!(
        "type filter hook forward priority filter; ip saddr {} oifname eth0 drop; ip6 saddr {} oifname eth0 drop;",
        far.v4(),
        far.v6()
    );
    filter(there, &chain);
    for own in own {
        stage.until_answered(FAR, own, None, own);
    }
    assert_answered(&stage, FAR, own, own);
}

/// An address of the node that no uplink has (story K88).
#[test]
fn an_address_on_loopback_is_served_as_any_other() {
    let stage = Stage::new("onlo", Cni::RoutedVeth, &[]);
    let (node, client) = (stage.cluster.node("a").host(), stage.client());
    let on_lo = ["172.34.0.1", "fd34::1"];
    let [v4, v6] = on_lo;
    run(
        node,
        &[
            format!("address add {v4}/32 dev lo"),
            format!("address add {v6}/128 dev lo nodad"),
        ],
    );
    run(
        client,
        &[
            format!("route add {v4} via {}", node.v4()),
            format!("route add {v6} via {}", node.v6()),
        ],
    );
    let (at, own, clients) = (both(on_lo), node.addresses().both(), client.addresses().both());
    for (at, own) in at.into_iter().zip(own) {
        stage.until_answered(FAR, at, None, own);
    }
    assert_answered(&stage, FAR, at, own);
    assert_answered(&stage, NEAR, at, clients);
}
