//! Section 3: which addresses and ports are a service's, and who is behind them.

use super::world::{DETECTOR, NODE, OUTSIDE, POD, PORT, ask, ask_by, node, outcome, service, slices};

const BOTH: &[&str] = &["10.1.0.5", "10.2.0.5", "fd00:1::5", "fd00:2::5"];

fn node_port_service() -> String {
    service("  type: NodePort\n  ports: [{port: 80, nodePort: 30080}]\n") + &slices(PORT, BOTH)
}

#[test]
fn matches_are_exact_3_01() {
    let spec = "  ports: [{name: http, port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP}, {name: sig, port: \
                132, protocol: SCTP}]\n";
    let ports = "{name: http, port: 8080}, {name: dns, port: 5353, protocol: UDP}, {name: sig, port: 1132, protocol: SCTP}";
    let node = node(&(service(spec) + &slices(ports, BOTH)), "");
    let rows = [
        (
            "3.01 TCP",
            "10.96.0.1:80/TCP",
            "test/web:http",
            "forward 10.1.0.5:8080 10.2.0.5:8080",
        ),
        (
            "3.01 UDP",
            "10.96.0.1:53/UDP",
            "test/web:dns",
            "forward 10.1.0.5:5353 10.2.0.5:5353",
        ),
        (
            "3.01 SCTP",
            "10.96.0.1:132/SCTP",
            "test/web:sig",
            "forward 10.1.0.5:1132 10.2.0.5:1132",
        ),
        (
            "1.14 the other family",
            "[fd00:96::1]:80/TCP",
            "test/web:http",
            "forward [fd00:1::5]:8080 [fd00:2::5]:8080",
        ),
        ("3.01 not the target port", "10.96.0.1:8080/TCP", "", "reject"),
        ("1.12 not the other protocol", "10.96.0.1:53/TCP", "", "reject"),
    ];
    for (what, to, service, expected) in rows {
        let pod = if to.starts_with('[') { "fd00:1::100" } else { POD };
        for door in ["pod", "socket"] {
            let answer = ask(&node, &format!("{door}: {pod} > {to}"));
            assert_eq!(outcome(&answer), expected, "{what} by {door}: {answer}");
            assert_eq!(answer.service.unwrap_or_default(), service, "{what} by {door}");
        }
    }
}

#[test]
fn node_ports_answer_on_eligible_addresses_3c() {
    // What it shows; nodePortAddresses; where the packet goes; verdict.
    let rows = [
        ("3.16 unset is primary", "", "192.168.0.1:30080/TCP", "forward"),
        ("3.17 not on others", "", "192.168.7.1:30080/TCP", "pass"),
        ("3.17 IPv6", "", "[fd00::1]:30080/TCP", "forward"),
        (
            "3.17 primary",
            "nodePortAddresses: [primary]\n",
            "192.168.0.1:30080/TCP",
            "forward",
        ),
        (
            "3.22 match-all",
            "nodePortAddresses: [0.0.0.0/0]\n",
            "192.168.7.1:30080/TCP",
            "forward",
        ),
        (
            "3.14 a family without a range",
            "nodePortAddresses: [192.168.0.0/24]\n",
            "[fd00::1]:30080/TCP",
            "forward",
        ),
        (
            "3.23 inside of the range",
            "nodePortAddresses: [192.168.7.0/24]\n",
            "192.168.7.1:30080/TCP",
            "forward",
        ),
        (
            "3.25 outside of it",
            "nodePortAddresses: [192.168.7.0/24]\n",
            "192.168.0.1:30080/TCP",
            "pass",
        ),
        ("3.02 not another node's", "", "192.168.0.2:30080/TCP", "pass"),
        ("3.02 another port", "", "192.168.0.1:30081/TCP", "pass"),
        ("3.02 another protocol", "", "192.168.0.1:30080/UDP", "pass"),
    ];
    for (what, configuration, to, expected) in rows {
        let node = node(&node_port_service(), configuration);
        let is_v6 = to.starts_with('[');
        for from in ["pod", "socket", "uplink"] {
            let client = if is_v6 { "2001:db8::7" } else { OUTSIDE };
            let answer = ask(&node, &format!("{from}: {client} > {to}"));
            assert_eq!(answer.verdict.to_string(), expected, "{what}, {from}: {answer}");
        }
    }
}

#[test]
fn node_ports_answer_on_loopback_3d() {
    let on = "";
    let off = "iptables: {localhostNodePorts: false}\n";
    // What it shows; configuration; question; verdict.
    let rows = [
        (
            "3.27 a process of the node",
            on,
            "127.0.0.1 > 127.0.0.1:30080/TCP",
            "forward",
        ),
        (
            "3.27 by its own address",
            on,
            "192.168.0.1 > 127.0.0.1:30080/TCP",
            "forward",
        ),
        ("3.27 IPv6 as well", on, "::1 > [::1]:30080/TCP", "forward"),
        (
            "3.27 switched off",
            off,
            "127.0.0.1 > 127.0.0.1:30080/TCP",
            "pass",
        ),
        (
            "3.30 not for pods",
            on,
            "socket: 10.1.0.100 > 127.0.0.1:30080/TCP",
            "pass",
        ),
        (
            "3.28 nor for packets",
            on,
            "uplink: 198.51.100.7 > 127.0.0.1:30080/TCP",
            "pass",
        ),
        ("3.27 another port", on, "127.0.0.1 > 127.0.0.1:30081/TCP", "pass"),
    ];
    for (what, configuration, question, expected) in rows {
        let node = node(&node_port_service(), configuration);
        let answer = ask(&node, question);
        assert_eq!(answer.verdict.to_string(), expected, "{what}: {answer}");
    }
    // 3.29: the Cluster set, with policy Local as well.
    let local =
        service("  type: NodePort\n  externalTrafficPolicy: Local\n  ports: [{port: 80, nodePort: 30080}]\n");
    let node = node(&(local + &slices(PORT, &["10.2.0.5"])), "");
    let answer = ask(&node, "127.0.0.1 > 127.0.0.1:30080/TCP");
    assert_eq!(outcome(&answer), "forward 10.2.0.5:8080", "3.29: {answer}");
}

#[test]
fn the_address_comes_before_the_node_port_3_02() {
    // The external address is the node's own, and its port is a NodePort of another service.
    let first =
        service("  externalIPs: [192.168.0.1]\n  ports: [{port: 30080}]\n") + &slices(PORT, &["10.1.0.5"]);
    let second =
        service("  type: NodePort\n  ports: [{port: 80, nodePort: 30080}]\n") + &slices(PORT, &["10.2.0.9"]);
    let second = second
        .replace("web", "other")
        .replace("10.96.0.1", "10.96.0.2")
        .replace("96::1", "96::2");
    let node = node(&(first + &second), "");
    let answer = ask(&node, &format!("pod: {POD} > 192.168.0.1:30080/TCP"));
    assert_eq!(outcome(&answer), "forward 10.1.0.5:8080", "3.02 3.32: {answer}");
    assert_eq!(answer.service.as_deref(), Some("test/web:30080"));
}

#[test]
fn clients_are_told_apart_5c() {
    let spec = "  externalTrafficPolicy: Local\n  externalIPs: [203.0.113.1]\n  ports: [{port: 80}]\n";
    let manifests = service(spec) + &slices(PORT, BOTH);
    let both = "forward 10.1.0.5:8080 10.2.0.5:8080";
    // What it shows; configuration; question; client; outcome without the source.
    let rows = [
        ("5.13 by range", DETECTOR, "uplink: 10.1.0.77", "pod", both),
        (
            "5.13 outside of it",
            DETECTOR,
            "uplink: 10.3.0.77",
            "external",
            "forward 10.1.0.5:8080",
        ),
        (
            "5.17 3.37 no detector",
            "",
            "uplink: 10.1.0.77",
            "external",
            "forward 10.1.0.5:8080",
        ),
        (
            "nobody outside has the node's address",
            DETECTOR,
            "uplink: 192.168.7.1",
            "node",
            "drop",
        ),
        (
            "3.36 the node's own",
            DETECTOR,
            "socket: 192.168.7.1",
            "node",
            both,
        ),
        ("a pod's door says who it is", "", "pod: 10.3.0.77", "pod", both),
        ("a process of a pod", "", "socket: 10.3.0.77", "pod", both),
        ("a pod's usual door", "", "10.1.0.5", "pod", both),
        ("5.13 by its range", DETECTOR, "10.1.0.77", "pod", both),
        ("the node's usual door", "", "192.168.7.1", "node", both),
        (
            "a stranger's usual door",
            "",
            OUTSIDE,
            "external",
            "forward 10.1.0.5:8080",
        ),
    ];
    for (what, configuration, from, client, expected) in rows {
        let answer = ask(
            &node(&manifests, configuration),
            &format!("{from} > 203.0.113.1:80/TCP"),
        );
        assert_eq!(answer.client.to_string(), client, "{what}: {answer}");
        assert_eq!(
            outcome(&answer).split(" as ").next(),
            Some(expected),
            "{what}: {answer}"
        );
    }
}

#[test]
fn the_source_changes_only_where_it_must() {
    let manifests = |endpoint: &str| {
        let spec = "  type: NodePort\n  ports: [{port: 80, nodePort: 30080}]\n";
        service(spec) + &slices(PORT, &[endpoint])
    };
    // What it shows; the endpoint; question; the source.
    let rows = [
        (
            "section 8: a backend here",
            "10.1.0.5",
            "198.51.100.7 > 192.168.0.1:30080/TCP",
            "kept",
        ),
        (
            "a backend elsewhere",
            "10.2.0.5",
            "198.51.100.7 > 192.168.0.1:30080/TCP",
            "192.168.0.1",
        ),
        (
            "a backend elsewhere, IPv6",
            "fd00:2::5",
            "2001:db8::7 > [fd00::1]:30080/TCP",
            "fd00::1",
        ),
        (
            "5.07 a pod",
            "10.2.0.5",
            "pod: 10.1.0.100 > 10.96.0.1:80/TCP",
            "kept",
        ),
        (
            "section 8: a pod",
            "10.2.0.5",
            "pod: 10.1.0.100 > 192.168.0.1:30080/TCP",
            "kept",
        ),
        (
            "a process of the node",
            "10.2.0.5",
            "192.168.0.1 > 10.96.0.1:80/TCP",
            "kept",
        ),
        (
            "5.06 hairpin",
            "10.1.0.5",
            "pod: 10.1.0.5 > 10.96.0.1:80/TCP",
            "10.96.0.1",
        ),
        (
            "5.06 hairpin by socket",
            "10.1.0.5",
            "socket: 10.1.0.5 > 10.96.0.1:80/TCP",
            "kept",
        ),
        (
            "5.06 hairpin at the uplink",
            "10.2.0.5",
            "uplink: 10.2.0.5 > 10.96.0.1:80/TCP",
            "192.168.0.1",
        ),
        (
            "rejected",
            "10.2.0.5",
            "pod: 10.1.0.100 > 10.96.0.1:81/TCP",
            "kept",
        ),
    ];
    for (what, endpoint, question, expected) in rows {
        let answer = ask(&node(&manifests(endpoint), ""), question);
        assert_eq!(answer.source.to_string(), expected, "{what}: {answer}");
    }
}

#[test]
fn detectors_may_ask_for_the_device_5_15() {
    const BRIDGE: &str = "detectLocalMode: BridgeInterface\ndetectLocal: {bridgeInterface: cni0}\n";
    const PREFIX: &str = "detectLocalMode: InterfaceNamePrefix\ndetectLocal: {interfaceNamePrefix: veth}\n";
    let spec = "  externalTrafficPolicy: Local\n  externalIPs: [203.0.113.1]\n  ports: [{port: 80}]\n";
    let manifests = service(spec) + &slices(PORT, BOTH);
    // What it shows; configuration; device; door; who sends; client.
    let rows = [
        (
            "5.15 the bridge",
            BRIDGE,
            Some("cni0"),
            "uplink: ",
            OUTSIDE,
            "pod",
        ),
        ("5.15 its usual door", BRIDGE, Some("cni0"), "", OUTSIDE, "pod"),
        (
            "5.15 another device",
            BRIDGE,
            Some("eth0"),
            "",
            OUTSIDE,
            "external",
        ),
        ("5.15 no device", BRIDGE, None, "", OUTSIDE, "external"),
        (
            "5.15 a prefix",
            PREFIX,
            Some("veth12"),
            "uplink: ",
            OUTSIDE,
            "pod",
        ),
        (
            "5.15 another name",
            PREFIX,
            Some("eth0"),
            "uplink: ",
            OUTSIDE,
            "external",
        ),
        ("5.16 the node's own", BRIDGE, None, "", NODE[0], "node"),
        (
            "5.13 by range alone",
            DETECTOR,
            Some("cni0"),
            "",
            OUTSIDE,
            "external",
        ),
    ];
    for (what, configuration, device, door, from, client) in rows {
        let question = format!("{door}{from} > 203.0.113.1:80/TCP");
        let answer = ask_by(&node(&manifests, configuration), device, &question);
        assert_eq!(answer.client.to_string(), client, "{what}: {answer}");
    }
}
