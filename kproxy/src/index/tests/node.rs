//! What the node itself changes.

use super::*;

#[test]
fn a_new_zone_takes_effect_at_once() {
    let put_node = |index: &mut Index, name: &str, zone: &str| {
        let mut node = samples::node(json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}));
        node.name = name.into();
        let name = ObjectName::new("", name);
        index.apply(Event::now(News::Node(Change::Applied(Parsed {
            name,
            object: Some(node),
            problems: vec![],
        }))));
    };
    let mut index = synced();
    put_service(&mut index, "web", json!({}));
    put_slice(
        &mut index,
        json!({"endpoints": [
            {"addresses": ["10.0.0.1"], "hints": {"forZones": [{"name": "a"}]}},
            {"addresses": ["10.0.0.2"], "hints": {"forZones": [{"name": "b"}]}},
        ]}),
    );
    assert_eq!(changes(&mut index), ["+web: 10.0.0.1:8080 10.0.0.2:8080"], "2.38");
    put_node(&mut index, "here", "a");
    assert_eq!(changes(&mut index), ["+web: 10.0.0.1:8080"], "2.39");
    put_node(&mut index, "there", "b");
    assert!(changes(&mut index).is_empty(), "1.04 another node");
    put_node(&mut index, "here", "b");
    assert_eq!(changes(&mut index), ["+web: 10.0.0.2:8080"], "2.39");
    index.apply(Event::now(News::Node(Change::Removed(ObjectName::new(
        "", "here",
    )))));
    assert!(changes(&mut index).is_empty() && index.node().is_some(), "10.21");
}

#[test]
fn a_new_zone_compiles_only_services_with_hints() {
    let mut index = synced();
    for name in ["hinted", "plain"] {
        put_service(
            &mut index,
            name,
            json!({"clusterIP": if name == "plain" { "10.96.0.1" } else { "10.96.0.2" }}),
        );
        let hints = if name == "plain" {
            json!(null)
        } else {
            json!({"forZones": [{"name": "a"}]})
        };
        put_slice(
            &mut index,
            json!({
                "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
                "endpoints": [{"addresses": ["10.0.0.1"], "hints": hints}],
            }),
        );
    }
    changes(&mut index);
    let node = samples::node(json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "a"}}}));
    let put = |index: &mut Index, node: &Node| {
        let parsed = Parsed {
            name: ObjectName::new("", "here"),
            object: Some(node.clone()),
            problems: vec![],
        };
        index.apply(Event::now(News::Node(Change::Applied(parsed))));
    };
    put(&mut index, &node);
    assert_eq!(index.dirty, [ObjectName::new("default", "hinted")].into(), "2.39");
    changes(&mut index);
    put(&mut index, &node);
    let region = json!({"metadata": {"labels": {"topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r"}}});
    put(&mut index, &samples::node(region));
    assert!(index.dirty.is_empty(), "2.38, 2.39 other labels are ignored");
}

#[test]
fn a_new_address_of_the_node_concerns_source_ranges_alone() {
    let mut index = synced();
    let ranges = json!({
        "spec": {"clusterIP": "10.96.0.2", "loadBalancerSourceRanges": ["10.0.0.0/8"]},
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}},
    });
    put_object(&mut index, "ranges", ranges);
    put_service(&mut index, "plain", json!({}));
    let ranges = |index: &mut Index| -> Vec<String> {
        let changes = index.take_changes().into_values().flatten();
        changes
            .flat_map(|wanted| wanted.source_ranges)
            .map(|range| range.to_string())
            .collect()
    };
    assert_eq!(ranges(&mut index), ["10.0.0.0/8"]);
    let primary = |text| [(Family::V4, crate::model::parse_address(text).unwrap())].into();
    index.set_primary(primary("10.0.0.1"));
    assert_eq!(index.dirty, [ObjectName::new("default", "ranges")].into(), "3.44");
    assert_eq!(
        ranges(&mut index),
        ["10.0.0.0/8", "203.0.113.1/32"],
        "3.44, 10.20"
    );
    index.set_primary(primary("10.0.0.1"));
    assert!(index.dirty.is_empty());
    index.set_primary(primary("10.0.0.2"));
    assert!(ranges(&mut index).is_empty(), "another one in the same range");
    index.set_primary(primary("192.0.2.1"));
    assert_eq!(ranges(&mut index), ["10.0.0.0/8"], "3.44");
}
