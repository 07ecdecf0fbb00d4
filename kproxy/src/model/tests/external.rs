//! What a Service has for clients outside the cluster.

use kproxy_common::Port;

use super::*;
use crate::model::samples::{parse_service_object, service_object};

/// A list as text.
fn words<T: ToString>(list: &[T]) -> String {
    let words: Vec<_> = list.iter().map(ToString::to_string).collect();
    words.join(" ")
}

fn dual(fields: &Value) -> Value {
    let mut object =
        json!({"spec": {"clusterIPs": ["10.96.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"]}});
    json_patch::merge(&mut object, fields);
    object
}

#[test]
fn external_ips() {
    #[rustfmt::skip]
    let rows = [
        ("1.08 of any type", json!({"spec": {"externalIPs": ["192.0.2.1"], "type": "ClusterIP"}}), "192.0.2.1"),
        ("1.17 of both families", json!({"spec": {"externalIPs": ["192.0.2.1", "2001:db8::1"]}}), "192.0.2.1 2001:db8::1"),
        ("1.16, 1.17 the other family is ignored in silence", json!({"spec": {"externalIPs": ["192.0.2.1", "2001:db8::1"], "ipFamilies": ["IPv4"]}}), "192.0.2.1"),
        ("1.18 blank ones are skipped in silence", json!({"spec": {"externalIPs": ["", "  ", "192.0.2.1"]}}), "192.0.2.1"),
        ("1.19 zeros", json!({"spec": {"externalIPs": ["192.000.002.001"]}}), "192.0.2.1"),
        ("listed twice", json!({"spec": {"externalIPs": ["192.0.2.1", "192.0.2.01"]}}), "192.0.2.1"),
        ("in the order of the list", json!({"spec": {"externalIPs": ["192.0.2.2", "192.0.2.1"]}}), "192.0.2.2 192.0.2.1"),
    ];
    for (row, fields, expected) in rows {
        let service = service_object(dual(&fields));
        assert_eq!(words(service.external_ips()), expected, "{row}");
    }
}

#[test]
fn load_balancer_ips() {
    #[rustfmt::skip]
    let rows = [
        ("1.21 no mode", json!([{"ip": "203.0.113.1"}]), "203.0.113.1"),
        ("1.21 VIP", json!([{"ip": "203.0.113.1", "ipMode": "VIP"}]), "203.0.113.1"),
        ("1.21 Proxy", json!([{"ip": "203.0.113.1", "ipMode": "Proxy"}]), ""),
        ("1.21 each on its own", json!([{"ip": "203.0.113.1", "ipMode": "Proxy"}, {"ip": "203.0.113.2"}]), "203.0.113.2"),
        ("1.21 a name alone", json!([{"hostname": "lb.example"}]), ""),
        ("1.21 an empty address", json!([{"ip": "", "hostname": "lb.example"}]), ""),
        ("1.17 both families", json!([{"ip": "203.0.113.1"}, {"ip": "2001:db8::1"}]), "203.0.113.1 2001:db8::1"),
        ("1.19 zeros", json!([{"ip": "203.0.113.001"}]), "203.0.113.1"),
    ];
    for (row, ingress, expected) in rows {
        for sort in ["ClusterIP", "NodePort", "LoadBalancer"] {
            let fields =
                json!({"spec": {"type": sort}, "status": {"loadBalancer": {"ingress": ingress.clone()}}});
            let service = service_object(dual(&fields));
            assert_eq!(words(service.load_balancer_ips()), expected, "{row}, 1.22 {sort}");
        }
    }
    let single =
        json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"ip": "2001:db8::1"}]}}});
    assert_eq!(
        words(service_object(single).load_balancer_ips()),
        "203.0.113.1",
        "1.16, 1.17"
    );
}

#[test]
fn source_ranges() {
    #[rustfmt::skip]
    let rows = [
        ("none", json!([]), ""),
        ("1.25 trimmed", json!([" 198.51.100.0/24 ", "\t2001:db8::/32\n"]), "198.51.100.0/24 2001:db8::/32"),
        ("1.18 blank", json!(["", " "]), ""),
        ("1.19 zeros", json!(["203.0.113.000/025"]), "203.0.113.0/25"),
        ("1.25 one holds every address of its family", json!(["198.51.100.0/24", "0.0.0.0/0", "2001:db8::/32"]), "2001:db8::/32"),
        ("1.25 in the other family", json!(["198.51.100.0/24", "::/0", "2001:db8::/32"]), "198.51.100.0/24"),
        ("3.45 two halves are not the same", json!(["0.0.0.0/1", "128.0.0.0/1"]), "0.0.0.0/1 128.0.0.0/1"),
        ("twice, in order", json!(["198.51.100.0/24", "10.0.0.0/8", "10.1.2.3/8"]), "10.0.0.0/8 198.51.100.0/24"),
    ];
    for (row, ranges, expected) in rows {
        let service = service_object(dual(&json!({"spec": {"loadBalancerSourceRanges": ranges}})));
        assert_eq!(words(service.source_ranges()), expected, "{row}");
    }
    let single = json!({"spec": {"loadBalancerSourceRanges": ["2001:db8::/32"]}});
    assert_eq!(words(service_object(single).source_ranges()), "", "1.17");
}

#[test]
fn node_ports() {
    let ports = json!([
        {"name": "a", "port": 80, "nodePort": 30080},
        {"name": "b", "port": 81},
        {"name": "c", "port": 82, "nodePort": 0},
        {"name": "a", "port": 80, "protocol": "UDP", "nodePort": 30080},
        {"name": "d", "port": 83, "nodePort": 65535},
    ]);
    for sort in ["ClusterIP", "NodePort", "LoadBalancer"] {
        let service = service_object(json!({"spec": {"type": sort, "ports": ports.clone()}}));
        let numbers: Vec<_> = service
            .ports
            .iter()
            .map(|port| port.node_port.map(Port::number))
            .collect();
        assert_eq!(
            numbers,
            [Some(30080), None, None, Some(30080), Some(65535)],
            "1.08, 1.12 {sort}"
        );
    }
}

#[test]
fn the_external_policy_needs_something_external() {
    use TrafficPolicy::{Cluster, Local};
    let ingress = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}});
    #[rustfmt::skip]
    let rows = [
        ("1.09 NodePort", json!({"spec": {"type": "NodePort", "externalTrafficPolicy": "Local"}}), Local),
        ("1.09 LoadBalancer", json!({"spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000}}), Local),
        ("1.09 ClusterIP", json!({"spec": {"type": "ClusterIP", "externalTrafficPolicy": "Local"}}), Cluster),
        ("1.09 no type", json!({"spec": {"externalTrafficPolicy": "Local"}}), Cluster),
        ("1.09 ClusterIP with an external address", json!({"spec": {"type": "ClusterIP", "externalTrafficPolicy": "Local", "externalIPs": ["192.0.2.1"]}}), Local),
        ("1.09 ClusterIP with a load balancer's", json!({"spec": {"type": "ClusterIP", "externalTrafficPolicy": "Local"}, "status": ingress}), Cluster),
        ("1.09 Cluster", json!({"spec": {"type": "NodePort", "externalTrafficPolicy": "Cluster"}}), Cluster),
        ("1.09 none", json!({"spec": {"type": "NodePort"}}), Cluster),
    ];
    for (row, fields, expected) in rows {
        assert_eq!(service_object(fields).external_policy, expected, "{row}");
    }
}

#[test]
fn health_check_ports() {
    let spec = |sort: &str, policy: &str, port: Value| json!({"spec": {"type": sort, "externalTrafficPolicy": policy, "healthCheckNodePort": port}});
    let port = 32000;
    #[rustfmt::skip]
    let rows = [
        ("1.24", spec("LoadBalancer", "Local", json!(port)), Some(port), ""),
        ("1.24 policy Cluster", spec("LoadBalancer", "Cluster", json!(port)), None, ""),
        ("1.24 another type", spec("NodePort", "Local", json!(port)), None, ""),
        ("1.24 zero is told", spec("LoadBalancer", "Local", json!(0)), None, "is missing"),
        ("1.24 none is told", spec("LoadBalancer", "Local", json!(null)), None, "is missing"),
        ("1.24 not asked, not told", spec("NodePort", "Local", json!(0)), None, ""),
        ("no port", spec("LoadBalancer", "Local", json!(65536)), None, "65536 is not a port number, the health check is skipped"),
    ];
    for (row, fields, expected, problem) in rows {
        let parsed = parse_service_object(fields).unwrap();
        let got = parsed.object.unwrap().health_check_port().map(Port::number);
        assert_eq!(got, expected, "{row}");
        let told = texts(&parsed.problems).join("\n");
        assert!(
            told.contains(problem) && told.is_empty() == problem.is_empty(),
            "{row}: {told}"
        );
        assert!(
            problem.is_empty() || told.contains("field spec.healthCheckNodePort"),
            "{row}: {told}"
        );
    }
}

#[test]
fn a_bad_field_is_named_and_skipped_alone() {
    let ingress = |ip: &str, mode: &str| json!({"loadBalancer": {"ingress": [{"ip": ip, "ipMode": mode}, {"ip": "203.0.113.9"}]}});
    let external = |text: &str| json!({"spec": {"externalIPs": [text, "192.0.2.9"]}});
    #[rustfmt::skip]
    let rows = [
        (external("192.0.2"), "spec.externalIPs[0]: \"192.0.2\" is not an IP address, the address is skipped"),
        (external(" 192.0.2.1"), "spec.externalIPs[0]: \" 192.0.2.1\" is not an IP address"),
        (external("0.0.0.0"), "spec.externalIPs[0]: 0.0.0.0 can not be the address of a Service, the address is skipped: it means the node itself"),
        (external("127.0.0.1"), "spec.externalIPs[0]: 127.0.0.1 can not be the address of a Service"),
        (external("::1"), "spec.externalIPs[0]: ::1 can not be the address of a Service"),
        (external("224.0.0.1"), "spec.externalIPs[0]: 224.0.0.1 can not be the address of a Service, the address is skipped: it is a multicast"),
        (external("ff02::1"), "spec.externalIPs[0]: ff02::1 can not be the address of a Service, the address is skipped: it is a multicast"),
        (external("255.255.255.255"), "spec.externalIPs[0]: 255.255.255.255 can not be the address of a Service, the address is skipped: it is a multicast or broadcast"),
        (json!({"status": ingress("203.0.113.x", "VIP")}), "status.loadBalancer.ingress[0].ip: \"203.0.113.x\" is not an IP address"),
        (json!({"status": ingress("127.0.0.1", "VIP")}), "status.loadBalancer.ingress[0].ip: 127.0.0.1 can not be"),
        (json!({"status": ingress("0.0.0.0", "VIP")}), "status.loadBalancer.ingress[0].ip: 0.0.0.0 can not be"),
        (json!({"status": ingress("239.0.0.1", "VIP")}), "status.loadBalancer.ingress[0].ip: 239.0.0.1 can not be"),
        (json!({"status": ingress("203.0.113.1", "vip")}), "status.loadBalancer.ingress[0].ipMode: \"vip\" is not an ipMode, the address is skipped"),
        (json!({"spec": {"clusterIPs": ["10.96.0.1", "ff02::1"]}}), "spec.clusterIPs[1]: ff02::1 can not be the address of a Service, the Service in this family is skipped"),
        (json!({"spec": {"loadBalancerSourceRanges": ["198.51.100.0", "10.0.0.0/8"]}}), "spec.loadBalancerSourceRanges[0]: \"198.51.100.0\" is not a CIDR, the range is skipped"),
        (json!({"spec": {"ports": [{"port": 80, "nodePort": 65536}]}}), "spec.ports[0].nodePort: 65536 is not a port number, the node port is skipped"),
        (json!({"spec": {"ports": [{"port": 80, "nodePort": -1}]}}), "spec.ports[0].nodePort: -1 is not a port number, the node port is skipped"),
        (json!({"spec": {"ports": [{"name": "a", "port": 80, "nodePort": 30080}, {"name": "b", "port": 81, "nodePort": 30080}]}}),
            "spec.ports[1].nodePort: repeats 30080/TCP of an earlier port of this Service, this node port is skipped"),
        (json!({"spec": {"type": "Cluster"}}), "spec.type: \"Cluster\" is not a type of Services"),
        (json!({"spec": {"type": "NodePort", "externalTrafficPolicy": "local"}}), "spec.externalTrafficPolicy: \"local\" is not a traffic policy, Cluster is used"),
        (json!({"spec": {"internalTrafficPolicy": "Node"}}), "spec.internalTrafficPolicy: \"Node\" is not a traffic policy, Cluster is used"),
        (json!({"spec": {"sessionAffinity": "Client"}}), "spec.sessionAffinity: \"Client\" is not a session affinity, None is used"),
    ];
    for (fields, problem) in rows {
        let parsed = parse_service_object(dual(&fields)).unwrap();
        let told = texts(&parsed.problems);
        let expected = format!("Service default/web, field {problem}");
        assert!(
            told.len() == 1 && told[0].starts_with(&expected),
            "{told:?}, not {expected:?}"
        );
        let service = parsed.object.unwrap();
        assert!(!service.ports.is_empty(), "{problem}: the ports stay");
        assert_eq!(
            words(service.external_ips()),
            if fields["spec"]["externalIPs"].is_null() {
                ""
            } else {
                "192.0.2.9"
            },
            "{problem}"
        );
        assert_eq!(
            words(service.load_balancer_ips()),
            if fields["status"].is_null() {
                ""
            } else {
                "203.0.113.9"
            },
            "{problem}"
        );
    }
}
