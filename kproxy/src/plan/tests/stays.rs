//! In which sets an endpoint is, and which stay there it is.

use kproxy_common::{Backend, Epoch};

use super::super::{Action, Applied};
use super::model::Model;
use super::*;

/// A service with these serving endpoints, of which only some are in its sets.
fn with_sets(serving: &[u8], cluster: &[u8], local: &[u8]) -> WantedService {
    let numbers = |numbers: &[u8]| numbers.iter().copied().map(endpoint).collect();
    WantedService {
        cluster: numbers(cluster),
        local: numbers(local),
        ..service(1, serving)
    }
}

fn record(model: &Model, number: u8) -> Backend {
    let endpoint = endpoint(number);
    let backends = model.contents.backends.iter();
    let alive = |backend: &&Backend| backend.flags.contains(BackendFlags::ALIVE);
    *backends
        .filter(alive)
        .find(|backend| backend.address == endpoint.address)
        .unwrap()
}

#[test]
fn a_stay_ends_when_an_endpoint_leaves_both_sets() {
    let mut applied = Applied::new(ROOMY);
    let mut model = Model::new(ROOMY);
    let both = BackendFlags::IN_CLUSTER_SET | BackendFlags::IN_LOCAL_SET;
    // What it shows; the Cluster set; the Local set; flags and epoch of the first endpoint.
    let rows = [
        ("6.05 in both", [1, 2], vec![1], both, 0),
        (
            "6.05 in one still",
            [1, 2],
            vec![],
            BackendFlags::IN_CLUSTER_SET,
            0,
        ),
        ("6.05 back in both", [1, 2], vec![1], both, 0),
        ("6.06 serving, in none", [2, 3], vec![], BackendFlags::empty(), 0),
        ("6.06 back again", [1, 2], vec![], BackendFlags::IN_CLUSTER_SET, 1),
        ("6.06 in none again", [2, 3], vec![], BackendFlags::empty(), 1),
        (
            "6.06 back in the other",
            [2, 3],
            vec![1],
            BackendFlags::IN_LOCAL_SET,
            2,
        ),
    ];
    for (what, cluster, local, sets, epoch) in rows {
        let web = with_sets(&[1, 2, 3], &cluster, &local);
        model.apply(&applied.change(one("web", Some(web.clone()))));
        let expected = sets | BackendFlags::ALIVE | BackendFlags::LOCAL;
        let found = record(&model, 1);
        assert_eq!((found.flags, found.epoch), (expected, Epoch(epoch)), "{what}");
        // A restart knows as much.
        applied = Applied::adopt(ROOMY, model.contents.clone());
        assert_eq!(applied.replace(wanted([("web", web)])).steps, [], "{what}");
    }
}

#[test]
fn only_the_records_of_endpoints_that_come_or_leave_are_written() {
    let mut applied = Applied::new(ROOMY);
    applied.change(one("web", Some(with_sets(&[1, 2, 3, 4], &[1, 2, 3], &[]))));
    let plan = applied.change(one("web", Some(with_sets(&[1, 2, 3, 4], &[2, 3, 4], &[]))));
    let written = plan.steps.iter().filter_map(|step| {
        let Action::WriteBackend { backend, .. } = step.action else {
            return None;
        };
        Some(backend.address)
    });
    let expected = [1, 4].map(|number| endpoint(number).address);
    assert_eq!(written.collect::<Vec<_>>(), expected);
}

#[test]
fn a_frontend_says_which_sets_its_runs_are() {
    let mut applied = Applied::new(ROOMY);
    let mut model = Model::new(ROOMY);
    let mut web = service(1, &[1, 2]);
    let sets = [BackendSet::Cluster, BackendSet::Local];
    let flags = [
        [FrontendFlags::empty(), FrontendFlags::OUTSIDE_LOCAL],
        [
            FrontendFlags::INSIDE_LOCAL,
            FrontendFlags::INSIDE_LOCAL | FrontendFlags::OUTSIDE_LOCAL,
        ],
    ];
    let frontend = web.frontends[&key(1, 80)];
    let mut expected = BTreeMap::new();
    for (port, (inside, outside)) in (80..).zip([(0, 0), (0, 1), (1, 0), (1, 1)]) {
        let wanted = WantedFrontend {
            inside: sets[inside],
            outside: sets[outside],
            ..frontend
        };
        web.frontends.insert(key(1, port), wanted);
        expected.insert(key(1, port), flags[inside][outside] | FrontendFlags::CLUSTER_IP);
    }
    model.apply(&applied.change(one("web", Some(web))));
    let found = model.contents.frontends.iter();
    let found: BTreeMap<_, _> = found.map(|(key, frontend)| (*key, frontend.flags)).collect();
    assert_eq!(found, expected);
}
