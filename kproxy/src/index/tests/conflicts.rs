//! Frontends that several services ask for.

use super::*;

#[test]
fn the_oldest_service_has_the_frontend() {
    let mut index = synced();
    put_aged_service(&mut index, "young", 200);
    assert_eq!(changes(&mut index), ["+young:"]);
    put_aged_service(&mut index, "old", 100);
    assert_eq!(changes(&mut index), ["+old:", "-young"], "the older one takes it");
    let told = problems(&mut index);
    assert!(
        told[0].contains("Service default/young")
            && told[0].contains("10.96.0.1 port 80/TCP belongs to Service default/old"),
        "{told:?}"
    );
    put_aged_service(&mut index, "also-old", 100);
    assert_eq!(
        changes(&mut index),
        ["+also-old:", "-old"],
        "of the same age the first by name"
    );
    problems(&mut index);
    put_aged_service(&mut index, "young", 200);
    assert!(
        changes(&mut index).is_empty() && problems(&mut index).is_empty(),
        "told once"
    );
    remove_service(&mut index, "old");
    remove_service(&mut index, "also-old");
    assert_eq!(changes(&mut index), ["-also-old", "+young:"], "handed over");
    put_aged_service(&mut index, "young", 300);
    assert!(changes(&mut index).is_empty(), "recreated alone");
    put_service(&mut index, "young", json!({"clusterIP": "10.96.0.9"}));
    put_aged_service(&mut index, "old", 400);
    assert_eq!(changes(&mut index), ["+old:", "+young:"], "both have their own");
    assert!(problems(&mut index).is_empty());
}

#[test]
fn a_loser_keeps_its_other_frontends() {
    let mut index = synced();
    put_service(&mut index, "a", json!({"ports": [{"name": "x", "port": 80}]}));
    put_service(
        &mut index,
        "b",
        json!({"ports": [{"name": "x", "port": 80}, {"name": "y", "port": 81}]}),
    );
    assert_eq!(changes(&mut index), ["+a:x:", "+b:y:"]);
}

/// Services of the namespace `default` that ask for the same frontend in every way there is.
fn rivals(address: &str) -> Vec<(&'static str, Value, String)> {
    let port = format!("{address} port 80/TCP");
    vec![
        (
            "spec.externalIPs",
            json!({"spec": {"externalIPs": [address]}}),
            port.clone(),
        ),
        (
            "status.loadBalancer.ingress",
            json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}),
            port.clone(),
        ),
        (
            "spec.clusterIPs",
            json!({"spec": {"clusterIP": address, "ports": [{"port": 80}, {"name": "own", "port": 81}]}}),
            port,
        ),
        (
            "spec.ports[nodePort=30080,protocol=TCP].nodePort",
            json!({"spec": {"ports": [{"port": 80, "nodePort": 30080}]}}),
            "the IPv4 NodePort 30080/TCP".into(),
        ),
    ]
}

#[test]
fn every_kind_of_frontend_has_one_service() {
    for (field, fields, frontend) in rivals("192.0.2.1") {
        let is_node_port = field.contains("nodePort");
        let mut index = synced();
        let mut older =
            json!({"metadata": {"creationTimestamp": age(100)}, "spec": {"clusterIP": "10.96.0.9"}});
        let same = if is_node_port {
            fields.clone()
        } else {
            json!({"spec": {"externalIPs": ["192.0.2.1"]}})
        };
        json_patch::merge(&mut older, &same);
        let mut younger = json!({"metadata": {"creationTimestamp": age(200)}});
        json_patch::merge(&mut younger, &fields);
        put_object(&mut index, "younger", younger);
        let alone = frontends(&mut index);
        put_object(&mut index, "older", older);
        frontends(&mut index);
        let expected =
            format!("Service default/younger, field {field}: {frontend} belongs to Service default/older");
        let told = problems(&mut index);
        assert!(
            told.len() == 1 && told[0].starts_with(&expected),
            "3.07 {told:?}, not {expected:?}"
        );
        remove_service(&mut index, "older");
        let mut handed_over = frontends(&mut index);
        handed_over.retain(|line| line != "-older");
        assert_eq!(
            handed_over.first(),
            alone.first(),
            "3.07 {field} is handed over when the winner goes"
        );
        assert_eq!(index.problems(), 0, "3.07 {field}");
    }
}

#[test]
fn node_ports_of_a_family_and_a_protocol_conflict() {
    let spec = |address: &str, protocol: &str| {
        let family = if address.contains(':') { "IPv6" } else { "IPv4" };
        json!({
            "type": "NodePort", "clusterIP": address, "clusterIPs": [address], "ipFamilies": [family],
            "ports": [{"port": 80, "protocol": protocol, "nodePort": 30080}],
        })
    };
    let mut index = synced();
    put_service(&mut index, "a", spec("10.96.0.1", "TCP"));
    put_service(&mut index, "b", spec("10.96.0.2", "UDP"));
    put_service(&mut index, "c", spec("fd00::3", "TCP"));
    assert_eq!(
        frontends(&mut index),
        [
            "+a: 0.0.0.0:30080/TCP 10.96.0.1:80/TCP",
            "+b: 0.0.0.0:30080/UDP 10.96.0.2:80/UDP",
            "+c: :::30080/TCP fd00::3:80/TCP"
        ],
        "1.12, 1.14"
    );
    put_service(&mut index, "d", spec("10.96.0.4", "TCP"));
    assert_eq!(frontends(&mut index), ["+d: 10.96.0.4:80/TCP"]);
    assert_eq!(problems(&mut index).len(), 1);
}

#[test]
fn who_waits_is_told_whom_for() {
    let mut index = synced();
    put_aged_service(&mut index, "young", 300);
    put_aged_service(&mut index, "old", 200);
    changes(&mut index);
    let told = |index: &mut Index| {
        let told = problems(index);
        told.iter()
            .map(|text| {
                let holder = text.split("belongs to Service default/").nth(1).unwrap();
                let loser = text.split(',').next().unwrap();
                format!("{loser} waits for {}", holder.split(',').next().unwrap())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(told(&mut index), ["Service default/young waits for old"]);
    put_aged_service(&mut index, "oldest", 100);
    changes(&mut index);
    assert_eq!(
        told(&mut index),
        [
            "Service default/old waits for oldest",
            "Service default/young waits for oldest"
        ]
    );
    remove_service(&mut index, "oldest");
    changes(&mut index);
    assert_eq!(told(&mut index), ["Service default/young waits for old"]);
}
