//! ClusterIPs of services that are not served here: they are no unallocated addresses.

use std::time::{Duration, Instant};

use kproxy_common::AddressRole;

use super::super::{Applied, GRACE};
use super::model::Model;
use super::view::Verdict;
use super::*;

fn in_ranges() -> WantedNode {
    WantedNode {
        service_cidrs: [cidr("10.96.0.0/28")].into(),
        ..WantedNode::default()
    }
}

/// A node with this room that has these services, one after another.
fn with_room(capacity: Capacity, services: &[(&str, WantedService)]) -> (Applied, Model) {
    let (mut applied, mut model) = (Applied::new(capacity), Model::new(capacity));
    model.apply(&applied.place(in_ranges()));
    for (name, service) in services {
        model.apply(&applied.change(one(name, Some(service.clone()))));
    }
    (applied, model)
}

/// Lets everything go that was given up.
fn settle(applied: &mut Applied, model: &mut Model) {
    let mut now = Instant::now();
    while applied.needs_release() {
        now += GRACE + Duration::from_millis(1);
        model.apply(&applied.release(now));
    }
}

#[test]
fn a_service_without_room_is_left_alone_4_09() {
    let services = [("first", service(1, &[1])), ("second", service(2, &[2]))];
    let rows = [
        ("backends", Capacity { backends: 2, ..ROOMY }),
        ("slots", Capacity { slots: 1, ..ROOMY }),
        (
            "frontends",
            Capacity {
                frontends: 1,
                ..ROOMY
            },
        ),
        (
            "addresses",
            Capacity {
                addresses: 1,
                ..ROOMY
            },
        ),
    ];
    for (map, capacity) in rows {
        let (mut applied, mut model) = with_room(capacity, &services);
        let verdict = |model: &Model, host| model.contents.verdict(key(host, 80));
        assert!(matches!(verdict(&model, 1), Verdict::Served(_)), "{map}");
        assert_eq!(verdict(&model, 2), Verdict::LeftAlone, "4.09 no room for {map}");

        model.apply(&applied.change(one("first", None)));
        settle(&mut applied, &mut model);
        assert!(matches!(verdict(&model, 2), Verdict::Served(_)), "{map}");
        assert_eq!(verdict(&model, 4), Verdict::Dropped, "4.09 {map}");
        model.apply(&applied.change(one("second", None)));
        settle(&mut applied, &mut model);
        assert_eq!(verdict(&model, 2), Verdict::Dropped, "4.10 {map}");
    }
}

#[test]
fn a_service_without_room_leaves_nothing_behind() {
    let capacity = Capacity { backends: 2, ..ROOMY };
    let (mut applied, mut model) = with_room(capacity, &[("first", service(1, &[1]))]);
    let before = model.contents.addresses.clone();
    model.apply(&applied.change(one("second", Some(service(2, &[2])))));
    model.apply(&applied.change(one("second", Some(service(3, &[2])))));
    assert_eq!(model.contents.verdict(key(2, 80)), Verdict::Dropped);
    assert_eq!(model.contents.verdict(key(3, 80)), Verdict::LeftAlone);
    model.apply(&applied.change(one("second", None)));
    assert_eq!(model.contents.addresses, before);
}

#[test]
fn where_not_every_cluster_ip_has_room_no_address_is_dropped_4_09() {
    let capacity = Capacity {
        addresses: 1,
        ..ROOMY
    };
    let (mut applied, mut model) = with_room(capacity, &[("first", service(1, &[]))]);
    assert_eq!(model.contents.verdict(key(4, 80)), Verdict::Dropped);
    let plan = applied.change(one("second", Some(service(2, &[]))));
    model.apply(&plan);
    assert_eq!(model.contents.verdict(key(4, 80)), Verdict::LeftAlone);
    assert_eq!(
        plan.problems[0].to_string(),
        "this node: no room for 1 ClusterIPs of services in map ADDRESSES (1 entries); as long as that is so, packets to \
         ClusterIPs of no service are left alone; raise --frontends"
    );
    model.apply(&applied.change(one("second", None)));
    assert_eq!(model.contents.verdict(key(4, 80)), Verdict::Dropped);
}

#[test]
fn a_restart_finds_them_again() {
    let capacity = Capacity { backends: 2, ..ROOMY };
    let state = [("first", service(1, &[1])), ("second", service(2, &[2]))];
    let (_, mut model) = with_room(capacity, &state);
    let mut applied = Applied::adopt(capacity, model.contents.clone());
    model.apply(&applied.replace(wanted(state)));
    model.apply(&applied.place(in_ranges()));
    assert_eq!(model.contents.verdict(key(2, 80)), Verdict::LeftAlone);
    model.apply(&applied.change(one("second", None)));
    assert_eq!(model.contents.verdict(key(2, 80)), Verdict::Dropped);
}

#[test]
fn the_cluster_ip_of_another_proxy_is_left_alone_at_every_moment_4_10() {
    let (mut applied, mut model) = with_room(ROOMY, &[("web", service(1, &[1])), ("other", service(2, &[]))]);
    let elsewhere = WantedService::left_alone(address(1));
    let mut steps = |change: Option<WantedService>, others: &dyn Fn(&Verdict) -> bool| {
        let plan = applied.change(one("web", change));
        assert!(!plan.steps.is_empty());
        for step in plan.steps {
            model.apply(&Plan {
                steps: vec![step],
                ..Plan::default()
            });
            let verdict = model.contents.verdict(key(1, 80));
            assert!(others(&verdict), "4.10 {verdict:?}");
        }
        model.contents.verdict(key(1, 80))
    };
    let fine = |verdict: &Verdict| matches!(verdict, Verdict::Served(_) | Verdict::LeftAlone);
    assert_eq!(
        steps(Some(elsewhere.clone()), &fine),
        Verdict::LeftAlone,
        "the label comes"
    );
    assert!(
        matches!(steps(Some(service(1, &[1])), &fine), Verdict::Served(_)),
        "and goes"
    );
    steps(Some(elsewhere.clone()), &fine);
    let gone = steps(None, &|_| true);
    assert_eq!(gone, Verdict::Dropped, "4.10 the service is gone");
    assert_eq!(steps(Some(elsewhere), &|_| true), Verdict::LeftAlone, "and comes");
    assert_eq!(model.contents.frontends.len(), 1, "the other service's");
}

#[test]
fn connections_outlive_a_service_that_goes_to_another_proxy_4_02() {
    let (mut applied, mut model) = with_room(ROOMY, &[("web", service(1, &[1]))]);
    model.apply(&applied.change(one("web", Some(WantedService::left_alone(address(1))))));
    assert!(model.contents.role(address(1)).contains(AddressRole::SERVICE));
    model.apply(&applied.change(one("web", None)));
    assert_eq!(model.contents.role(address(1)), AddressRole::SERVICE, "4.02");
}
