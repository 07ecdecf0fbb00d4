//! What a load balancer is told that asks for local endpoints: semantics section 3g as a table.

use super::*;

fn service(spec: Value) -> Service {
    let mut full =
        json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000});
    json_patch::merge(&mut full, &spec);
    samples::service(full)
}

#[test]
fn local_ready_addresses_are_counted() {
    #[rustfmt::skip]
    let rows: &[(&str, &[&str], &[&str], u32)] = &[
        ("3.57 nothing", &[], &[], 0),
        ("3.56 local and ready", &["1 here ready serving", "2 here ready serving", "3 there ready serving"], &[], 2),
        ("3.56 leaving ones do not count", &["1 here serving terminating", "2 here serving"], &[], 0),
        ("3.56 ready ones count while they leave", &["1 here ready serving terminating"], &[], 1),
        ("3.56 several slices", &["1 here ready serving"], &["1 here ready serving", "2 here ready serving"], 2),
        ("2.18 a live one speaks for its address", &["1 here serving terminating"], &["1 here ready serving"], 1),
        ("2.41 hints do not matter", &["1 here ready serving zone:b node:there", "2 there ready serving zone:a node:here"], &[], 1),
    ];
    for (row, first, second, expected) in rows {
        let slices = [slice("web-1", first), slice("web-2", second)];
        let check = health_check(&service(json!({})), Family::V4, &slices, &place()).unwrap();
        assert_eq!((check.port, check.local_endpoints), (32000, *expected), "{row}");
    }
}

#[test]
fn all_ports_count_together_and_families_apart() {
    let ports = |names: &[&str]| -> Value {
        names
            .iter()
            .enumerate()
            .map(|(position, name)| json!({"name": name, "port": 8080 + position}))
            .collect()
    };
    let slices = [
        samples::slice(
            json!({"ports": ports(&["a", "b"]), "endpoints": [endpoint("1 here ready"), endpoint("2 here ready")]}),
        ),
        samples::slice(json!({
            "metadata": {"name": "web-2"}, "ports": ports(&["b"]), "endpoints": [endpoint("2 here ready"), endpoint("3 here ready")],
        })),
        samples::slice(json!({
            "metadata": {"name": "web-3"}, "addressType": "IPv6", "ports": ports(&["a"]),
            "endpoints": [{"addresses": ["fd01::1"], "nodeName": "here"}],
        })),
        samples::slice(
            json!({"metadata": {"name": "web-4"}, "ports": [], "endpoints": [endpoint("4 here ready")]}),
        ),
    ];
    for (family, expected) in [(Family::V4, 3), (Family::V6, 1)] {
        let check = health_check(&service(json!({})), family, &slices, &place()).unwrap();
        assert_eq!(check.local_endpoints, expected, "3.56 {family}");
    }
}

#[test]
fn only_a_load_balancer_with_the_policy_local_asks() {
    #[rustfmt::skip]
    let rows = [
        ("1.24", json!({}), true),
        ("1.24 another type", json!({"type": "NodePort"}), false),
        ("1.24 policy Cluster", json!({"externalTrafficPolicy": "Cluster"}), false),
    ];
    for (row, spec, asks) in rows {
        let check = health_check(&service(spec), Family::V4, &[], &place());
        assert_eq!(check.is_some(), asks, "{row}");
    }
}
