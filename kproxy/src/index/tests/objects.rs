//! Services and slices that become something else while they live.

use super::*;

#[test]
fn ports_come_and_go_on_their_own() {
    let mut index = synced();
    put_slice(
        &mut index,
        json!({"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}], "endpoints": endpoints(&["10.0.0.1"])}),
    );
    put_service(
        &mut index,
        "web",
        json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}),
    );
    assert_eq!(changes(&mut index), ["+web:a: 10.0.0.1:1", "+web:b: 10.0.0.1:2"]);
    put_service(&mut index, "web", json!({"ports": [{"name": "a", "port": 80}]}));
    assert_eq!(changes(&mut index), ["-web:b"], "1.28");
    put_service(&mut index, "web", json!({"ports": [{"name": "c", "port": 80}]}));
    assert_eq!(changes(&mut index), ["-web:a", "+web:c:"], "1.28 renamed");
    put_service(&mut index, "web", json!({"type": "ExternalName"}));
    assert_eq!(changes(&mut index), ["-web:c"], "1.29");
}

#[test]
fn labels_and_types_take_a_service_away_and_give_it_back() {
    let rows = [
        ("1.02 headless", json!({"spec": {"clusterIP": "None"}})),
        ("1.06 without an address", json!({"spec": {"clusterIP": ""}})),
        ("1.07, 1.29 an alias", json!({"spec": {"type": "ExternalName"}})),
    ];
    let mut index = synced();
    for (row, fields) in rows {
        put_service(&mut index, "web", json!({}));
        assert_eq!(changes(&mut index), ["+web:"], "{row}");
        put_object(&mut index, "web", fields);
        assert_eq!(changes(&mut index), ["-web"], "{row}");
    }
}

#[test]
fn a_label_leaves_nothing_of_a_service_but_its_addresses() {
    let address = |text| crate::model::parse_address(text).unwrap();
    let dual = json!({"ipFamilies": ["IPv4", "IPv6"], "clusterIPs": ["10.96.0.1", "fd00::1"]});
    for value in ["other", ""] {
        let mut index = synced();
        put_service(&mut index, "web", dual.clone());
        assert_eq!(index.take_changes().len(), 2);
        let labels = json!({"service.kubernetes.io/service-proxy-name": value});
        put_object(
            &mut index,
            "web",
            json!({"metadata": {"labels": labels}, "spec": dual}),
        );
        let given: Vec<_> = index.take_changes().into_values().collect();
        let expected = ["10.96.0.1", "fd00::1"].map(|text| Some(WantedService::left_alone(address(text))));
        assert_eq!(given, expected, "1.01, 4.10 {value:?}");
        put_slice(&mut index, json!({"endpoints": endpoints(&["10.0.0.1"])}));
        assert!(index.take_changes().is_empty(), "its endpoints do not matter");
        put_service(&mut index, "web", dual.clone());
        assert_eq!(
            changes(&mut index),
            ["+web: 10.0.0.1:8080", "+web:"],
            "1.01 it is back"
        );
        remove_service(&mut index, "web");
        assert_eq!(changes(&mut index), ["-web", "-web"]);
    }
}

#[test]
fn the_type_may_change() {
    let ingress = json!({"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}});
    let node_port = json!([{"port": 80, "nodePort": 30080}]);
    let rows = [
        ("ClusterIP", json!({"spec": {}}), "+web: 10.96.0.1:80/TCP"),
        (
            "NodePort",
            json!({"spec": {"type": "NodePort", "ports": node_port}}),
            "+web: 0.0.0.0:30080/TCP 10.96.0.1:80/TCP",
        ),
        (
            "LoadBalancer",
            json!({"spec": {"type": "LoadBalancer", "ports": node_port}, "status": ingress}),
            "+web: 0.0.0.0:30080/TCP 10.96.0.1:80/TCP 203.0.113.1:80/TCP",
        ),
        ("ClusterIP again", json!({"spec": {}}), "+web: 10.96.0.1:80/TCP"),
        ("ExternalName", json!({"spec": {"type": "ExternalName"}}), "-web"),
        ("and back", json!({"spec": {}}), "+web: 10.96.0.1:80/TCP"),
    ];
    let mut index = synced();
    for (row, fields, expected) in rows {
        put_object(&mut index, "web", fields);
        assert_eq!(frontends(&mut index), [expected], "1.29 {row}");
    }
}

#[test]
fn a_slice_may_become_headless_or_change_its_family() {
    let mut index = synced();
    put_service(&mut index, "web", json!({}));
    let rows = [
        (
            "1.03",
            json!({"metadata": {"labels": {"service.kubernetes.io/headless": ""}}}),
        ),
        ("2.01", json!({"addressType": "FQDN"})),
        (
            "2.02",
            json!({"metadata": {"labels": {"kubernetes.io/service-name": ""}}}),
        ),
    ];
    for (row, mut fields) in rows {
        let slice = json!({"endpoints": endpoints(&["10.0.0.1"])});
        put_slice(&mut index, slice.clone());
        assert_eq!(changes(&mut index), ["+web: 10.0.0.1:8080"], "{row}");
        json_patch::merge(&mut fields, &slice);
        put_slice(&mut index, fields);
        assert_eq!(changes(&mut index), ["+web:"], "{row}");
    }
}

#[test]
fn who_made_a_slice_does_not_matter() {
    let mut index = synced();
    put_service(&mut index, "web", json!({}));
    put_slice(
        &mut index,
        json!({
            "metadata": {
                "name": "made-by-hand",
                "labels": {"endpointslice.kubernetes.io/managed-by": "somebody"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "other", "uid": "1"}],
            },
            "endpoints": endpoints(&["10.0.0.1"]),
        }),
    );
    assert_eq!(changes(&mut index), ["+web: 10.0.0.1:8080"], "2.02");
}

#[test]
fn the_first_endpoint_ends_the_rejection_in_one_change() {
    let mut index = synced();
    put_service(
        &mut index,
        "web",
        json!({"ports": [{"port": 80, "nodePort": 30080}]}),
    );
    let rows: [(&str, &[&str]); 3] = [
        ("none", &[]),
        ("4.06 some", &["10.0.0.1"]),
        ("4.06 none again", &[]),
    ];
    for (row, addresses) in rows {
        put_slice(&mut index, json!({"endpoints": endpoints(addresses)}));
        let mut changes: Vec<_> = index.take_changes().into_values().collect();
        let (Some(Some(wanted)), true) = (changes.pop(), changes.is_empty()) else {
            panic!("{row}: not exactly one change")
        };
        assert_eq!(
            (wanted.frontends.len(), wanted.cluster.len()),
            (2, addresses.len()),
            "{row}"
        );
    }
    remove_service(&mut index, "web");
    assert_eq!(changes(&mut index), ["-web"], "4.07, 4.10");
}

#[test]
fn an_endpoint_may_move_between_slices() {
    let mut index = synced();
    put_service(&mut index, "web", json!({}));
    put_slice(&mut index, json!({"endpoints": endpoints(&["10.0.0.1"])}));
    assert_eq!(changes(&mut index), ["+web: 10.0.0.1:8080"]);
    put_slice(
        &mut index,
        json!({"metadata": {"name": "web-2"}, "endpoints": endpoints(&["10.0.0.1"])}),
    );
    remove_slice(&mut index, "web-1");
    assert!(changes(&mut index).is_empty(), "2.20");
    put_slice(
        &mut index,
        json!({"metadata": {"name": "web-2", "labels": {"kubernetes.io/service-name": "other"}}, "endpoints": endpoints(&["10.0.0.1"])}),
    );
    put_service(&mut index, "other", json!({"clusterIP": "10.96.0.2"}));
    assert_eq!(
        changes(&mut index),
        ["+other: 10.0.0.1:8080", "+web:"],
        "a slice may be given to another service"
    );
}

#[test]
fn every_part_of_what_is_wanted_counts() {
    let mut index = synced();
    let full = json!({
        "spec": {
            "type": "LoadBalancer", "healthCheckNodePort": 32000,
            "ports": [{"port": 80, "nodePort": 30080}],
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}},
    });
    put_slice(
        &mut index,
        json!({"endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "there"}]}),
    );
    put_object(&mut index, "web", full.clone());
    changes(&mut index);
    let rows = [
        ("6.08 affinity", json!({"spec": {"sessionAffinity": "ClientIP"}})),
        (
            "6.03 its time",
            json!({"spec": {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}}),
        ),
        (
            "1.10 the internal policy",
            json!({"spec": {"internalTrafficPolicy": "Local"}}),
        ),
        (
            "1.09 the external policy",
            json!({"spec": {"externalTrafficPolicy": "Local"}}),
        ),
        (
            "1.25 ranges",
            json!({"spec": {"loadBalancerSourceRanges": ["198.51.100.0/24"]}}),
        ),
        (
            "1.25 other ranges",
            json!({"spec": {"loadBalancerSourceRanges": ["198.51.100.0/25"]}}),
        ),
        (
            "another node port",
            json!({"spec": {"ports": [{"port": 80, "nodePort": 30081}]}}),
        ),
        ("no node port", json!({"spec": {"ports": [{"port": 80}]}})),
        (
            "an external address",
            json!({"spec": {"externalIPs": ["192.0.2.1"]}}),
        ),
        (
            "an annotation",
            json!({"metadata": {"annotations": {"kproxy.io/load-balancing": "maglev"}}}),
        ),
        (
            "no load balancer",
            json!({"status": {"loadBalancer": {"ingress": []}}}),
        ),
    ];
    let mut object = full;
    for (row, fields) in rows {
        json_patch::merge(&mut object, &fields);
        put_object(&mut index, "web", object.clone());
        assert_eq!(index.take_changes().len(), 1, "{row}");
        put_object(&mut index, "web", object.clone());
        assert_eq!(index.take_changes().len(), 0, "1.27 {row}");
    }
    put_slice(
        &mut index,
        json!({"endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "here"}]}),
    );
    assert_eq!(index.take_changes().len(), 1, "2.14 it runs here now");
}
