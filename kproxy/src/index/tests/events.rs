//! Events in any order, and what differs by them.

use super::*;

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
fn a_service_that_came_and_went_leaves_nothing() {
    let mut index = synced();
    put_service(&mut index, "web", json!({"externalIPs": ["192.0.2.1"]}));
    put_slice(&mut index, json!({"endpoints": endpoints(&["10.0.0.1"])}));
    remove_service(&mut index, "web");
    remove_slice(&mut index, "web-1");
    assert!(changes(&mut index).is_empty(), "1.27");
    assert!(index.services.is_empty() && index.owners.is_empty());
    put_service(&mut index, "other", json!({"externalIPs": ["192.0.2.1"]}));
    assert!(changes(&mut index).len() == 1 && problems(&mut index).is_empty());
}

#[test]
fn an_event_compiles_what_it_changes() {
    let mut index = synced();
    for number in 0..100 {
        let spec =
            json!({"clusterIP": format!("10.96.1.{number}"), "externalIPs": [format!("192.0.2.{number}")]});
        put_service(&mut index, &format!("web-{number}"), spec);
    }
    assert_eq!(index.dirty.len(), 100);
    changes(&mut index);
    let touched = |index: &mut Index| {
        let names: Vec<_> = index.dirty.iter().map(ToString::to_string).collect();
        changes(index);
        names
    };
    put_slice(
        &mut index,
        json!({"metadata": {"labels": {"kubernetes.io/service-name": "web-7"}}, "endpoints": endpoints(&["10.0.0.1"])}),
    );
    assert_eq!(touched(&mut index), ["default/web-7"], "an endpoint");
    put_service(
        &mut index,
        "web-8",
        json!({"clusterIP": "10.96.1.8", "externalIPs": ["192.0.2.9"]}),
    );
    assert_eq!(
        touched(&mut index),
        ["default/web-8", "default/web-9"],
        "a frontend is taken from another"
    );
    put_service(&mut index, "new", json!({"clusterIP": "10.96.2.1"}));
    assert_eq!(touched(&mut index), ["default/new"]);
    put_service(
        &mut index,
        "new",
        json!({"clusterIP": "10.96.2.1", "publishNotReadyAddresses": true,
        "loadBalancerIP": "192.0.2.1", "loadBalancerClass": "x", "trafficDistribution": "PreferClose", "selector": {"a": "b"}}),
    );
    assert_eq!(touched(&mut index), [""; 0], "1.11, 1.27");
    index.apply(Event::now(News::Listing(Kind::Service)));
    assert_eq!(touched(&mut index), [""; 0], "2.04 a list says nothing new");
}
