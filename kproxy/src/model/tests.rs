//! What is read, what is ignored, and what is said about the rest.

use serde_json::{Value, json};

use super::samples::{node, parse_service, parse_slice, service, slice};
use super::*;

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn ports(service: &Service) -> Vec<String> {
    service
        .ports
        .iter()
        .map(|port| format!("{}={}/{}", port.name, port.port, port.protocol))
        .collect()
}

#[test]
fn services_that_are_not_proxied() {
    let rows = [
        ("1.02 headless", json!({"clusterIP": "None"})),
        ("1.06 without an address", json!({"clusterIP": null})),
        ("1.06 with an empty address", json!({"clusterIP": ""})),
        ("1.07 an alias", json!({"type": "ExternalName"})),
    ];
    for (row, spec) in rows {
        let parsed = parse_service(spec).unwrap();
        assert_eq!((parsed.object, parsed.problems), (None, vec![]), "{row}");
    }
}

#[test]
fn a_label_hands_a_service_to_another_proxy() {
    for value in ["other", ""] {
        let object = json!({
            "metadata": {"name": "web", "labels": {"service.kubernetes.io/service-proxy-name": value}},
            "spec": {"clusterIP": "10.96.0.1"},
        });
        let object: k8s_openapi::api::core::v1::Service = serde_json::from_value(object).unwrap();
        let parsed = Parsed::<Service>::try_from(object).unwrap();
        assert_eq!(parsed.object, None, "1.01 {value:?}");
    }
}

#[test]
fn cluster_ips_by_family() {
    let both = json!(["10.96.0.1", "fd00::1"]);
    let rows = [
        (
            "1.14 no families: clusterIP alone",
            json!({"clusterIPs": both}),
            vec!["10.96.0.1"],
        ),
        (
            "1.14 pairs",
            json!({"clusterIPs": both, "ipFamilies": ["IPv4", "IPv6"]}),
            vec!["10.96.0.1", "fd00::1"],
        ),
        (
            "1.15 too short",
            json!({"clusterIPs": ["10.96.0.1"], "ipFamilies": ["IPv4", "IPv6"]}),
            vec!["10.96.0.1"],
        ),
        (
            "1.19 zeros",
            json!({"clusterIP": "172.30.0.041"}),
            vec!["172.30.0.41"],
        ),
        (
            "1.08 any type",
            json!({"type": "LoadBalancer"}),
            vec!["10.96.0.1"],
        ),
    ];
    for (row, spec, expected) in rows {
        let addresses: Vec<String> = service(spec)
            .cluster_ips
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(addresses, expected, "{row}");
    }
}

#[test]
fn a_bad_field_is_named_and_left_out_alone() {
    let rows = [
        (
            json!({"ports": [{"port": 0}, {"name": "b", "port": 81}]}),
            "field spec.ports[0].port: 0 is not a port number, the port is skipped; use 1 to 65535",
            vec!["b=81/TCP"],
        ),
        (
            json!({"ports": [{"port": 80}, {"name": "b", "port": 65536}]}),
            "field spec.ports[1].port: 65536 is not a port number",
            vec!["=80/TCP"],
        ),
        (
            json!({"ports": [{"port": 80, "protocol": "ICMP"}]}),
            "field spec.ports[0].protocol: \"ICMP\" is not",
            vec![],
        ),
        (
            json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}),
            "field spec.ports[1].port: repeats 80/TCP",
            vec!["a=80/TCP"],
        ),
        (
            json!({"ports": [{"name": "a", "port": 80}, {"name": "a", "port": 81}]}),
            "field spec.ports[1].name: repeats the name \"a\"",
            vec!["a=80/TCP"],
        ),
        (
            json!({"clusterIP": "10.96.0.300"}),
            "field spec.clusterIP: \"10.96.0.300\" is not an IP address",
            vec!["=80/TCP"],
        ),
        (
            json!({"clusterIP": "0.0.0.0"}),
            "field spec.clusterIP: 0.0.0.0 can not be the address of a Service",
            vec!["=80/TCP"],
        ),
        (
            json!({"clusterIP": "127.0.0.53"}),
            "field spec.clusterIP: 127.0.0.53 can not be the address of a Service",
            vec!["=80/TCP"],
        ),
        (
            json!({"clusterIPs": ["10.96.0.1", "::"], "ipFamilies": ["IPv4", "IPv6"]}),
            "field spec.clusterIPs[1]: :: can not be the address of a Service",
            vec!["=80/TCP"],
        ),
        (
            json!({"clusterIPs": ["10.96.0.1", "::1"], "ipFamilies": ["IPv4", "IPv6"]}),
            "field spec.clusterIPs[1]: ::1 can not be the address of a Service",
            vec!["=80/TCP"],
        ),
        (
            json!({"clusterIP": "::ffff:127.0.0.1"}),
            "field spec.clusterIP: 127.0.0.1 can not be the address of a Service",
            vec!["=80/TCP"],
        ),
        (
            json!({"clusterIPs": ["10.96.0.1", "10.96.0.2"], "ipFamilies": ["IPv4", "IPv6"]}),
            "field spec.clusterIPs[1]: \"10.96.0.2\" is not of the family IPv6",
            vec!["=80/TCP"],
        ),
        (
            json!({"clusterIPs": ["10.96.0.1"], "ipFamilies": ["IPv5"]}),
            "field spec.ipFamilies[0]: \"IPv5\" is not an IP family",
            vec!["=80/TCP"],
        ),
        (
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}),
            "field spec.sessionAffinityConfig.clientIP.timeoutSeconds: 0 is not an affinity timeout",
            vec!["=80/TCP"],
        ),
    ];
    for (spec, problem, expected) in rows {
        let parsed = parse_service(spec).unwrap();
        let told = texts(&parsed.problems);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with(&format!("Service default/web, {problem}")),
            "{}",
            told[0]
        );
        assert_eq!(ports(&parsed.object.unwrap()), expected, "{problem}");
    }
}

#[test]
fn one_number_may_serve_every_protocol() {
    let parsed = service(json!({"ports": [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns", "port": 53, "protocol": "TCP"},
        {"name": "dns", "port": 53, "protocol": "SCTP"},
    ]}));
    assert_eq!(
        ports(&parsed),
        ["dns=53/UDP", "dns=53/TCP", "dns=53/SCTP"],
        "1.12, 1.13"
    );
}

#[test]
fn policies_and_affinity() {
    assert_eq!(
        service(json!({})).internal_policy,
        TrafficPolicy::Cluster,
        "1.10 nil"
    );
    assert_eq!(
        service(json!({"internalTrafficPolicy": "Local"})).internal_policy,
        TrafficPolicy::Local,
        "1.10"
    );
    assert_eq!(
        service(json!({"internalTrafficPolicy": "local"})).internal_policy,
        TrafficPolicy::Cluster,
        "1.10 exactly"
    );
    assert_eq!(service(json!({})).affinity_seconds, 0, "6.01");
    assert_eq!(
        service(json!({"sessionAffinity": "ClientIP"})).affinity_seconds,
        10_800,
        "6.03"
    );
}

#[test]
fn slices_that_do_not_count() {
    let silent = [
        ("2.01", json!({"addressType": "FQDN"})),
        (
            "1.03",
            json!({"metadata": {"labels": {"service.kubernetes.io/headless": ""}}}),
        ),
    ];
    for (row, fields) in silent {
        let parsed = parse_slice(fields).unwrap();
        assert_eq!((parsed.object, parsed.problems), (None, vec![]), "{row}");
    }
    let told = [
        (
            "2.02",
            json!({"metadata": {"labels": {"kubernetes.io/service-name": ""}}}),
            "names no service",
        ),
        ("2.02", json!({"metadata": {"labels": null}}), "names no service"),
        (
            "2.01",
            json!({"addressType": "IPX"}),
            "\"IPX\" is not an address type",
        ),
    ];
    for (row, fields, problem) in told {
        let parsed = parse_slice(fields).unwrap();
        assert_eq!(parsed.object, None, "{row}");
        assert!(
            texts(&parsed.problems)[0].contains(problem),
            "{row}: {:?}",
            parsed.problems
        );
    }
    assert!(
        parse_slice(json!({"metadata": {"name": null}}))
            .unwrap_err()
            .to_string()
            .contains("metadata.name"),
        "2.02"
    );
}

#[test]
fn slice_ports() {
    let rows: [(&str, Value, Vec<&str>, usize); 8] = [
        ("2.07 no name", json!([{"port": 80}]), vec![], 0),
        (
            "2.07 empty name",
            json!([{"name": "", "port": 80}]),
            vec!["=80/TCP"],
            0,
        ),
        ("2.08 no number", json!([{"name": "a"}]), vec![], 0),
        ("2.08 zero", json!([{"name": "a", "port": 0}]), vec![], 0),
        (
            "2.09 no protocol",
            json!([{"name": "a", "port": 1}]),
            vec!["a=1/TCP"],
            0,
        ),
        (
            "SCTP",
            json!([{"name": "a", "port": 1, "protocol": "SCTP"}]),
            vec!["a=1/SCTP"],
            0,
        ),
        (
            "too large",
            json!([{"name": "a", "port": 65536}, {"name": "b", "port": 1}]),
            vec!["b=1/TCP"],
            1,
        ),
        (
            "protocol",
            json!([{"name": "a", "port": 1, "protocol": "tcp"}]),
            vec![],
            1,
        ),
    ];
    for (row, ports, expected, problems) in rows {
        let parsed = parse_slice(json!({ "ports": ports })).unwrap();
        let slice = parsed.object.unwrap();
        let read: Vec<_> = slice
            .ports
            .iter()
            .map(|port| format!("{}={}/{}", port.name, port.port, port.protocol))
            .collect();
        assert_eq!(
            (read, parsed.problems.len()),
            (expected.iter().map(ToString::to_string).collect(), problems),
            "{row}"
        );
    }
}

#[test]
fn endpoint_fields() {
    let parsed = slice(json!({"endpoints": [
        {"addresses": ["10.0.0.1", "not looked at"], "nodeName": "here", "zone": "ignored"},
        {"addresses": []},
        {"addresses": ["127.0.0.1"], "conditions": {"ready": false, "serving": false, "terminating": true}},
        {"addresses": ["10.0.0.3"], "hints": {"forZones": [{"name": "a"}, {"name": "b"}]}},
        {"addresses": ["10.0.0.4"], "hints": {"forZones": [], "forNodes": []}},
    ]}));
    let [plain, loopback, hinted, unhinted] = &*parsed.endpoints else {
        panic!("2.12: {parsed:?}")
    };
    assert_eq!(plain.conditions, Conditions::READY | Conditions::SERVING, "2.13");
    assert_eq!(plain.node.as_deref(), Some("here"), "2.14");
    assert_eq!(loopback.conditions, Conditions::TERMINATING, "2.13");
    assert_eq!(loopback.address.to_string(), "127.0.0.1", "2.16");
    assert_eq!(
        hinted.hints.as_ref().map(|hints| hints.zones.len()),
        Some(2),
        "2.37"
    );
    assert_eq!(unhinted.hints, None, "2.15");
}

#[test]
fn a_bad_endpoint_is_left_out_alone() {
    let fields = json!({"endpoints": [{"addresses": ["10.0.0.999"]}, {"addresses": ["fd00::1"]}, {"addresses": ["10.0.0.1"]}]});
    let parsed = parse_slice(fields).unwrap();
    let told = texts(&parsed.problems);
    assert!(
        told[0].contains(
            "endpoints[0].addresses[0]: \"10.0.0.999\" is not an IP address, the endpoint is skipped"
        ),
        "{told:?}"
    );
    assert!(
        told[1].contains("endpoints[1].addresses[0]: \"fd00::1\" is not of the family IPv4"),
        "{told:?}"
    );
    assert_eq!(parsed.object.unwrap().endpoints.len(), 1);
}

#[test]
fn nodes_that_load_balancers_may_send_to() {
    let leaving = "ToBeDeletedByClusterAutoscaler";
    let rows = [
        ("9.09 any node", json!({}), true),
        (
            "9.09 any value and effect",
            json!({"spec": {"taints": [{"key": "a", "effect": "NoExecute"}, {"key": leaving, "value": "1", "effect": "PreferNoSchedule"}]}}),
            false,
        ),
        (
            "9.09 other taints",
            json!({"spec": {"taints": [{"key": "DeletionCandidateOfClusterAutoscaler", "effect": "NoSchedule"}]}}),
            true,
        ),
        ("9.09 cordoned", json!({"spec": {"unschedulable": true}}), true),
        (
            "9.09 not ready",
            json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
            true,
        ),
        (
            "9.09 being deleted",
            json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
            false,
        ),
    ];
    for (row, fields, eligible) in rows {
        assert_eq!(node(fields).eligible, eligible, "{row}");
    }
}

#[test]
fn triggers_of_slices_are_read_and_do_not_count_as_content() {
    let trigger = |text: Value| {
        let annotations = json!({"endpoints.kubernetes.io/last-change-trigger-time": text});
        slice(json!({"metadata": {"annotations": annotations}}))
    };
    let rows = [
        (
            "9.20",
            json!("2026-01-01T00:00:01.5Z"),
            Some("2026-01-01T00:00:01.5Z"),
        ),
        (
            "9.20 with an offset",
            json!("2026-01-01T02:00:01+02:00"),
            Some("2026-01-01T00:00:01Z"),
        ),
        ("9.20 unparsable", json!("soon"), None),
        ("9.20 absent", Value::Null, None),
    ];
    for (row, text, expected) in rows {
        let parsed = trigger(text);
        let read = parsed.trigger.0.map(|time| time.to_string());
        assert_eq!(read.as_deref(), expected, "{row}");
        assert_eq!(parsed, slice(json!({})), "{row}");
    }
}

#[test]
fn nodes() {
    let parsed = node(json!({
        "metadata": {"labels": {"topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r"}},
        "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "fd01::/64"]},
        "status": {"addresses": [
            {"type": "ExternalIP", "address": "192.0.2.1"},
            {"type": "InternalIP", "address": "10.0.0.1"},
            {"type": "Hostname", "address": "here"},
        ]},
    }));
    let addresses: Vec<String> = parsed.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.1", "192.0.2.1"], "10.18");
    assert_eq!(parsed.zone.as_deref(), Some("a"), "2.38");
    assert_eq!(parsed.pod_cidrs.len(), 2);
    assert_eq!(
        node(json!({"metadata": {"labels": {"topology.kubernetes.io/zone": ""}}})).zone,
        None,
        "2.38"
    );
}
