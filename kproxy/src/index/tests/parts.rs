//! What beside services comes out of the index, and which parts of services go in.

use kproxy_common::FrontendFlags;

use super::*;
use crate::compile::HealthCheck;
use crate::model::LoadBalancing;

#[test]
fn health_checks_follow_services_and_endpoints() {
    let mut index = synced();
    let spec = |port: u16| {
        json!({
            "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": port,
            "clusterIPs": ["10.96.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
        })
    };
    let checks = |index: &mut Index| -> Vec<String> {
        changes(index);
        let line = |((name, family), check): (&(ObjectName, Family), &HealthCheck)| {
            format!("{name} {family} {} {}", check.port, check.local_endpoints)
        };
        index.health_checks().iter().map(line).collect()
    };
    put_service(&mut index, "web", spec(32000));
    put_service(&mut index, "other", json!({"clusterIP": "10.96.0.2"}));
    assert_eq!(
        checks(&mut index),
        ["default/web IPv4 32000 0", "default/web IPv6 32000 0"],
        "1.24, 3.57"
    );
    put_slice(
        &mut index,
        json!({"endpoints": [
            {"addresses": ["10.0.0.1"], "nodeName": "here"},
            {"addresses": ["10.0.0.2"], "nodeName": "there"},
            {"addresses": ["10.0.0.3"], "nodeName": "here", "conditions": {"ready": false, "terminating": true}},
        ]}),
    );
    assert_eq!(
        checks(&mut index),
        ["default/web IPv4 32000 1", "default/web IPv6 32000 0"],
        "3.56"
    );
    put_service(&mut index, "web", spec(32001));
    assert_eq!(
        checks(&mut index),
        ["default/web IPv4 32001 1", "default/web IPv6 32001 0"],
        "3.58"
    );
    remove_slice(&mut index, "web-1");
    assert_eq!(
        checks(&mut index),
        ["default/web IPv4 32001 0", "default/web IPv6 32001 0"],
        "3.57"
    );
    let mut single = spec(32001);
    single["ipFamilies"] = json!(["IPv4"]);
    put_service(&mut index, "web", single);
    assert_eq!(
        checks(&mut index),
        ["default/web IPv4 32001 0"],
        "1.16 no ClusterIP, no check"
    );
    put_service(&mut index, "web", json!({"type": "NodePort"}));
    assert_eq!(checks(&mut index), [""; 0], "3.58 another type");
    put_service(&mut index, "web", spec(32002));
    changes(&mut index);
    remove_service(&mut index, "web");
    assert_eq!(checks(&mut index), [""; 0], "3.58 gone");
}

#[test]
fn service_cidrs_of_both_families_at_once() {
    let mut index = synced();
    let put = |index: &mut Index, name: &str, cidrs: Value| {
        let object = json!({"metadata": {"name": name}, "spec": {"cidrs": cidrs}});
        let object: k8s_openapi::api::networking::v1::ServiceCIDR = serde_json::from_value(object).unwrap();
        index.apply(Event::now(News::ServiceCidr(Change::Applied(
            object.try_into().unwrap(),
        ))));
    };
    let cidrs =
        |index: &Index| -> Vec<String> { index.service_cidrs().iter().map(ToString::to_string).collect() };
    assert_eq!(cidrs(&index), [""; 0], "4.12");
    put(
        &mut index,
        "kubernetes",
        json!(["10.96.0.0/12", "fd00:10:96::/112"]),
    );
    assert_eq!(cidrs(&index), ["10.96.0.0/12", "fd00:10:96::/112"], "4.11");
    put(&mut index, "more", json!(["203.0.113.0/24"]));
    put(&mut index, "same", json!(["10.96.0.0/12"]));
    assert_eq!(
        cidrs(&index),
        ["10.96.0.0/12", "203.0.113.0/24", "fd00:10:96::/112"],
        "4.11"
    );
    put(&mut index, "kubernetes", json!(["fd00:10:96::/112"]));
    assert_eq!(
        cidrs(&index),
        ["10.96.0.0/12", "203.0.113.0/24", "fd00:10:96::/112"],
        "4.11 another object has it"
    );
    for name in ["same", "more"] {
        let name = ObjectName::new("", name);
        index.apply(Event::now(News::ServiceCidr(Change::Removed(name))));
    }
    assert_eq!(cidrs(&index), ["fd00:10:96::/112"], "4.11");
    assert!(problems(&mut index).is_empty());
    put(
        &mut index,
        "bad",
        json!([
            "10.0.0.0",
            "0.0.0.0/0",
            "::/0",
            "::/64",
            "10.0.0.0/33",
            "198.51.100.0/24"
        ]),
    );
    assert_eq!(
        cidrs(&index),
        ["198.51.100.0/24", "fd00:10:96::/112"],
        "the good one counts"
    );
    let told = problems(&mut index);
    let fields: Vec<_> = told
        .iter()
        .map(|text| text.split(": ").next().unwrap().to_owned())
        .collect();
    let expected = [0, 1, 2, 3, 4].map(|position| format!("ServiceCIDR bad, field spec.cidrs[{position}]"));
    assert_eq!(fields, expected);
}

#[test]
fn rules_say_which_parts_count() {
    let fields = json!({
        "spec": {
            "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000,
            "clusterIPs": ["10.96.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"],
            "ports": [{"port": 80, "nodePort": 30080}],
            "externalIPs": ["192.0.2.1", "2001:db8::1"],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}, {"ip": "2001:db8:1::1"}]}},
    });
    let v4 = "+web: 0.0.0.0:30080/TCP 10.96.0.1:80/TCP 203.0.113.1:80/TCP";
    let v6 = "+web: :::30080/TCP 2001:db8:1::1:80/TCP fd00::1:80/TCP";
    let rows = [
        (
            "1.23",
            Rules {
                allow_external_ips: false,
                ..Rules::default()
            },
            vec![v4, v6],
            2,
        ),
        (
            "1.20 without IPv6",
            Rules {
                allow_external_ips: false,
                families: [Family::V4].into(),
                ..Rules::default()
            },
            vec![v4],
            1,
        ),
        (
            "1.20 without IPv4",
            Rules {
                allow_external_ips: false,
                families: [Family::V6].into(),
                ..Rules::default()
            },
            vec![v6],
            1,
        ),
        (
            "1.23 by default they count",
            Rules {
                families: [Family::V4].into(),
                ..Rules::default()
            },
            vec!["+web: 0.0.0.0:30080/TCP 10.96.0.1:80/TCP 192.0.2.1:80/TCP 203.0.113.1:80/TCP"],
            1,
        ),
    ];
    for (row, rules, expected, checks) in rows {
        let mut index = synced_with(rules);
        put_object(&mut index, "web", fields.clone());
        assert_eq!(frontends(&mut index), expected, "{row}");
        assert_eq!(index.health_checks().len(), checks, "{row}");
        put_object(&mut index, "web", fields.clone());
        assert!(frontends(&mut index).is_empty(), "{row}: 1.27");
    }
}

#[test]
fn rules_say_how_clients_outside_are_balanced_where_a_service_does_not() {
    let mut index = synced_with(Rules {
        load_balancing: LoadBalancing::Maglev,
        ..Rules::default()
    });
    for (name, address, annotations) in [
        ("web", "10.96.0.1", json!({})),
        ("shop", "10.96.0.2", json!({"kproxy.io/load-balancing": "random"})),
    ] {
        let port = json!({"port": 80, "nodePort": if name == "web" { 30080 } else { 30081 }});
        let fields = json!({
            "metadata": {"annotations": annotations},
            "spec": {"type": "NodePort", "clusterIP": address, "ports": [port]},
        });
        put_object(&mut index, name, fields);
    }
    let changes = index.take_changes();
    let hashed = changes.iter().flat_map(|(name, wanted)| {
        let frontends = wanted.iter().flat_map(|wanted| &wanted.frontends);
        let hashed = frontends.filter(|(_, frontend)| frontend.flags.contains(FrontendFlags::MAGLEV));
        hashed.map(|(key, _)| format!("{} {}", name.name, key.port))
    });
    assert_eq!(hashed.collect::<Vec<_>>(), ["web 30080"]);
}
