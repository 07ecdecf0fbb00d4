//! Section 4: what traffic policies make of a packet.

use super::world::{DETECTOR, OUTSIDE, POD, PORT, ask, node, outcome, service, slices};

const HERE: &str = "10.1.0.5";
const THERE: &str = "10.2.0.5";

#[test]
fn cluster_ip_4a() {
    // What it shows; internalTrafficPolicy; endpoints; outcome.
    let rows: [(&str, &str, &[&str], &str); 7] = [
        (
            "4a Cluster, some",
            "Cluster",
            &[HERE, THERE],
            "forward 10.1.0.5:8080 10.2.0.5:8080",
        ),
        ("4a Cluster, none", "Cluster", &[], "reject"),
        (
            "4a Local, local ones",
            "Local",
            &[HERE, THERE],
            "forward 10.1.0.5:8080",
        ),
        ("4a Local, some elsewhere", "Local", &[THERE], "drop"),
        ("4a Local, none anywhere", "Local", &[], "reject"),
        (
            "2.25 Local, only a terminating one",
            "Local",
            &["10.1.0.5 serving terminating", THERE],
            "forward 10.1.0.5:8080",
        ),
        ("2.26 none is usable", "Cluster", &["10.1.0.5 serving"], "reject"),
    ];
    for (what, policy, endpoints, expected) in rows {
        let spec = format!("  internalTrafficPolicy: {policy}\n  ports: [{{port: 80}}]\n");
        let node = node(&(service(&spec) + &slices(PORT, endpoints)), DETECTOR);
        // Everybody is treated alike: a pod by either door, a process of the node, a client outside (3.10, 3.11, 3.12, 3.13).
        for from in ["pod: 10.1.0.100", "socket: 10.1.0.100", "192.168.0.1"] {
            let answer = ask(&node, &format!("{from} > 10.96.0.1:80/TCP"));
            assert_eq!(outcome(&answer), expected, "{what}, {from}: {answer}");
        }
        let answer = ask(&node, &format!("{OUTSIDE} > 10.96.0.1:80/TCP"));
        let verdict = expected.split(' ').next().unwrap();
        assert_eq!(
            answer.verdict.to_string(),
            verdict,
            "{what}, 3.12 outside: {answer}"
        );
    }
}

#[test]
fn external_frontends_4b() {
    let (external, pod, own) = (OUTSIDE, POD, "192.168.0.1");
    let both: &[&str] = &[HERE, THERE];
    let (everywhere, local) = ("10.1.0.5:8080 10.2.0.5:8080", "10.1.0.5:8080");
    // What it shows; externalTrafficPolicy; client; endpoints; outcome without the source.
    let rows: [(&str, &str, &str, &[&str], String); 14] = [
        (
            "4b Cluster, external",
            "Cluster",
            external,
            both,
            format!("forward {everywhere}"),
        ),
        (
            "4b Cluster, pod",
            "Cluster",
            pod,
            both,
            format!("forward {everywhere}"),
        ),
        (
            "4b Cluster, node",
            "Cluster",
            own,
            both,
            format!("forward {everywhere}"),
        ),
        (
            "4b Cluster, external, none",
            "Cluster",
            external,
            &[],
            "reject".into(),
        ),
        ("4b Cluster, pod, none", "Cluster", pod, &[], "reject".into()),
        ("4b Cluster, node, none", "Cluster", own, &[], "reject".into()),
        (
            "4b 3.34 Local, external",
            "Local",
            external,
            both,
            format!("forward {local}"),
        ),
        (
            "4b 3.34 Local, external, elsewhere",
            "Local",
            external,
            &[THERE],
            "drop".into(),
        ),
        (
            "4b Local, external, none",
            "Local",
            external,
            &[],
            "reject".into(),
        ),
        (
            "4b 3.35 Local, pod",
            "Local",
            pod,
            both,
            format!("forward {everywhere}"),
        ),
        (
            "4b 3.35 Local, pod, elsewhere",
            "Local",
            pod,
            &[THERE],
            "forward 10.2.0.5:8080".into(),
        ),
        (
            "4b 3.36 Local, node, elsewhere",
            "Local",
            own,
            &[THERE],
            "forward 10.2.0.5:8080".into(),
        ),
        ("4b Local, pod, none", "Local", pod, &[], "reject".into()),
        ("4b Local, node, none", "Local", own, &[], "reject".into()),
    ];
    for (what, policy, client, endpoints, expected) in rows {
        let spec = format!(
            "  type: LoadBalancer\n  externalTrafficPolicy: {policy}\n  healthCheckNodePort: 32000\n  externalIPs: [203.0.113.1]\n  \
             ports: [{{port: 80, nodePort: 30080}}]\nstatus: {{loadBalancer: {{ingress: [{{ip: 203.0.113.2}}]}}}}\n"
        );
        let node = node(&(service(&spec) + &slices(PORT, endpoints)), DETECTOR);
        // 3.38: the rules of all three.
        for (to, kind) in [
            ("192.168.0.1:30080", "NodePort"),
            ("203.0.113.1:80", "ExternalIP"),
            ("203.0.113.2:80", "LoadBalancer"),
        ] {
            let answer = ask(&node, &format!("{client} > {to}/TCP"));
            let without_source = outcome(&answer);
            let without_source = without_source.split(" as ").next().unwrap();
            assert_eq!(without_source, expected, "{what}, {kind}: {answer}");
            assert_eq!(answer.frontend.unwrap().to_string(), kind, "{what}");
            assert_eq!(answer.service.as_deref(), Some("test/web:80"), "{what}, {kind}");
        }
    }
}

#[test]
fn unknown_ports_and_addresses_4d() {
    let ranges = "---\napiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: kubernetes}\nspec: {cidrs: \
                  [10.96.0.0/16, \"fd00:96::/112\"]}\n";
    let spec = "  type: LoadBalancer\n  externalIPs: [203.0.113.1]\n  ports: [{port: 80, nodePort: 30080}]\nstatus: \
                {loadBalancer: {ingress: [{ip: 203.0.113.2}]}}\n";
    let manifests = service(spec) + &slices(PORT, &[HERE]);
    let with_ranges = node(&format!("{manifests}{ranges}"), DETECTOR);
    let without = node(&manifests, DETECTOR);
    // What it shows; where the packet goes; outcome with and without known ranges, and the reason's name with them.
    let rows = [
        (
            "4.08 undefined port",
            "10.96.0.1:81/TCP",
            "reject",
            "reject",
            "rejected_port",
        ),
        (
            "4.08 undefined protocol",
            "10.96.0.1:80/UDP",
            "reject",
            "reject",
            "rejected_port",
        ),
        (
            "4.08 undefined protocol",
            "10.96.0.1:80/SCTP",
            "reject",
            "reject",
            "rejected_port",
        ),
        (
            "4.08 IPv6",
            "[fd00:96::1]:81/TCP",
            "reject",
            "reject",
            "rejected_port",
        ),
        (
            "4.09 unallocated, 4.12 none known",
            "10.96.0.9:80/TCP",
            "drop",
            "pass",
            "dropped_unallocated",
        ),
        (
            "4.09 IPv6",
            "[fd00:96::9]:80/UDP",
            "drop",
            "pass",
            "dropped_unallocated",
        ),
        (
            "4.14 externalIP",
            "203.0.113.1:81/TCP",
            "pass",
            "pass",
            "no_frontend",
        ),
        (
            "4.14 load-balancer IP",
            "203.0.113.2:80/UDP",
            "pass",
            "pass",
            "no_frontend",
        ),
        (
            "4.14 NodePort address",
            "192.168.0.1:30081/TCP",
            "pass",
            "pass",
            "bystander",
        ),
        (
            "3.05 nobody's address",
            "10.2.0.5:8080/TCP",
            "pass",
            "pass",
            "bystander",
        ),
    ];
    for (what, to, expected, unknown, name) in rows {
        let froms = if to.starts_with('[') {
            ["pod: fd00:1::100", "uplink: 2001:db8::7", "uplink: 2001:db8::8"]
        } else {
            ["pod: 10.1.0.100", "socket: 10.1.0.100", "uplink: 198.51.100.7"]
        };
        for from in froms {
            let answer = ask(&with_ranges, &format!("{from} > {to}"));
            assert_eq!(answer.verdict.to_string(), expected, "{what}, {from}: {answer}");
            assert!(
                answer.reason.starts_with(&format!("{name}: ")),
                "{what}, {from}: {answer}"
            );
            assert_eq!((answer.service, answer.frontend), (None, None), "{what}, {from}");
            let answer = ask(&without, &format!("{from} > {to}"));
            assert_eq!(answer.verdict.to_string(), unknown, "{what}, {from}: {answer}");
        }
    }
}

#[test]
fn a_service_of_another_proxy_is_left_alone_4_10() {
    let ranges = "---\napiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nmetadata: {name: kubernetes}\nspec: {cidrs: \
                  [10.96.0.0/16]}\n";
    let other = service("  ports: [{port: 80}]\n").replace(
        "namespace: test",
        "namespace: test, labels: {service.kubernetes.io/service-proxy-name: other}",
    );
    let node = node(&format!("{other}{ranges}{}", slices(PORT, &[HERE])), "");
    let answer = ask(&node, &format!("pod: {POD} > 10.96.0.1:80/TCP"));
    assert_eq!(outcome(&answer), "pass", "1.01 4.10: {answer}");
    assert!(
        answer.to_string().contains("a ClusterIP that is not served here"),
        "{answer}"
    );
    let answer = ask(&node, &format!("pod: {POD} > 10.96.0.2:80/TCP"));
    assert_eq!(outcome(&answer), "drop", "4.09: {answer}");
}
