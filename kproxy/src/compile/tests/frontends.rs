//! Under which addresses a service port is served, by which set, and what happens when that is empty: semantics
//! sections 3 and 4 as tables.

use super::*;
use crate::plan::{BackendSet, WantedFrontend};

/// A dual-stack service with every kind of frontend; `fields` are merged over it.
fn full(fields: Value) -> Service {
    let mut object = json!({
        "spec": {
            "type": "LoadBalancer",
            "clusterIPs": ["10.96.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
            "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30080}],
            "externalIPs": ["192.0.2.1", "2001:db8::1"],
            "healthCheckNodePort": 32000,
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"ip": "2001:db8:1::1"}]}},
    });
    json_patch::merge(&mut object, &fields);
    samples::service_object(object)
}

fn compile_full(fields: Value, lines: &[&str]) -> WantedService {
    let service = full(fields);
    compile(
        &service,
        &service.ports[0],
        Family::V4,
        &[slice("web-1", lines)],
        &place(),
    )
}

/// Every frontend as `address:port/protocol kind`.
fn lines(wanted: &WantedService) -> Vec<String> {
    let line = |(key, frontend): (&kproxy_common::FrontendKey, &WantedFrontend)| {
        let kind = kind(frontend);
        format!("{}:{}/{} {kind}", key.address, key.port, key.protocol)
    };
    wanted.frontends.iter().map(line).collect()
}

fn kind(frontend: &WantedFrontend) -> &'static str {
    let kinds = [
        (FrontendFlags::CLUSTER_IP, "ClusterIP"),
        (FrontendFlags::NODE_PORT, "NodePort"),
        (FrontendFlags::EXTERNAL_IP, "ExternalIP"),
        (FrontendFlags::LOAD_BALANCER, "LoadBalancer"),
    ];
    let mut names = kinds
        .into_iter()
        .filter(|(flag, _)| frontend.flags.contains(*flag));
    let (Some((_, name)), None) = (names.next(), names.next()) else {
        panic!("not exactly one kind, 4.08, 4.14: {frontend:?}")
    };
    name
}

#[test]
fn every_address_of_the_family_is_a_frontend() {
    let service = full(json!({"spec": {"externalIPs": ["192.0.2.1", "192.0.2.2", "2001:db8::1"]}}));
    let rows = [
        (
            Family::V4,
            vec![
                "0.0.0.0:30080/TCP NodePort",
                "10.96.0.1:80/TCP ClusterIP",
                "192.0.2.1:80/TCP ExternalIP",
                "192.0.2.2:80/TCP ExternalIP",
                "203.0.113.1:80/TCP LoadBalancer",
            ],
        ),
        (
            Family::V6,
            vec![
                ":::30080/TCP NodePort",
                "2001:db8::1:80/TCP ExternalIP",
                "2001:db8:1::1:80/TCP LoadBalancer",
                "fd00::1:80/TCP ClusterIP",
            ],
        ),
    ];
    for (family, expected) in rows {
        let wanted = compile(&service, &service.ports[0], family, &[], &place());
        assert_eq!(lines(&wanted), expected, "1.14, 1.17, 3.01, 3.02 {family}");
    }
}

#[test]
fn frontends_of_a_service() {
    let none = json!({"ports": [{"port": 80, "nodePort": 0}], "externalIPs": null});
    let no_ingress = json!({"loadBalancer": null});
    #[rustfmt::skip]
    let rows = [
        ("1.08 the type says nothing about frontends", json!({"spec": {"type": "ClusterIP"}}),
            "10.96.0.1:80/TCP ClusterIP, 192.0.2.1:80/TCP ExternalIP, 203.0.113.1:80/TCP LoadBalancer, 0.0.0.0:30080/TCP NodePort"),
        ("1.16 nothing in a family without a ClusterIP", json!({"spec": {"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"], "ipFamilies": ["IPv6"]}}), ""),
        ("1.21 a load balancer that is a proxy", json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1", "ipMode": "Proxy"}]}}}),
            "10.96.0.1:80/TCP ClusterIP, 192.0.2.1:80/TCP ExternalIP, 0.0.0.0:30080/TCP NodePort"),
        ("1.22 ingress counts for every type", json!({"spec": {"type": "NodePort", "externalIPs": null}}),
            "10.96.0.1:80/TCP ClusterIP, 203.0.113.1:80/TCP LoadBalancer, 0.0.0.0:30080/TCP NodePort"),
        ("3.39 a load balancer without a node port", json!({"spec": {"ports": [{"port": 80}], "externalIPs": null, "allocateLoadBalancerNodePorts": false}}),
            "10.96.0.1:80/TCP ClusterIP, 203.0.113.1:80/TCP LoadBalancer"),
        ("3.48 an external address that is a load balancer's", json!({"spec": {"externalIPs": ["203.0.113.1"]}}),
            "10.96.0.1:80/TCP ClusterIP, 203.0.113.1:80/TCP LoadBalancer, 0.0.0.0:30080/TCP NodePort"),
        ("a ClusterIP stays one, whatever else it is", json!({"spec": {"externalIPs": ["10.96.0.1"]}, "status": {"loadBalancer": {"ingress": [{"ip": "10.96.0.1"}]}}}),
            "10.96.0.1:80/TCP ClusterIP, 0.0.0.0:30080/TCP NodePort"),
        ("an address that is listed twice", json!({"spec": {"externalIPs": ["192.0.2.1", "192.0.2.01"]}, "status": no_ingress}),
            "10.96.0.1:80/TCP ClusterIP, 192.0.2.1:80/TCP ExternalIP, 0.0.0.0:30080/TCP NodePort"),
        ("a ClusterIP alone", json!({"spec": none, "status": no_ingress}), "10.96.0.1:80/TCP ClusterIP"),
    ];
    for (row, fields, expected) in rows {
        let service = full(fields);
        let wanted = compile(&service, &service.ports[0], Family::V4, &[], &place());
        let mut expected: Vec<_> = expected.split(", ").filter(|line| !line.is_empty()).collect();
        let mut got = lines(&wanted);
        expected.sort_unstable();
        got.sort_unstable();
        assert_eq!(got, expected, "{row}");
        let asked: Vec<_> = crate::compile::frontends::keys(&service)
            .filter(|key| key.address.family() == Family::V4)
            .collect();
        assert!(
            wanted.frontends.keys().all(|key| asked.contains(key)),
            "{row}: asked for"
        );
    }
}

/// What clients meet: the set they are given with its members, or what happens to them.
fn outcome(wanted: &WantedService, frontend: &WantedFrontend, inside: bool) -> String {
    let (backends, drop, local) = if inside {
        (
            frontend.inside,
            FrontendFlags::DROP_INSIDE,
            FrontendFlags::INSIDE_LOCAL,
        )
    } else {
        (
            frontend.outside,
            FrontendFlags::DROP_OUTSIDE,
            FrontendFlags::OUTSIDE_LOCAL,
        )
    };
    assert_eq!(
        frontend.flags.contains(local),
        backends == BackendSet::Local,
        "6.05 the flag tells the set"
    );
    match (wanted.set(backends), frontend.flags.contains(drop)) {
        ([], true) => "drop".into(),
        ([], false) => "reject".into(),
        (members, false) => set(members),
        (members, true) => panic!("{members:?} and dropped"),
    }
}

#[test]
fn outcomes_by_policy_and_client() {
    const NONE: &[&str] = &[];
    const HERE: &[&str] = &["1 here ready serving", "2 there ready serving"];
    const THERE: &[&str] = &["2 there ready serving", "3 there ready serving"];
    const LEAVING: &[&str] = &["1 here serving terminating", "2 there ready serving"];
    const ALL_LEAVING: &[&str] = &["1 here serving terminating", "2 there serving terminating"];
    const UNUSABLE: &[&str] = &["1 here serving", "2 there terminating"];
    const HINTED: &[&str] = &[
        "1 here ready serving zone:b",
        "2 there ready serving zone:a",
        "3 there ready serving zone:b",
    ];
    // Title, internal and external policy, endpoints; clients of the ClusterIP, of the others inside, and outside.
    #[rustfmt::skip]
    let rows = [
        ("4a, 4b Cluster: balance", "Cluster", "Cluster", HERE, ["1 2", "1 2", "1 2"]),
        ("4a, 4b Cluster, none: reject", "Cluster", "Cluster", NONE, ["reject", "reject", "reject"]),
        ("3.33 Cluster, all elsewhere", "Cluster", "Cluster", THERE, ["2 3", "2 3", "2 3"]),
        ("3.34 Local outside, 3.35 3.36 3.38 Cluster inside", "Cluster", "Local", HERE, ["1 2", "1 2", "1"]),
        ("3.34 none here: drop outside, 3.35 not inside", "Cluster", "Local", THERE, ["2 3", "2 3", "drop"]),
        ("4b Local, none anywhere: reject everybody", "Cluster", "Local", NONE, ["reject", "reject", "reject"]),
        ("2.28 only unusable ones: reject everybody", "Cluster", "Local", UNUSABLE, ["reject", "reject", "reject"]),
        ("2.25 each set falls back on its own", "Cluster", "Local", LEAVING, ["2", "2", "1"]),
        ("2.23, 2.24 all are leaving", "Cluster", "Local", ALL_LEAVING, ["1 2", "1 2", "1"]),
        ("2.30 Local and Local: inside clients of other frontends need all", "Local", "Local", HERE, ["1", "1 2", "1"]),
        ("2.30 Local and Local, none here", "Local", "Local", THERE, ["drop", "2 3", "drop"]),
        ("3.13 the internal policy is the ClusterIP's alone", "Local", "Cluster", HERE, ["1", "1 2", "1 2"]),
        ("3.13 the internal policy, none here", "Local", "Cluster", THERE, ["drop", "2 3", "2 3"]),
        ("4a Local, none anywhere: reject", "Local", "Cluster", NONE, ["reject", "reject", "reject"]),
        ("2.40 hints hold wherever the Cluster set is used", "Cluster", "Cluster", HINTED, ["2", "2", "2"]),
        ("2.40 hints hold for inside clients of Local, 2.24 not for the Local set", "Cluster", "Local", HINTED, ["2", "2", "1"]),
    ];
    for (row, internal, external, endpoints, expected) in rows {
        let fields = json!({"spec": {"internalTrafficPolicy": internal, "externalTrafficPolicy": external}});
        let wanted = compile_full(fields, endpoints);
        assert_eq!(wanted.frontends.len(), 4, "{row}");
        for frontend in wanted.frontends.values() {
            let kind = kind(frontend);
            let [cluster_ip, inside, outside] = expected;
            let expected = if kind == "ClusterIP" {
                (cluster_ip, cluster_ip)
            } else {
                (inside, outside)
            };
            let got = (
                outcome(&wanted, frontend, true),
                outcome(&wanted, frontend, false),
            );
            assert_eq!((got.0.as_str(), got.1.as_str()), expected, "{row}: {kind}");
        }
    }
}

#[test]
fn sets_that_nobody_uses_are_not_computed() {
    let endpoints = &["1 here ready serving", "2 there ready serving"];
    let alone = json!({"ports": [{"port": 80}], "externalIPs": null});
    let no_ingress = json!({"loadBalancer": null});
    let node_port = json!({"ports": [{"port": 80, "nodePort": 30080}], "externalIPs": null});
    #[rustfmt::skip]
    let rows = [
        ("2.29 Local without an external frontend changes nothing", &alone, "Cluster", "Local", ("1 2", "")),
        ("2.29 Local inside, nothing outside", &alone, "Local", "Local", ("", "1")),
        ("2.29 Local inside, nothing outside, Cluster", &alone, "Local", "Cluster", ("", "1")),
        ("2.29 Cluster and Cluster", &node_port, "Cluster", "Cluster", ("1 2", "")),
        ("2.29 a node port needs its set", &node_port, "Cluster", "Local", ("1 2", "1")),
        ("2.30 a node port needs the Cluster set", &node_port, "Local", "Local", ("1 2", "1")),
        ("2.29 a node port of policy Cluster", &node_port, "Local", "Cluster", ("1 2", "1")),
    ];
    for (row, spec, internal, external, expected) in rows {
        let mut fields = json!({"spec": spec, "status": no_ingress});
        fields["spec"]["internalTrafficPolicy"] = internal.into();
        fields["spec"]["externalTrafficPolicy"] = external.into();
        let wanted = compile_full(fields, endpoints);
        let got = (set(&wanted.cluster), set(&wanted.local));
        assert_eq!((got.0.as_str(), got.1.as_str()), expected, "{row}");
    }
}

#[test]
fn ports_are_decided_one_by_one() {
    let service = full(
        json!({"spec": {"externalTrafficPolicy": "Local", "externalIPs": null, "ports": [
        {"name": "a", "port": 80, "nodePort": 30080},
        {"name": "b", "port": 81},
        {"name": "a", "port": 80, "protocol": "UDP", "nodePort": 30080},
    ]}, "status": {"loadBalancer": null}}),
    );
    let ports = json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}]);
    let slices = [samples::slice(
        json!({"ports": ports, "endpoints": [endpoint("2 there ready serving")]}),
    )];
    let summary = |wanted: WantedService| {
        let outcomes = wanted.frontends.values().map(|frontend| {
            let outside = outcome(&wanted, frontend, false);
            format!("{} {outside}", kind(frontend))
        });
        outcomes.collect::<Vec<_>>().join(", ")
    };
    let compiled: Vec<_> = service
        .ports
        .iter()
        .map(|port| summary(compile(&service, port, Family::V4, &slices, &place())))
        .collect();
    assert_eq!(
        compiled,
        [
            "NodePort drop, ClusterIP 2:1",
            "ClusterIP 2:2",
            "NodePort reject, ClusterIP reject"
        ],
        "1.12, 2.11"
    );
}

#[test]
fn all_frontends_share_affinity_and_backends() {
    let wanted = compile_full(
        json!({"spec": {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}}),
        &["1 here ready serving", "2 there ready serving"],
    );
    let seconds: Vec<_> = wanted
        .frontends
        .values()
        .map(|frontend| frontend.affinity_seconds)
        .collect();
    assert_eq!(seconds, [60; 4], "6.02, 6.03");
    let without = compile_full(json!({"spec": {"sessionAffinity": "None"}}), &[]);
    assert!(
        without
            .frontends
            .values()
            .all(|frontend| frontend.affinity_seconds == 0),
        "6.08"
    );
    let local: Vec<bool> = wanted
        .endpoints
        .values()
        .map(|flags| flags.contains(BackendFlags::LOCAL))
        .collect();
    assert_eq!(local, [true, false], "2.14");
}

#[test]
fn clients_outside_are_balanced_as_the_service_says_or_else_the_node() {
    use crate::model::LoadBalancing::{Maglev, Random};
    let everywhere = "ClusterIP NodePort ExternalIP LoadBalancer";
    let rows = [
        (None, Random, ""),
        (None, Maglev, "NodePort ExternalIP LoadBalancer"),
        (Some("random"), Maglev, ""),
        (Some("maglev"), Random, everywhere),
        (Some("maglev"), Maglev, everywhere),
        (Some("nonsense"), Maglev, "NodePort ExternalIP LoadBalancer"),
    ];
    for (annotation, load_balancing, expected) in rows {
        let mut object = json!({
            "metadata": {"annotations": annotation.map(|value| json!({"kproxy.io/load-balancing": value}))},
            "spec": {
                "type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}],
                "externalIPs": ["192.0.2.1"], "healthCheckNodePort": 32000,
            },
        });
        json_patch::merge(
            &mut object,
            &json!({"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}}}),
        );
        let parsed = samples::parse_service_object(object).unwrap();
        let service = parsed.object.expect("a service");
        let place = Place {
            load_balancing,
            ..place()
        };
        let slices = [slice("web-1", &["1 here ready"])];
        let wanted = compile(&service, &service.ports[0], Family::V4, &slices, &place);
        let hashed = wanted.frontends.values();
        let hashed = hashed.filter(|frontend| frontend.flags.contains(FrontendFlags::MAGLEV));
        let mut kinds: Vec<_> = hashed.map(kind).collect();
        kinds.sort_unstable();
        let mut expected: Vec<_> = expected.split_whitespace().collect();
        expected.sort_unstable();
        assert_eq!(kinds, expected, "{annotation:?} {load_balancing:?}");
    }
}
