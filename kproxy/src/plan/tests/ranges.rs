//! Source ranges.

use std::time::Instant;

use kproxy_common::{Frontend, RangeSetId, SlotRun};

use super::super::{Applied, GRACE, ProblemKind};
use super::model::Model;
use super::*;

/// A service with one restricted frontend.
fn restricted(host: u8, ranges: &[&str]) -> WantedService {
    let mut service = service(host, &[1]);
    for frontend in service.frontends.values_mut() {
        frontend.flags = FrontendFlags::LOAD_BALANCER;
        frontend.restricted = true;
    }
    service.source_ranges = ranges.iter().map(|text| cidr(text)).collect();
    service
}

#[test]
fn a_set_is_written_before_its_frontend_and_goes_after_the_grace_period() {
    let now = Instant::now();
    let mut applied = Applied::new(ROOMY);
    let plan = applied.change(one("web", Some(restricted(1, &["10.0.0.0/8", "192.0.2.0/24"]))));
    assert_eq!(
        texts(&plan)[2..],
        [
            "put SOURCE_RANGES[1 10.0.0.0/8]",
            "put SOURCE_RANGES[1 192.0.2.0/24]",
            "put FRONTENDS[10.96.0.1:80 TCP]",
            "put ADDRESSES[10.96.0.1]",
        ]
    );
    let plan = applied.change(one("web", Some(restricted(1, &["10.0.0.0/8"]))));
    assert_eq!(
        texts(&plan),
        [
            "put SOURCE_RANGES[2 10.0.0.0/8]",
            "put FRONTENDS[10.96.0.1:80 TCP]"
        ]
    );
    assert_eq!(applied.release(now), Plan::default());
    assert_eq!(
        texts(&applied.release(now + GRACE)),
        [
            "remove SOURCE_RANGES[1 10.0.0.0/8]",
            "remove SOURCE_RANGES[1 192.0.2.0/24]"
        ]
    );
    assert!(!applied.needs_release());
}

#[test]
fn other_endpoints_keep_the_set() {
    let mut applied = Applied::new(ROOMY);
    let mut web = restricted(1, &["10.0.0.0/8"]);
    applied.change(one("web", Some(web.clone())));
    web.endpoints.insert(endpoint(2), BackendFlags::empty());
    web.cluster.push(endpoint(2));
    let texts = texts(&applied.change(one("web", Some(web))));
    assert!(
        !texts.iter().any(|text| text.contains("SOURCE_RANGES")),
        "{texts:?}"
    );
}

#[test]
fn no_ranges_let_nobody_in_and_no_restriction_everybody() {
    let mut model = Model::new(ROOMY);
    let mut applied = Applied::new(ROOMY);
    let nobody = restricted(1, &[]);
    let mut everybody = restricted(2, &["10.0.0.0/8"]);
    for frontend in everybody.frontends.values_mut() {
        frontend.restricted = false;
    }
    let state = wanted([("nobody", nobody), ("everybody", everybody)]);
    model.apply(&applied.replace(state.clone()));
    model.assert_serves(&state);
    let frontends = &model.contents.frontends;
    assert_ne!(frontends[&key(1, 80)].ranges, RangeSetId::EVERYBODY);
    assert_eq!(frontends[&key(2, 80)].ranges, RangeSetId::EVERYBODY);
    let mut restarted = Applied::adopt(ROOMY, model.contents.clone());
    assert_eq!(restarted.replace(state).steps, []);
}

#[test]
fn a_service_whose_ranges_have_no_room_stays_as_it_was_and_recovers() {
    let now = Instant::now();
    let capacity = Capacity {
        source_ranges: 3,
        ..ROOMY
    };
    let mut applied = Applied::new(capacity);
    let mut model = Model::new(capacity);
    let before = wanted([
        ("a", restricted(1, &["10.0.0.0/8"])),
        ("b", restricted(2, &["10.0.0.0/8"])),
    ]);
    model.apply(&applied.replace(before.clone()));
    let larger = restricted(1, &["10.0.0.0/8", "192.0.2.0/24"]);
    let plan = applied.change(one("a", Some(larger.clone())));
    assert_eq!(plan.steps, []);
    assert_eq!(
        plan.problems[0].to_string(),
        "test/a (IPv4 TCP): no room for its source ranges in map SOURCE_RANGES (3 entries); it stays as it was; \
         raise --source-ranges"
    );
    assert!(matches!(
        plan.problems[0].kind,
        ProblemKind::NoRoomForSourceRanges { .. }
    ));
    model.assert_serves(&before);
    model.apply(&applied.change(one("b", None)));
    for rounds in 0..2 {
        model.apply(&applied.release(now + rounds * GRACE));
    }
    model.assert_serves(&wanted([("a", larger)]));
}

#[test]
fn what_is_found_in_the_map_is_taken_over_or_removed() {
    let now = Instant::now();
    let state = wanted([
        ("a", restricted(1, &["10.0.0.0/8"])),
        ("b", restricted(2, &["192.0.2.0/24"])),
    ]);
    let mut model = Model::new(ROOMY);
    model.apply(&Applied::new(ROOMY).replace(state.clone()));
    // Written for a frontend that never came, and a frontend that points at another service's set.
    let strays = [cidr("10.1.0.0/16")].into();
    model.contents.source_ranges.insert(RangeSetId(9), strays);
    let broken = Frontend {
        ranges: RangeSetId(1),
        inside: SlotRun::default(),
        outside: SlotRun::default(),
        ..model.contents.frontends[&key(2, 80)]
    };
    model.contents.frontends.insert(key(2, 80), broken);
    let mut applied = Applied::adopt(ROOMY, model.contents.clone());
    for step in &applied.replace(state.clone()).steps {
        model.force(&step.action);
    }
    model.assert_serves(&state);
    for rounds in 0..2 {
        model.apply(&applied.release(now + rounds * GRACE));
    }
    model.assert_serves(&state);
    assert_eq!(model.contents.source_ranges.len(), 2, "the others are gone");
}
