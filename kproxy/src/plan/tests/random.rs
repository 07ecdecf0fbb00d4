//! Random histories.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::{Action, Applied, GRACE};
use super::model::Model;
use super::*;

type State = BTreeMap<ServicePortName, WantedService>;

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    Replace(State),
    Change(BTreeMap<ServicePortName, Option<WantedService>>),
    Wait(u64),
    /// The agent dies after this share of the steps towards the state and starts again.
    Crash(State, f64),
}

fn any_service(number: u8) -> impl Strategy<Value = WantedService> {
    let sets = prop_oneof![Just(BackendSet::Cluster), Just(BackendSet::Local)];
    let frontend =
        (0..2_u32, sets.clone(), sets).prop_map(|(affinity_seconds, inside, outside)| WantedFrontend {
            flags: FrontendFlags::CLUSTER_IP,
            affinity_seconds,
            inside,
            outside,
            restricted: false,
        });
    // Services share addresses but not ports.
    let keys = (0..3_u8).prop_map(move |address| key(address, 1000 + u16::from(number)));
    (
        prop::collection::btree_map(keys, frontend, 1..4),
        prop::collection::btree_map(0..12_u8, (any::<bool>(), any::<bool>()), 0..8),
    )
        .prop_map(|(frontends, endpoints)| {
            let chosen = |pick: fn(&(bool, bool)) -> bool| {
                endpoints
                    .iter()
                    .filter(|(_, it)| pick(it))
                    .map(|(number, _)| endpoint(*number))
                    .collect()
            };
            let flags = |local| {
                if local {
                    BackendFlags::LOCAL
                } else {
                    BackendFlags::empty()
                }
            };
            WantedService {
                frontends,
                endpoints: endpoints
                    .iter()
                    .map(|(number, (local, _))| (endpoint(*number), flags(*local)))
                    .collect(),
                cluster: chosen(|(_, usable)| *usable),
                local: chosen(|(local, usable)| *local && *usable),
                source_ranges: BTreeSet::new(),
            }
        })
}

fn any_change() -> impl Strategy<Value = (u8, Option<WantedService>)> {
    (0..5_u8).prop_flat_map(|number| (Just(number), prop::option::weighted(0.8, any_service(number))))
}

fn any_state() -> impl Strategy<Value = State> {
    prop::collection::vec(any_change(), 0..5).prop_map(|services| {
        services
            .into_iter()
            .filter_map(|(number, service)| Some((name(&number.to_string()), service?)))
            .collect()
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => any_state().prop_map(Event::Replace),
        6 => prop::collection::vec(any_change(), 1..4).prop_map(|changes| {
            Event::Change(changes.into_iter().map(|(number, it)| (name(&number.to_string()), it)).collect())
        }),
        3 => (0..1500_u64).prop_map(Event::Wait),
        1 => (any_state(), 0.0..1.0).prop_map(|(state, share)| Event::Crash(state, share)),
    ]
}

/// A run of the agent over a model of the maps.
struct History {
    now: Instant,
    applied: Applied,
    model: Model,
    wanted: State,
    /// When each record was given up.
    retired: BTreeMap<u32, Instant>,
}

impl History {
    fn apply(&mut self, plan: &Plan) {
        assert_eq!(plan.problems, []);
        for step in &plan.steps {
            if let Action::WriteBackend { index, .. } = step.action
                && let Some(since) = self.retired.remove(&index.0)
            {
                assert!(
                    self.now - since >= GRACE,
                    "record {} reused within its grace period",
                    index.0
                );
            }
            if let Action::RetireBackend { index, .. } = step.action {
                self.retired.insert(index.0, self.now);
            }
        }
        self.model.apply(plan);
        self.model.assert_serves(&self.wanted);
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Replace(state) => {
                self.wanted.clone_from(&state);
                let plan = self.applied.replace(state);
                self.apply(&plan);
            }
            Event::Change(changes) => {
                for (name, change) in changes.clone() {
                    match change {
                        Some(service) => self.wanted.insert(name, service),
                        None => self.wanted.remove(&name),
                    };
                }
                let plan = self.applied.change(changes);
                self.apply(&plan);
            }
            Event::Wait(millis) => {
                self.now += Duration::from_millis(millis);
                let plan = self.applied.release(self.now);
                assert_eq!(plan, Plan::default());
            }
            Event::Crash(state, share) => {
                let plan = self.applied.replace(state);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    clippy::cast_precision_loss,
                    reason = "a share of a small number"
                )]
                let count = (plan.steps.len() as f64 * share) as usize;
                self.model.apply_some(&plan, count);
                self.retired.clear();
                self.applied = Applied::adopt(ROOMY, self.model.contents.clone());
                let plan = self.applied.replace(self.wanted.clone());
                self.apply(&plan);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_is_safe_at_every_step_and_ends_where_it_should(
        events in prop::collection::vec(any_event(), 1..16),
    ) {
        let mut history = History {
            now: Instant::now(),
            applied: Applied::new(ROOMY),
            model: Model::new(ROOMY),
            wanted: State::new(),
            retired: BTreeMap::new(),
        };
        for event in events {
            history.happens(event);
            let restarted = Applied::adopt(ROOMY, history.model.contents.clone()).replace(history.wanted.clone());
            prop_assert_eq!(restarted, Plan::default(), "a restart has nothing to do");
        }
    }

    #[test]
    fn tight_maps_never_overflow_and_serve_in_the_end(events in prop::collection::vec(any_event(), 1..16)) {
        let tight = Capacity { addresses: 3, frontends: 6, slots: 24, backends: 16 };
        let mut now = Instant::now();
        let mut applied = Applied::new(tight);
        let mut model = Model::new(tight);
        for event in events {
            let plan = match event {
                Event::Replace(state) | Event::Crash(state, _) => applied.replace(state),
                Event::Change(changes) => applied.change(changes),
                Event::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    applied.release(now)
                }
            };
            model.apply(&plan);
        }
        let small = wanted([("0", service(1, &[1, 2])), ("1", service(2, &[3]))]);
        model.apply(&applied.replace(small.clone()));
        for _ in 0..4 {
            now += GRACE;
            model.apply(&applied.release(now));
        }
        model.assert_serves(&small);
    }
}
