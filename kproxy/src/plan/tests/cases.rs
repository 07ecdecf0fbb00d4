//! Single situations.

use std::time::{Duration, Instant};

use kproxy_common::{AddressRole, BackendFlags, BackendIndex, Frontend, RangeSetId, ServiceId, SlotRun};

use super::super::{Action, Applied, Capacity, GRACE, ProblemKind};
use super::model::Model;
use super::*;

#[test]
fn a_new_service_is_built_from_the_back_to_the_front() {
    let mut applied = Applied::new(ROOMY);
    let plan = applied.change(one("web", Some(service(1, &[1, 2]))));
    assert_eq!(
        texts(&plan),
        [
            "write BACKENDS[1] = 10.1.0.1:8080",
            "write BACKENDS[2] = 10.1.0.2:8080",
            "write 2 slots at SLOTS[0]",
            "put FRONTENDS[10.96.0.1:80 TCP]",
            "put ADDRESSES[10.96.0.1]",
        ]
    );
    assert_eq!(
        applied.change(one("web", Some(service(1, &[1, 2])))),
        Plan::default()
    );
}

#[test]
fn an_endpoint_that_stays_keeps_its_record() {
    let mut applied = Applied::new(ROOMY);
    applied.change(one("web", Some(service(1, &[1, 2]))));
    let plan = applied.change(one("web", Some(service(1, &[2, 3]))));
    assert_eq!(
        texts(&plan),
        [
            "write BACKENDS[3] = 10.1.0.3:8080",
            "write 2 slots at SLOTS[2]",
            "put FRONTENDS[10.96.0.1:80 TCP]",
            "retire BACKENDS[1] = 10.1.0.1:8080",
        ]
    );
}

#[test]
fn changed_flags_are_rewritten_in_place() {
    let mut applied = Applied::new(ROOMY);
    let mut web = service(1, &[2]);
    applied.change(one("web", Some(web.clone())));
    web.endpoints.insert(endpoint(2), BackendFlags::LOCAL);
    assert_eq!(
        texts(&applied.change(one("web", Some(web)))),
        ["write BACKENDS[1] = 10.1.0.2:8080"]
    );
}

#[test]
fn a_removed_service_loses_its_frontend_before_its_backends() {
    let mut applied = Applied::new(ROOMY);
    applied.change(one("web", Some(service(1, &[1]))));
    assert_eq!(
        texts(&applied.change(one("web", None))),
        [
            // An active ClusterIP no more.
            "put ADDRESSES[10.96.0.1]",
            "remove FRONTENDS[10.96.0.1:80 TCP]",
            "retire BACKENDS[1] = 10.1.0.1:8080"
        ]
    );
    assert_eq!(applied.change(one("web", None)), Plan::default());
}

#[test]
fn records_and_runs_rest_before_they_are_used_again() {
    let now = Instant::now();
    let mut applied = Applied::new(ROOMY);
    applied.change(one("web", Some(service(1, &[1]))));
    applied.change(one("web", Some(service(1, &[2]))));
    applied.release(now);
    applied.release(now + GRACE.saturating_sub(Duration::from_millis(1)));
    let early = texts(&applied.change(one("web", Some(service(1, &[3])))));
    assert_eq!(
        early[..2],
        ["write BACKENDS[3] = 10.1.0.3:8080", "write 1 slots at SLOTS[2]"]
    );
    applied.release(now + GRACE);
    let late = applied.change(one("web", Some(service(1, &[4]))));
    assert_eq!(
        texts(&late)[..2],
        ["write BACKENDS[1] = 10.1.0.4:8080", "write 1 slots at SLOTS[0]"]
    );
    let Action::WriteBackend { backend, .. } = late.steps[0].action else {
        panic!()
    };
    assert_eq!(backend.generation.0, 1, "flows of the former endpoint do not fit");
    assert!(applied.needs_release());
    applied.release(now + 2 * GRACE);
    applied.release(now + 3 * GRACE);
    assert!(!applied.needs_release());
}

#[test]
fn frontends_with_one_set_share_one_run() {
    let mut web = service(1, &[1, 2]);
    web.frontends.insert(key(2, 80), web.frontends[&key(1, 80)]);
    let local = WantedFrontend {
        outside: BackendSet::Local,
        ..web.frontends[&key(1, 80)]
    };
    web.frontends.insert(key(3, 80), local);
    let plan = Applied::new(ROOMY).change(one("web", Some(web)));
    let runs = plan
        .steps
        .iter()
        .filter(|step| matches!(step.action, Action::WriteSlots { .. }));
    assert_eq!(runs.count(), 2);
}

#[test]
fn a_service_without_room_keeps_its_former_endpoints_and_recovers() {
    let now = Instant::now();
    for (capacity, map) in [
        (Capacity { backends: 6, ..ROOMY }, "BACKENDS"),
        (Capacity { slots: 5, ..ROOMY }, "SLOTS"),
    ] {
        let mut applied = Applied::new(capacity);
        let mut model = Model::new(capacity);
        let mut state = wanted([("big", service(1, &[1, 2, 3])), ("small", service(2, &[1]))]);
        model.apply(&applied.replace(state.clone()));
        let plan = applied.change(one("big", Some(service(1, &[4, 5, 6]))));
        assert_eq!(plan.steps, []);
        assert_eq!(plan.problems[0].service.as_deref(), Some(&name("big")));
        assert!(
            matches!(plan.problems[0].kind, ProblemKind::NoRoomForEndpoints { map: found, .. } if found == map)
        );
        model.apply(&applied.change(one("small", None)));
        model.apply(&applied.release(now));
        state = wanted([("big", service(1, &[1, 2, 3]))]);
        model.assert_serves(&state);
        // The room of one endpoint is not enough; a smaller change is.
        model.apply(&applied.release(now + GRACE));
        model.assert_serves(&state);
        let plan = applied.change(one("big", Some(service(1, &[4, 5]))));
        assert_eq!(plan.problems, []);
        model.apply(&plan);
        model.assert_serves(&wanted([("big", service(1, &[4, 5]))]));
    }
}

#[test]
fn a_service_without_room_is_tried_again_when_room_returns() {
    let now = Instant::now();
    let capacity = Capacity { backends: 4, ..ROOMY };
    let mut applied = Applied::new(capacity);
    let mut model = Model::new(capacity);
    model.apply(&applied.replace(wanted([("a", service(1, &[1, 2])), ("b", service(2, &[3, 4]))])));
    model.assert_serves(&wanted([("a", service(1, &[1, 2]))]));
    model.apply(&applied.change(one("a", None)));
    model.apply(&applied.release(now));
    model.apply(&applied.release(now + GRACE));
    model.assert_serves(&wanted([("b", service(2, &[3, 4]))]));
}

#[test]
fn a_frontend_without_an_address_leaves_no_trace() {
    let now = Instant::now();
    let capacity = Capacity {
        addresses: 1,
        frontends: 2,
        ..ROOMY
    };
    let mut applied = Applied::new(capacity);
    let mut model = Model::new(capacity);
    let mut third = service(1, &[3]);
    let frontend = third.frontends.pop_first().unwrap().1;
    third.frontends.insert(key(1, 81), frontend);
    let state = wanted([
        ("a", service(1, &[1])),
        ("b", service(2, &[2])),
        ("c", third.clone()),
    ]);
    let plan = applied.replace(state);
    assert_eq!(plan.problems.len(), 1, "the third is not kept out by the second");
    assert!(matches!(
        plan.problems[0].kind,
        ProblemKind::NoRoomForFrontend { map: "ADDRESSES", .. }
    ));
    assert!(
        !texts(&plan).iter().any(|text| text.starts_with("remove")),
        "{plan:?}"
    );
    model.apply(&plan);
    assert!(!applied.needs_release(), "nothing is free that could be tried");
    assert_eq!(applied.release(now), Plan::default());
    model.apply(&applied.replace(wanted([("b", service(2, &[2]))])));
    for seconds in 0..3 {
        model.apply(&applied.release(now + seconds * GRACE));
    }
    model.assert_serves(&wanted([("b", service(2, &[2]))]));
    assert!(!applied.needs_release());
}

#[test]
fn a_frontend_moves_to_another_service_in_one_step() {
    let mut applied = Applied::new(ROOMY);
    let mut model = Model::new(ROOMY);
    model.apply(&applied.replace(wanted([("z", service(1, &[1]))])));
    let plan = applied.replace(wanted([("a", service(1, &[2]))]));
    assert!(
        !texts(&plan).iter().any(|text| text.starts_with("remove")),
        "{plan:?}"
    );
    model.apply(&plan);
    model.assert_serves(&wanted([("a", service(1, &[2]))]));
}

#[test]
fn a_taken_frontend_stays_with_its_owner() {
    let mut applied = Applied::new(ROOMY);
    let mut model = Model::new(ROOMY);
    model.apply(&applied.replace(wanted([("z", service(1, &[1]))])));
    let plan = applied.change(one("a", Some(service(1, &[2]))));
    assert_eq!(
        plan.problems[0].to_string(),
        "test/a (IPv4 TCP): 10.96.0.1:80 TCP already belongs to test/z (IPv4 TCP); remove it from one of the two"
    );
    model.apply(&plan);
    model.apply(&applied.change(one("z", None)));
    model.apply(&applied.release(Instant::now()));
    model.assert_serves(&wanted([("a", service(1, &[2]))]));
}

#[test]
fn nonsense_in_the_maps_is_not_trusted() {
    let state = wanted([("a", service(1, &[1, 2])), ("b", service(2, &[3]))]);
    let sane = || {
        let mut model = Model::new(ROOMY);
        model.apply(&Applied::new(ROOMY).replace(state.clone()));
        model
    };
    let frontend = |service, base, count| Frontend {
        service: ServiceId(service),
        flags: FrontendFlags::CLUSTER_IP,
        affinity_seconds: 0,
        ranges: RangeSetId::EVERYBODY,
        padding: 0,
        inside: SlotRun { base, count },
        outside: SlotRun { base, count },
        check: key(1, 80).check(),
    };
    for (what, broken) in [
        ("another service's backends", frontend(2, 0, 2)),
        ("outside the arena", frontend(1, 250, 100)),
        ("far outside the arena", frontend(1, u32::MAX, u32::MAX)),
        ("empty slots", frontend(1, 100, 2)),
        ("service 0", frontend(0, 0, 0)),
        ("a strange service", frontend(u32::MAX, 0, 0)),
        ("a part of its run", frontend(1, 0, 1)),
        (
            "another key's value",
            Frontend {
                check: 0,
                ..frontend(1, 0, 2)
            },
        ),
    ] {
        let mut model = sane();
        model.contents.frontends.insert(key(1, 80), broken);
        let check = broken.check ^ key(1, 80).check() ^ key(9, 80).check();
        model
            .contents
            .frontends
            .insert(key(9, 80), Frontend { check, ..broken });
        model
            .contents
            .addresses
            .insert(key(7, 80).address, AddressRole::SERVICE);
        model.contents.backends[0] = model.contents.backends[1];
        model.contents.backends[200] = model.contents.backends[1];
        model.contents.slots[200] = BackendIndex(u32::MAX);
        let mut applied = Applied::adopt(ROOMY, model.contents.clone());
        let plan = applied.replace(state.clone());
        for step in &plan.steps {
            model.force(&step.action);
        }
        model.contents.backends[0] = bytemuck::Zeroable::zeroed();
        assert!(plan.problems.is_empty(), "{what}");
        model.assert_serves(&state);
        assert_eq!(
            Applied::adopt(ROOMY, model.contents).replace(state.clone()).steps,
            [],
            "{what}"
        );
    }
}
