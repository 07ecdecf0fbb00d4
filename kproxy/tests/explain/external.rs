//! Sections 1d, 3e and 3f: external addresses, load balancers and source ranges.

use super::world::{DETECTOR, OUTSIDE, POD, PORT, ask, node, outcome, service, slices};

const BOTH: &[&str] = &["10.1.0.5", "10.2.0.5"];

fn balanced(spec: &str, ingress: &str) -> String {
    let spec = format!(
        "  type: LoadBalancer\n  ports: [{{port: 80, nodePort: 30080}}]\n{spec}status: {{loadBalancer: {{ingress: [{ingress}]}}}}\n"
    );
    service(&spec) + &slices(PORT, BOTH)
}

#[test]
fn ingress_addresses_count_by_their_mode_1_21() {
    let rows = [
        (
            "1.21 no mode",
            "{ip: 203.0.113.2}",
            "forward 10.1.0.5:8080 10.2.0.5:8080",
        ),
        (
            "1.21 VIP",
            "{ip: 203.0.113.2, ipMode: VIP}",
            "forward 10.1.0.5:8080 10.2.0.5:8080",
        ),
        ("1.21 Proxy", "{ip: 203.0.113.2, ipMode: Proxy}", "pass"),
        ("1.21 a host name", "{hostname: lb.example.com}", "pass"),
    ];
    for (what, ingress, expected) in rows {
        let answer = ask(
            &node(&balanced("", ingress), DETECTOR),
            &format!("pod: {POD} > 203.0.113.2:80/TCP"),
        );
        assert_eq!(outcome(&answer), expected, "{what}: {answer}");
    }
}

#[test]
fn external_addresses_can_be_switched_off_1_23() {
    let manifests = service("  externalIPs: [203.0.113.1]\n  ports: [{port: 80}]\n") + &slices(PORT, BOTH);
    let question = format!("pod: {POD} > 203.0.113.1:80/TCP");
    let answer = ask(&node(&manifests, ""), &question);
    assert_eq!(
        outcome(&answer),
        "forward 10.1.0.5:8080 10.2.0.5:8080",
        "{answer}"
    );
    let off = "featureGates: {AllowServiceExternalIPs: false}\n";
    let answer = ask(&node(&manifests, off), &question);
    assert_eq!(outcome(&answer), "pass", "1.23: {answer}");
}

#[test]
fn source_ranges_3f() {
    let ranges =
        "  loadBalancerSourceRanges: [198.51.100.0/24, \" 10.1.0.0/24\"]\n  externalIPs: [203.0.113.1]\n";
    let manifests = balanced(ranges, "{ip: 203.0.113.2}");
    let both = "forward 10.1.0.5:8080 10.2.0.5:8080";
    // What it shows; question; outcome without the source.
    let rows = [
        ("3.41 outside, allowed", "198.51.100.7 > 203.0.113.2:80/TCP", both),
        ("3.41 outside, blocked", "192.0.2.7 > 203.0.113.2:80/TCP", "drop"),
        (
            "1.25 3.42 a pod, allowed",
            "pod: 10.1.0.100 > 203.0.113.2:80/TCP",
            both,
        ),
        (
            "3.42 a pod, blocked",
            "pod: 10.1.7.100 > 203.0.113.2:80/TCP",
            "drop",
        ),
        (
            "3.42 a pod's socket, allowed",
            "socket: 10.1.0.100 > 203.0.113.2:80/TCP",
            both,
        ),
        (
            "3.42 a pod's socket, blocked",
            "socket: 10.1.7.100 > 203.0.113.2:80/TCP",
            "drop",
        ),
        (
            "3.43 the node, blocked",
            "192.168.0.1 > 203.0.113.2:80/TCP",
            "drop",
        ),
        (
            "3.40 not the ClusterIP",
            "pod: 10.1.7.100 > 10.96.0.1:80/TCP",
            both,
        ),
        ("3.40 not the NodePort", "192.0.2.7 > 192.168.0.1:30080/TCP", both),
        ("3.40 not the externalIP", "192.0.2.7 > 203.0.113.1:80/TCP", both),
    ];
    let blocking = node(&manifests, DETECTOR);
    for (what, question, expected) in rows {
        let answer = ask(&blocking, question);
        assert_eq!(
            outcome(&answer).split(" as ").next(),
            Some(expected),
            "{what}: {answer}"
        );
        if expected == "drop" {
            assert!(answer.reason.starts_with("dropped_source: "), "{what}: {answer}");
        }
    }
    // 3.46: also without endpoints; 3.48: an address of both kinds.
    let spec = "  type: LoadBalancer\n  loadBalancerSourceRanges: [198.51.100.0/24]\n  externalIPs: [203.0.113.2]\n  ports: \
                [{port: 80}]\nstatus: {loadBalancer: {ingress: [{ip: 203.0.113.2}]}}\n";
    let empty = node(&(service(spec) + &slices(PORT, &[])), DETECTOR);
    for (what, from, expected) in [
        ("3.46 3.48 blocked", "192.0.2.7", "drop"),
        ("3.46 allowed", OUTSIDE, "reject"),
    ] {
        let answer = ask(&empty, &format!("{from} > 203.0.113.2:80/TCP"));
        assert_eq!(outcome(&answer), expected, "{what}: {answer}");
    }
    // 3.44: the node is in a range, so the load balancer's own address is.
    let own = balanced(
        "  loadBalancerSourceRanges: [192.168.0.0/24]\n",
        "{ip: 203.0.113.2}",
    );
    let answer = ask(&node(&own, DETECTOR), "pod: 203.0.113.2 > 203.0.113.2:80/TCP");
    assert_eq!(
        outcome(&answer).split(" as ").next(),
        Some(both),
        "3.44: {answer}"
    );
}

#[test]
fn allowed_clients_meet_the_policy_3_47() {
    let spec = "  type: LoadBalancer\n  externalTrafficPolicy: Local\n  healthCheckNodePort: 32000\n  loadBalancerSourceRanges: [198.51.100.0/24, \
                10.1.0.0/16]\n  ports: [{port: 80}]\nstatus: {loadBalancer: {ingress: [{ip: 203.0.113.2}]}}\n";
    let node = node(&(service(spec) + &slices(PORT, &["10.2.0.5"])), DETECTOR);
    for (what, from, expected) in [
        ("3.47 external", OUTSIDE, "dropped_policy"),
        ("3.47 blocked", "192.0.2.7", "dropped_source"),
        ("3.47 pod", POD, "new"),
    ] {
        let answer = ask(&node, &format!("{from} > 203.0.113.2:80/TCP"));
        assert_eq!(
            answer.reason.split(':').next(),
            Some(expected),
            "{what}: {answer}"
        );
    }
}
