//! What is read, what is ignored, and what is said about the rest.

mod external;
mod services;

use serde_json::{Value, json};

use super::samples::{node, parse_slice, slice};
use super::*;

fn texts(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
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

/// Ten thousand services with ten endpoints each must fit into 64 MiB, together with everything else.
#[test]
fn objects_are_small() {
    let sizes = [
        size_of::<Service>(),
        size_of::<ServicePort>(),
        size_of::<Slice>(),
        size_of::<SlicePort>(),
        size_of::<Endpoint>(),
    ];
    assert_eq!(sizes, [104, 24, 128, 24, 48]);
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
