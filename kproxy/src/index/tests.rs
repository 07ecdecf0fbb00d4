//! Apply an object, look at the answer.

use serde_json::{Value, json};

use super::*;
use crate::model::samples;

/// An index whose lists are complete and empty.
fn synced() -> Index {
    let mut index = Index::new("here");
    for kind in Kind::ALL {
        index.apply(Event::now(News::Listing(kind)));
        index.apply(Event::now(News::Listed(kind)));
    }
    assert!(index.synced());
    index
}

fn put_service(index: &mut Index, name: &str, spec: Value) {
    let mut parsed = samples::parse_service(spec).unwrap();
    parsed.name = ObjectName::new("default", name);
    if let Some(service) = &mut parsed.object {
        service.name = parsed.name.clone();
    }
    index.apply(Event::now(News::Service(Change::Applied(parsed))));
}

fn put_aged_service(index: &mut Index, name: &str, created: i64) {
    let mut parsed = samples::parse_service(json!({})).unwrap();
    parsed.name = ObjectName::new("default", name);
    let service = parsed.object.as_mut().unwrap();
    service.name = parsed.name.clone();
    service.created = Some(k8s_openapi::jiff::Timestamp::from_second(created).unwrap());
    index.apply(Event::now(News::Service(Change::Applied(parsed))));
}

fn remove_service(index: &mut Index, name: &str) {
    index.apply(Event::now(News::Service(Change::Removed(ObjectName::new(
        "default", name,
    )))));
}

fn put_slice(index: &mut Index, fields: Value) {
    let parsed = samples::parse_slice(fields).unwrap();
    index.apply(Event::now(News::Slice(Change::Applied(parsed))));
}

fn remove_slice(index: &mut Index, name: &str) {
    index.apply(Event::now(News::Slice(Change::Removed(ObjectName::new(
        "default", name,
    )))));
}

fn endpoints(addresses: &[&str]) -> Value {
    addresses
        .iter()
        .map(|address| json!({"addresses": [address]}))
        .collect()
}

/// The changes as lines: `+web: 10.0.0.1:8080` or `-web`.
fn changes(index: &mut Index) -> Vec<String> {
    let lines = index.take_changes().into_iter().map(|(name, wanted)| {
        let port = if name.port.is_empty() {
            name.name.clone()
        } else {
            format!("{}:{}", name.name, name.port)
        };
        match wanted {
            None => format!("-{port}"),
            Some(wanted) => {
                let backends: Vec<_> = wanted.cluster.iter().map(ToString::to_string).collect();
                format!("+{port}: {}", backends.join(" ")).trim_end().to_owned()
            }
        }
    });
    lines.collect()
}

fn problems(index: &mut Index) -> Vec<String> {
    index.take_problems().iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_is_given_before_all_lists_are_complete() {
    let mut index = Index::new("here");
    put_service(&mut index, "web", json!({}));
    for kind in Kind::ALL {
        assert!(!index.synced());
        assert!(changes(&mut index).is_empty(), "11.01");
        index.apply(Event::now(News::Listed(kind)));
    }
    assert_eq!(changes(&mut index), ["+web:"]);
}

#[test]
fn slices_and_services_in_any_order() {
    let mut index = synced();
    put_slice(&mut index, json!({"endpoints": endpoints(&["10.0.0.1"])}));
    assert!(changes(&mut index).is_empty(), "2.03 no service yet");
    put_service(&mut index, "web", json!({}));
    assert_eq!(changes(&mut index), ["+web: 10.0.0.1:8080"], "2.03");
    remove_service(&mut index, "web");
    assert_eq!(changes(&mut index), ["-web"]);
    put_service(&mut index, "web", json!({}));
    assert_eq!(
        changes(&mut index),
        ["+web: 10.0.0.1:8080"],
        "2.03 slices outlive their service"
    );
    remove_slice(&mut index, "web-1");
    assert_eq!(changes(&mut index), ["+web:"]);
    remove_slice(&mut index, "never-seen");
    assert!(changes(&mut index).is_empty(), "2.05");
}

#[test]
fn only_real_changes_are_given() {
    let mut index = synced();
    put_service(&mut index, "web", json!({}));
    put_service(&mut index, "other", json!({"clusterIP": "10.96.0.2"}));
    put_slice(&mut index, json!({"endpoints": endpoints(&["10.0.0.1"])}));
    assert_eq!(changes(&mut index), ["+other:", "+web: 10.0.0.1:8080"]);
    put_slice(&mut index, json!({"endpoints": endpoints(&["10.0.0.1"])}));
    put_service(&mut index, "web", json!({"externalName": "not read"}));
    assert!(changes(&mut index).is_empty(), "1.27, 11.13");
    put_slice(
        &mut index,
        json!({"endpoints": [{"addresses": ["10.0.0.1"], "nodeName": "there"}]}),
    );
    assert!(
        changes(&mut index).is_empty(),
        "a change that makes no difference here"
    );
    put_slice(&mut index, json!({"endpoints": endpoints(&["10.0.0.2"])}));
    assert_eq!(changes(&mut index), ["+web: 10.0.0.2:8080"]);
    put_slice(&mut index, json!({"endpoints": endpoints(&["10.0.0.3"])}));
    put_slice(&mut index, json!({"endpoints": endpoints(&["10.0.0.2"])}));
    assert!(changes(&mut index).is_empty(), "there and back again");
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
fn what_vanished_while_nobody_watched_goes() {
    let mut index = synced();
    put_service(&mut index, "web", json!({}));
    put_service(&mut index, "gone", json!({"clusterIP": "10.96.0.2"}));
    put_slice(&mut index, json!({"endpoints": endpoints(&["10.0.0.1"])}));
    changes(&mut index);
    for kind in [Kind::Service, Kind::EndpointSlice] {
        index.apply(Event::now(News::Listing(kind)));
    }
    put_service(&mut index, "web", json!({}));
    assert!(
        changes(&mut index).is_empty(),
        "11.11 nothing goes before the list is complete"
    );
    index.apply(Event::now(News::Listing(Kind::Service)));
    put_service(&mut index, "web", json!({}));
    index.apply(Event::now(News::Listed(Kind::Service)));
    assert_eq!(
        changes(&mut index),
        ["-gone"],
        "11.11, also when the list began anew"
    );
    index.apply(Event::now(News::Listed(Kind::EndpointSlice)));
    assert_eq!(changes(&mut index), ["+web:"], "11.11");
}

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

#[test]
fn problems_are_told_once_and_again_after_they_were_gone() {
    let mut index = synced();
    let bad = json!({"ports": [{"port": 80}, {"name": "b", "port": 70_000}]});
    put_service(&mut index, "web", bad.clone());
    assert_eq!(changes(&mut index), ["+web:"], "the good port works");
    assert_eq!(problems(&mut index).len(), 1);
    put_service(&mut index, "web", bad.clone());
    assert!(problems(&mut index).is_empty());
    put_service(&mut index, "web", json!({}));
    put_service(&mut index, "web", bad);
    assert_eq!(problems(&mut index).len(), 1);
}

#[test]
fn an_unreadable_object_leaves_what_was_known() {
    let mut index = synced();
    put_service(&mut index, "web", json!({}));
    changes(&mut index);
    let reject = |index: &mut Index| {
        let reason = crate::model::Reason::Shape("spec.ports: expected a list".into());
        let problem = Problem::new(
            Kind::Service,
            &ObjectName::new("default", "web"),
            "spec.ports",
            reason,
        );
        index.apply(Event::now(News::Service(Change::Rejected(problem))));
    };
    reject(&mut index);
    assert!(changes(&mut index).is_empty());
    assert_eq!(problems(&mut index).len(), 1);
    index.apply(Event::now(News::Listing(Kind::Service)));
    reject(&mut index);
    index.apply(Event::now(News::Listed(Kind::Service)));
    assert!(
        changes(&mut index).is_empty() && problems(&mut index).is_empty(),
        "it is listed, so it is there"
    );
}

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
