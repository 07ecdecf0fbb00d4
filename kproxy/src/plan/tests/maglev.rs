//! Services whose clients outside are balanced by Maglev hashing.

use std::time::{Duration, Instant};

use kproxy_common::BackendIndex;

use super::super::maglev::{size, table};
use super::super::{Action, Applied, GRACE, ProblemKind};
use super::model::Model;
use super::*;

/// The size of the smallest table.
const TABLE: u32 = 1_021;
const LARGE: Capacity = Capacity {
    slots: 8 * TABLE,
    ..ROOMY
};

/// A service whose clients outside are balanced by their hash.
fn hashed(address: u8, endpoints: &[u8]) -> WantedService {
    let mut service = service(address, endpoints);
    for frontend in service.frontends.values_mut() {
        frontend.flags |= FrontendFlags::MAGLEV;
    }
    service
}

/// The lengths of the runs that a plan writes.
fn written(plan: &Plan) -> Vec<usize> {
    let runs = plan.steps.iter().filter_map(|step| {
        let Action::WriteSlots { slots, .. } = &step.action else {
            return None;
        };
        Some(slots.len())
    });
    runs.collect()
}

impl Model {
    fn slots_of(&self, key: FrontendKey) -> [Vec<BackendIndex>; 2] {
        let frontend = self.contents.frontends[&key];
        [frontend.inside, frontend.outside].map(|run| {
            let run = run.base as usize..(run.base + run.count) as usize;
            self.contents.slots[run].to_vec()
        })
    }

    /// Who is at each place of the run for clients outside.
    fn outside(&self, key: FrontendKey) -> Vec<Endpoint> {
        let [_, outside] = self.slots_of(key);
        let endpoint = |index: BackendIndex| {
            let backend = self.contents.backends[index.0 as usize];
            Endpoint {
                address: backend.address,
                port: backend.port,
            }
        };
        outside.into_iter().map(endpoint).collect()
    }
}

#[test]
fn clients_outside_have_a_table_and_those_inside_have_none() {
    let (mut applied, mut model) = (Applied::new(LARGE), Model::new(LARGE));
    let plan = applied.change(one("web", Some(hashed(1, &[1, 2, 3]))));
    model.apply(&plan);
    assert_eq!((written(&plan), plan.problems), (vec![3, TABLE as usize], vec![]));
    let [inside, outside] = model.slots_of(key(1, 80));
    assert_eq!((inside.len(), outside.len()), (3, TABLE as usize));
    let endpoints = [1, 2, 3].map(endpoint);
    let owners = table(endpoints, TABLE).into_iter();
    let expected: Vec<_> = owners.map(|owner| endpoints[owner as usize]).collect();
    assert_eq!(model.outside(key(1, 80)), expected);
    assert_eq!(size(3), Some(TABLE));
}

#[test]
fn a_single_backend_needs_no_table() {
    for endpoints in [&[][..], &[7]] {
        let (mut applied, mut model) = (Applied::new(LARGE), Model::new(LARGE));
        let plan = applied.change(one("web", Some(hashed(1, endpoints))));
        model.apply(&plan);
        assert_eq!(plan.problems, []);
        let [inside, outside] = model.slots_of(key(1, 80));
        assert_eq!((inside.len(), &inside), (endpoints.len(), &outside));
    }
}

#[test]
fn every_node_has_the_same_table() {
    let histories: [&[&[u8]]; 3] = [
        &[&[1, 2, 3, 4, 5]],
        &[&[9, 5, 3], &[5, 3, 1], &[5, 4, 3, 2, 1]],
        &[&[8], &[7, 8, 9, 4], &[2, 3, 4, 5, 6, 7], &[1, 2, 3, 4, 5]],
    ];
    let tables = histories.map(|history| {
        let (mut applied, mut model) = (Applied::new(LARGE), Model::new(LARGE));
        model.apply(&applied.change(one("other", Some(service(2, &[1, 2])))));
        for endpoints in history {
            model.apply(&applied.change(one("web", Some(hashed(1, endpoints)))));
        }
        (model.slots_of(key(1, 80)), model.outside(key(1, 80)))
    });
    assert_ne!(tables[0].0, tables[1].0, "records are a node's own matter");
    assert_ne!(tables[0].0, tables[2].0, "records are a node's own matter");
    assert_eq!(tables[0].1, tables[1].1);
    assert_eq!(tables[0].1, tables[2].1);
}

#[test]
fn frontends_with_one_set_share_one_table() {
    let mut web = hashed(1, &[1, 2, 3]);
    web.frontends.insert(key(2, 80), web.frontends[&key(1, 80)]);
    let local = WantedFrontend {
        outside: BackendSet::Local,
        ..web.frontends[&key(1, 80)]
    };
    web.frontends.insert(key(3, 80), local);
    let plan = Applied::new(LARGE).change(one("web", Some(web)));
    assert_eq!(written(&plan), [3, TABLE as usize, TABLE as usize]);
}

#[test]
fn only_the_service_that_changes_has_its_table_written() {
    let mut applied = Applied::new(LARGE);
    applied.change(one("web", Some(hashed(1, &[1, 2, 3]))));
    applied.change(one("shop", Some(hashed(2, &[1, 2, 3]))));
    let same = applied.change(one("web", Some(hashed(1, &[1, 2, 3]))));
    assert_eq!(same, Plan::default());
    let plan = applied.change(one("web", Some(hashed(1, &[1, 2, 4]))));
    assert_eq!(written(&plan), [3, TABLE as usize]);
    assert!(
        plan.steps
            .iter()
            .all(|step| step.service.as_deref() != Some(&name("shop")))
    );
    let random = applied.change(one("web", Some(service(1, &[1, 2, 4]))));
    assert_eq!(
        texts(&random),
        ["put FRONTENDS[10.96.0.1:80 TCP]"],
        "the table goes"
    );
}

#[test]
fn a_restart_finds_its_tables_and_writes_nothing() {
    let state = [("web", hashed(1, &[1, 2, 3])), ("shop", hashed(2, &[2, 3]))];
    let (mut applied, mut model) = (Applied::new(LARGE), Model::new(LARGE));
    model.apply(&applied.replace(wanted(state.clone())));
    let mut again = Applied::adopt(LARGE, model.contents.clone());
    assert_eq!(again.replace(wanted(state.clone())), considered(&state));

    // A build with other tables: served with them until the swap.
    let run = model.contents.frontends[&key(1, 80)].outside;
    model
        .contents
        .slots
        .swap(run.base as usize, run.base as usize + 5);
    model
        .contents
        .slots
        .swap(run.base as usize + 1, run.base as usize + 7);
    let mut other = Applied::adopt(LARGE, model.contents.clone());
    let plan = other.replace(wanted(state.clone()));
    assert_eq!(written(&plan), [TABLE as usize]);
    model.apply(&plan);
    model.assert_serves(&wanted(state));
}

/// A plan without steps and problems that has looked at these services.
fn considered<const N: usize>(services: &[(&str, WantedService); N]) -> Plan {
    Plan {
        considered: services.iter().map(|(text, _)| name(text).into()).collect(),
        ..Plan::default()
    }
}

#[test]
fn without_room_for_its_table_a_service_is_served_and_named_and_tried_again() {
    // Three quarters of them are one table and a bit.
    let tight = Capacity {
        slots: 2 * TABLE,
        ..ROOMY
    };
    let (mut applied, mut model) = (Applied::new(tight), Model::new(tight));
    model.apply(&applied.change(one("first", Some(hashed(1, &[1, 2])))));
    let plan = applied.change(one("second", Some(hashed(2, &[3, 4, 5]))));
    model.apply(&plan);
    assert_eq!(written(&plan), [3]);
    let [problem] = &plan.problems[..] else {
        panic!("{:?}", plan.problems)
    };
    let expected = ProblemKind::NoRoomForTable {
        slots: TABLE,
        map: "SLOTS",
        entries: 2 * TABLE,
    };
    assert_eq!(problem.kind, expected);
    let flags = model.contents.frontends[&key(2, 80)].flags;
    assert!(
        flags.contains(FrontendFlags::MAGLEV),
        "the hash chooses all the same"
    );
    let [inside, outside] = model.slots_of(key(2, 80));
    assert_eq!(inside, outside);

    let plan = applied.change(one("second", Some(hashed(2, &[3, 4]))));
    model.apply(&plan);
    assert_eq!((written(&plan), plan.problems.len()), (vec![2], 1));
    let healed = applied.heal(model.contents.clone());
    assert_eq!((healed.steps, healed.problems.len()), (vec![], 1));

    model.apply(&applied.change(one("first", None)));
    let mut now = Instant::now();
    while applied.needs_release() {
        now += GRACE + Duration::from_millis(1);
        model.apply(&applied.release(now));
    }
    assert_eq!(model.slots_of(key(2, 80))[1].len(), TABLE as usize);
    model.assert_serves(&wanted([("second", hashed(2, &[3, 4]))]));
}

#[test]
fn tables_leave_room_for_all_else() {
    let capacity = Capacity {
        slots: 4 * TABLE,
        ..ROOMY
    };
    let (mut applied, mut model) = (Applied::new(capacity), Model::new(capacity));
    for number in 1..=4 {
        let name = number.to_string();
        model.apply(&applied.change(one(&name, Some(hashed(number, &[1, 2, 3])))));
    }
    let tables = (1..=4).filter(|number| model.slots_of(key(*number, 80))[1].len() > 3);
    assert_eq!(
        tables.count(),
        2,
        "of the third there would be less than a quarter left"
    );
    let plan = applied.change(one("plain", Some(service(5, &(1..=200).collect::<Vec<_>>()))));
    assert_eq!(plan.problems, []);
}
