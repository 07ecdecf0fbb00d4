//! Services: which are read, and what of them is.

use super::*;
use crate::model::samples::{parse_service, parse_service_object, service, service_object};

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
        let labelled = |spec: Value| {
            let labels = json!({"service.kubernetes.io/service-proxy-name": value});
            parse_service_object(json!({"metadata": {"labels": labels}, "spec": spec})).unwrap()
        };
        let parsed = labelled(json!({"externalIPs": ["192.0.2.1"], "sessionAffinity": "nonsense"}));
        assert_eq!(parsed.problems, [], "1.01 {value:?}: they are not ours");
        let service = parsed.object.expect("a service with an address");
        let addresses: Vec<_> = service.cluster_ips.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.96.0.1"], "4.10 {value:?}");
        assert!(
            service.foreign && service.ports.is_empty() && service.external.is_none(),
            "1.01 {value:?}"
        );
        assert_eq!(
            labelled(json!({"clusterIP": "None"})).object,
            None,
            "1.02 {value:?}"
        );
    }
}

#[test]
fn the_headless_label_is_one_of_slices() {
    let labels = json!({"service.kubernetes.io/headless": ""});
    let service = service_object(json!({"metadata": {"labels": labels}}));
    assert!(!service.foreign && service.ports.len() == 1, "1.03");
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
        (
            json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 86401}}}),
            "field spec.sessionAffinityConfig.clientIP.timeoutSeconds: 86401 is not an affinity timeout",
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
    let parsed = parse_service(json!({"internalTrafficPolicy": "local"})).unwrap();
    assert_eq!(
        parsed.object.unwrap().internal_policy,
        TrafficPolicy::Cluster,
        "1.10 exactly"
    );
    assert_eq!(service(json!({})).affinity_seconds, 0, "6.01");
    assert_eq!(
        service(json!({"sessionAffinity": "ClientIP"})).affinity_seconds,
        10_800,
        "6.03"
    );
    for seconds in [1, 3600, 86_400] {
        let spec = json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": seconds}}});
        assert_eq!(service(spec).affinity_seconds, seconds, "6.03");
    }
}

#[test]
fn an_annotation_says_how_clients_outside_are_balanced() {
    let annotated = |value: Option<&str>| {
        let annotations = value.map(|value| json!({"kproxy.io/load-balancing": value, "other": "maglev"}));
        let parsed = parse_service_object(json!({"metadata": {"annotations": annotations}})).unwrap();
        let problems: Vec<_> = parsed.problems.iter().map(ToString::to_string).collect();
        (parsed.object.expect("a service").load_balancing, problems)
    };
    assert_eq!(annotated(None), (None, vec![]));
    assert_eq!(annotated(Some("maglev")), (Some(LoadBalancing::Maglev), vec![]));
    assert_eq!(annotated(Some("random")), (Some(LoadBalancing::Random), vec![]));
    for wrong in ["Maglev", "", "round-robin"] {
        let problem = format!(
            "Service default/web, field metadata.annotations[kproxy.io/load-balancing]: {wrong:?} is not a way to balance \
             clients, what the node is configured for is used; use random or maglev"
        );
        assert_eq!(annotated(Some(wrong)), (None, vec![problem]));
    }
}
