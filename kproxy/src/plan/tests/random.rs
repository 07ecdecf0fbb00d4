//! Random histories.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use kproxy_common::RangeSetId;

use super::super::{Action, Applied, GRACE, Step};
use super::any::{Event, State, any_event};
use super::model::Model;
use super::*;

/// A run of the agent over a model of the maps.
struct History {
    capacity: Capacity,
    now: Instant,
    applied: Applied,
    model: Model,
    wanted: State,
    node: WantedNode,
    /// When each record was given up.
    retired: BTreeMap<u32, Instant>,
    /// When each set of source ranges lost its last frontend.
    left: BTreeMap<RangeSetId, Instant>,
}

impl History {
    fn new(capacity: Capacity) -> Self {
        Self {
            capacity,
            now: Instant::now(),
            applied: Applied::new(capacity),
            model: Model::new(capacity),
            wanted: State::new(),
            node: WantedNode::default(),
            retired: BTreeMap::new(),
            left: BTreeMap::new(),
        }
    }

    fn apply(&mut self, plan: &Plan) {
        assert_eq!(plan.problems, []);
        for step in &plan.steps {
            match &step.action {
                Action::WriteBackend { index, .. } => {
                    if let Some(since) = self.retired.remove(&index.0) {
                        let rested = self.now - since;
                        assert!(
                            rested >= GRACE,
                            "record {} reused within its grace period",
                            index.0
                        );
                    }
                }
                Action::RetireBackend { index, .. } => drop(self.retired.insert(index.0, self.now)),
                Action::RemoveSourceRange { set, .. } => {
                    let rested = self.left.get(set).map(|since| self.now - *since);
                    assert!(
                        rested >= Some(GRACE),
                        "set {set:?} removed within its grace period"
                    );
                }
                Action::WriteSlots { .. }
                | Action::PutSourceRange { .. }
                | Action::WriteServiceCidr { .. }
                | Action::WriteNodeAddress { .. }
                | Action::WritePodRange { .. }
                | Action::PutDevice { .. }
                | Action::RemoveDevice { .. }
                | Action::PutVlan { .. }
                | Action::RemoveVlan { .. }
                | Action::PutAddress { .. }
                | Action::PutFrontend { .. }
                | Action::RemoveFrontend { .. }
                | Action::RemoveAddress { .. } => {}
            }
        }
        self.model.apply(plan);
        self.note_sets();
        self.model.assert_serves(&self.wanted);
        self.model.assert_placed(&self.node, &self.wanted);
    }

    fn note_sets(&mut self) {
        let frontends = &self.model.contents.frontends;
        let used: BTreeSet<_> = frontends.values().map(|frontend| frontend.ranges).collect();
        let all = self.model.contents.source_ranges.keys();
        let left = all.filter(|set| !used.contains(set));
        let since = |set: &RangeSetId| (*set, self.left.get(set).copied().unwrap_or(self.now));
        self.left = left.map(since).collect();
    }

    fn fail(&mut self, state: State, share: f64) {
        let plan = self.applied.replace(state);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a small number"
        )]
        let count = (plan.steps.len() as f64 * share) as usize;
        self.model.apply_some(&plan, count);
        self.note_sets();
        self.retired.clear();
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Replace(state) => {
                self.wanted.clone_from(&state);
                let plan = self.applied.replace(state);
                self.apply(&plan);
            }
            Event::Change(changes) => {
                let mut concerned = self.addresses(changes.keys());
                for (name, change) in changes.clone() {
                    match change {
                        Some(service) => self.wanted.insert(name, service),
                        None => self.wanted.remove(&name),
                    };
                }
                concerned.extend(self.addresses(changes.keys()));
                let plan = self.applied.change(changes.clone());
                for step in &plan.steps {
                    let of_these = match (&step.service, &step.action) {
                        (Some(service), _) => changes.contains_key(&**service),
                        (None, Action::PutAddress { address, .. }) => concerned.contains(address),
                        (None, _) => false,
                    };
                    assert!(of_these, "{step} is nothing that has changed");
                }
                self.apply(&plan);
            }
            Event::Place(node) => {
                self.node.clone_from(&node);
                let plan = self.applied.place(node);
                self.apply(&plan);
            }
            Event::Wait(millis) => {
                self.now += Duration::from_millis(millis);
                let plan = self.applied.release(self.now);
                let removes = |step: &Step| matches!(step.action, Action::RemoveSourceRange { .. });
                assert!(plan.steps.iter().all(removes), "{plan:?}");
                self.apply(&plan);
            }
            Event::Crash(state, share) => {
                self.fail(state, share);
                self.applied = Applied::adopt(self.capacity, self.model.contents.clone());
                let plan = self.applied.replace(self.wanted.clone());
                self.model.apply(&plan);
                let plan = self.applied.place(self.node.clone());
                self.apply(&plan);
            }
            Event::Heal(state, share) => {
                self.fail(state.clone(), share);
                self.wanted = state;
                let plan = self.applied.heal(self.model.contents.clone());
                self.apply(&plan);
            }
        }
    }

    /// Where services are served.
    fn addresses<'a>(&self, names: impl Iterator<Item = &'a ServicePortName>) -> BTreeSet<Address> {
        let services = names.filter_map(|name| self.wanted.get(name));
        let keys = services.flat_map(|service| service.frontends.keys());
        keys.map(|key| key.address).collect()
    }

    /// What a restart would do.
    fn restarted(&self) -> [Vec<Step>; 2] {
        let mut applied = Applied::adopt(self.capacity, self.model.contents.clone());
        [
            applied.replace(self.wanted.clone()).steps,
            applied.place(self.node.clone()).steps,
        ]
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_is_safe_at_every_step_and_ends_where_it_should(
        events in prop::collection::vec(any_event(), 1..16),
    ) {
        let mut history = History::new(ROOMY);
        for event in events {
            history.happens(event);
            prop_assert_eq!(history.restarted(), [vec![], vec![]], "a restart has nothing to do");
        }
    }

    #[test]
    fn tight_maps_never_overflow_and_serve_in_the_end(events in prop::collection::vec(any_event(), 1..16)) {
        let tight = Capacity { addresses: 3, frontends: 6, slots: 24, backends: 16, source_ranges: 4 };
        let mut now = Instant::now();
        let mut applied = Applied::new(tight);
        let mut model = Model::new(tight);
        for event in events {
            let plan = match event {
                Event::Replace(state) | Event::Crash(state, _) => applied.replace(state),
                Event::Heal(..) => applied.heal(model.contents.clone()),
                Event::Place(node) => applied.place(node),
                Event::Change(changes) => applied.change(changes),
                Event::Wait(millis) => {
                    now += Duration::from_millis(millis);
                    applied.release(now)
                }
            };
            model.apply(&plan);
        }
        let small = wanted([("0", service(1, &[1, 2])), ("1", service(2, &[3]))]);
        model.apply(&applied.place(WantedNode::default()));
        model.apply(&applied.replace(small.clone()));
        for _ in 0..4 {
            now += GRACE;
            model.apply(&applied.release(now));
        }
        model.assert_serves(&small);
    }
}

/// The same state, and clients outside of frontends with affinity are balanced by their hash.
fn hashed(event: Event) -> Event {
    let hash = |service: &mut WantedService| {
        let frontends = service.frontends.values_mut();
        for frontend in frontends.filter(|frontend| frontend.affinity_seconds > 0) {
            frontend.flags |= FrontendFlags::MAGLEV;
        }
    };
    match event {
        Event::Replace(mut state) => {
            state.values_mut().for_each(hash);
            Event::Replace(state)
        }
        Event::Crash(mut state, share) => {
            state.values_mut().for_each(hash);
            Event::Crash(state, share)
        }
        Event::Heal(mut state, share) => {
            state.values_mut().for_each(hash);
            Event::Heal(state, share)
        }
        Event::Change(mut changes) => {
            changes.values_mut().flatten().for_each(hash);
            Event::Change(changes)
        }
        Event::Place(_) | Event::Wait(_) => event,
    }
}

proptest! {
    // Fewer, since the model looks at every slot of a table after every step.
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_with_tables_is_safe_as_well(events in prop::collection::vec(any_event(), 1..12)) {
        let mut history = History::new(Capacity { slots: 1 << 17, ..ROOMY });
        for event in events {
            history.happens(hashed(event));
            prop_assert_eq!(history.restarted(), [vec![], vec![]], "a restart has nothing to do");
        }
    }
}
