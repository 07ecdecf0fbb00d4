//! Which endpoints serve a service port: semantics sections 2, 4a and 7.05 as tables.

use super::*;

/// Title, internal policy, endpoints, cluster set, local set, all endpoints, whether it drops.
type Row = (
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
    &'static str,
    &'static str,
    bool,
);

#[test]
fn readiness_and_policy() {
    #[rustfmt::skip]
    let rows: &[Row] = &[
        ("4a nothing: reject", "Cluster", &[], "", "", "", false),
        ("4a nothing, Local: reject", "Local", &[], "", "", "", false),
        ("2.22 ready ones", "Cluster", &["1 here ready serving", "2 there ready serving"], "1 2", "", "1 2", false),
        ("2.22 ready beat terminating", "Cluster", &["1 here serving terminating", "2 there ready serving"], "2", "", "1 2", false),
        ("2.23 fall back to serving terminating", "Cluster", &["1 here serving terminating", "2 there serving terminating"], "1 2", "", "1 2", false),
        ("2.23 terminating without serving", "Cluster", &["1 here terminating"], "", "", "", false),
        ("2.24 local ready ones", "Local", &["1 here ready serving", "2 there ready serving"], "", "1", "1 2", false),
        ("2.24 fall back to local terminating", "Local", &["1 here serving terminating", "2 there ready serving"], "", "1", "1 2", false),
        ("2.24 remote terminating are no fallback", "Local", &["2 there serving terminating"], "", "", "2", true),
        ("2.26 serving, not ready, not terminating", "Cluster", &["1 here serving"], "", "", "1", false),
        ("2.26 nothing at all", "Cluster", &["1 here"], "", "", "", false),
        ("2.26 Local, only unusable ones: reject", "Local", &["1 here serving", "2 there"], "", "", "1", false),
        ("2.27 ready and terminating", "Cluster", &["1 here ready terminating", "2 there ready serving terminating"], "1 2", "", "1 2", false),
        ("2.28 some elsewhere: drop", "Local", &["2 there ready serving"], "", "", "2", true),
        ("2.28 some shutting down elsewhere: drop", "Local", &["2 there serving terminating"], "", "", "2", true),
        ("2.28 none usable anywhere: reject", "Local", &["2 there terminating"], "", "", "", false),
        ("7.05 also under the policy Local, here or not", "Local", &["1 here serving terminating", "2 there serving", "3 there serving terminating", "4 here ready"], "", "4", "1 2 3 4", false),
        ("7.05 serving ones keep their flows", "Cluster", &["1 here ready serving", "2 there serving", "3 there"], "1", "", "1 2", false),
    ];
    for (row, policy, endpoints, cluster, local, all, dropped) in rows {
        let wanted = compile_one(
            json!({"internalTrafficPolicy": policy}),
            &[slice("web-1", endpoints)],
            &place(),
        );
        let every: Vec<_> = wanted.endpoints.keys().copied().collect();
        let got = (
            set(&wanted.cluster),
            set(&wanted.local),
            set(&every),
            drops(&wanted),
        );
        assert_eq!(
            got,
            ((*cluster).into(), (*local).into(), (*all).into(), *dropped),
            "{row}"
        );
    }
}

#[test]
fn topology_hints() {
    #[rustfmt::skip]
    let rows: &[(&str, &[&str], &str)] = &[
        ("2.34 no hints", &["1 here ready", "2 there ready"], "1 2"),
        ("2.32 this node", &["1 here ready node:here", "2 there ready node:there"], "1"),
        ("2.32 nobody names this node", &["1 there ready node:there", "2 there ready node:there"], "1 2"),
        ("2.33 this zone", &["1 here ready zone:a", "2 there ready zone:b"], "1"),
        ("2.33 nobody names this zone", &["1 here ready zone:c", "2 there ready zone:b"], "1 2"),
        ("2.32 the node goes first", &["1 here ready node:here zone:a", "2 there ready node:there zone:a"], "1"),
        ("2.33 the zone when the node fails", &["1 here ready node:x zone:a", "2 there ready node:x zone:b"], "1"),
        ("2.35 one without a node hint", &["1 here ready node:here", "2 there ready"], "1 2"),
        ("2.35 one without a zone hint", &["1 here ready zone:a", "2 there ready"], "1 2"),
        ("2.35 a node hint missing, zones complete", &["1 here ready node:here zone:b", "2 there ready zone:a"], "2"),
        ("2.35 hints of unready ones are irrelevant", &["1 here ready zone:a", "2 there serving", "3 there ready zone:b"], "1"),
        ("2.36 the zone only on unready ones", &["1 here serving zone:a", "2 there ready zone:b"], "2"),
        ("2.37 several zones", &["1 here ready zone:a zone:b", "2 there ready zone:b zone:a", "3 there ready zone:c"], "1 2"),
        ("2.23 the fallback ignores hints", &["1 here serving terminating zone:b", "2 there serving terminating zone:a"], "1 2"),
    ];
    for (row, endpoints, expected) in rows {
        let wanted = compile_one(json!({}), &[slice("web-1", endpoints)], &place());
        assert_eq!(set(&wanted.cluster), *expected, "{row}");
    }
}

#[test]
fn only_hints_decide() {
    for spec in [
        json!({"trafficDistribution": "PreferClose"}),
        json!({"trafficDistribution": "PreferSameNode"}),
    ] {
        let slices = [slice("web-1", &["1 here ready", "2 there ready"])];
        assert_eq!(set(&compile_one(spec, &slices, &place()).cluster), "1 2", "2.31");
    }
    let fields = json!({
        "metadata": {"annotations": {"service.kubernetes.io/topology-mode": "Auto"}, "name": "web-1"},
        "endpoints": [
            {"addresses": ["10.0.0.1"], "zone": "a", "nodeName": "here"},
            {"addresses": ["10.0.0.2"], "zone": "b", "nodeName": "there", "deprecatedTopology": {"topology.kubernetes.io/zone": "b"}},
        ],
    });
    let wanted = compile_one(json!({}), &[samples::slice(fields)], &place());
    assert_eq!(set(&wanted.cluster), "1 2", "2.15, 2.31");
}

#[test]
fn hints_need_a_known_place_and_spare_the_local_set() {
    let slices = [slice(
        "web-1",
        &[
            "1 here ready zone:b",
            "2 here ready zone:a",
            "3 there ready zone:a",
        ],
    )];
    let nowhere = Place {
        node: "here".into(),
        zone: None,
        ..Place::default()
    };
    assert_eq!(
        set(&compile_one(json!({}), &slices, &nowhere).cluster),
        "1 2 3",
        "2.38"
    );
    let wanted = compile_one(json!({"internalTrafficPolicy": "Local"}), &slices, &place());
    assert_eq!(set(&wanted.local), "1 2", "2.24");
    let nobody = compile_one(
        json!({"internalTrafficPolicy": "Local"}),
        &slices,
        &Place::default(),
    );
    assert_eq!((set(&nobody.local).as_str(), drops(&nobody)), ("", true), "2.14");
}

#[test]
fn merging_and_duplicates() {
    #[rustfmt::skip]
    let rows: &[(&str, &[&str], &[&str], &str)] = &[
        ("2.17 union", &["1 here ready serving"], &["2 there ready serving"], "1 2"),
        ("2.18 the first one stays", &["1 here ready serving"], &["1 here serving terminating"], "1"),
        ("2.18 a live one beats a terminating one", &["1 here terminating"], &["1 here ready serving"], "1"),
        ("2.18 terminating ones: the first", &["1 here serving terminating"], &["1 here terminating"], "1"),
        ("2.19 live ones: the last", &["1 here ready serving"], &["1 here serving"], ""),
    ];
    for (row, first, second, expected) in rows {
        let wanted = compile_one(
            json!({}),
            &[slice("web-1", first), slice("web-2", second)],
            &place(),
        );
        assert_eq!(set(&wanted.cluster), *expected, "{row}");
    }
}

#[test]
fn ports_are_matched_by_name_and_protocol() {
    let service = samples::service(json!({"ports": [
        {"name": "a", "port": 80, "targetPort": 1},
        {"name": "b", "port": 81},
        {"name": "a", "port": 80, "protocol": "UDP"},
        {"name": "c", "port": 82, "protocol": "SCTP"},
    ]}));
    let slices = [
        samples::slice(json!({
            "ports": [
                {"name": "c", "port": 9, "protocol": "SCTP"},
                {"name": "a", "port": 8080},
                {"name": "a", "port": 8081},
                {"name": "a", "port": 53, "protocol": "UDP"},
            ],
            "endpoints": [{"addresses": ["10.0.0.1"]}],
        })),
        samples::slice(
            json!({"ports": [{"name": "a", "port": 7070}], "endpoints": [{"addresses": ["10.0.0.1"]}]}),
        ),
    ];
    let expected = [
        (
            "2.06 name and protocol, 2.10 and 2.17 several numbers",
            "1:7070 1 1:8081",
        ),
        ("2.11 no port of the name, no endpoints", ""),
        ("2.06 the same name for another protocol", "1:53"),
        ("2.06 in any order, 1.13 SCTP", "1:9"),
    ];
    for (port, (row, expected)) in service.ports.iter().zip(expected) {
        let wanted = compile(&service, port, Family::V4, &slices, &place());
        assert_eq!(set(&wanted.cluster), expected, "{row}: {port:?}");
    }
}

#[test]
fn families_are_apart() {
    let service =
        samples::service(json!({"clusterIPs": ["10.96.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"]}));
    let slices = [
        slice("web-1", &["1 here ready serving"]),
        samples::slice(
            json!({"metadata": {"name": "web-6"}, "addressType": "IPv6", "endpoints": [{"addresses": ["fd01::1"]}]}),
        ),
    ];
    for (family, frontend, backend) in [
        (Family::V4, "10.96.0.1", "10.0.0.1:8080"),
        (Family::V6, "fd00::1", "[fd01::1]:8080"),
    ] {
        let wanted = compile(&service, &service.ports[0], family, &slices, &place());
        let frontends: Vec<_> = wanted
            .frontends
            .keys()
            .map(|key| key.address.to_string())
            .collect();
        let backends: Vec<_> = wanted.cluster.iter().map(ToString::to_string).collect();
        assert_eq!(
            (frontends, backends),
            (vec![frontend.into()], vec![backend.to_owned()]),
            "1.14, 2.01 {family}"
        );
    }
}
