//! Random histories.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use kproxy_common::RangeSetId;

use super::super::{Action, Applied, GRACE, Step};
use super::model::Model;
use super::*;

type State = BTreeMap<ServicePortName, WantedService>;

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    Replace(State),
    Change(BTreeMap<ServicePortName, Option<WantedService>>),
    Place(WantedNode),
    Wait(u64),
    /// The agent dies after this share of the steps towards the state and starts again.
    Crash(State, f64),
    /// The same, but it finds out by itself and goes on.
    Heal(State, f64),
}

fn any_frontend() -> impl Strategy<Value = WantedFrontend> {
    let sets = prop_oneof![Just(BackendSet::Cluster), Just(BackendSet::Local)];
    let kinds = prop_oneof![
        Just(FrontendFlags::CLUSTER_IP),
        Just(FrontendFlags::CLUSTER_IP),
        Just(FrontendFlags::LOAD_BALANCER),
    ];
    let restricted = prop::bool::weighted(0.3);
    (kinds, 0..2_u32, sets.clone(), sets, restricted).prop_map(
        |(flags, affinity_seconds, inside, outside, restricted)| WantedFrontend {
            flags,
            affinity_seconds,
            inside,
            outside,
            restricted,
        },
    )
}

/// A frontend's address, or `None` for a `NodePort`.
fn frontend_key(address: Option<u8>, service: u8) -> FrontendKey {
    // Services share addresses but not ports.
    let port = u16::from(service);
    match address {
        Some(address) => key(address, 1000 + port),
        None => FrontendKey {
            address: Address::unspecified(Family::V4),
            ..key(0, 30_000 + port)
        },
    }
}

fn any_service(number: u8) -> impl Strategy<Value = WantedService> {
    let keys = prop::option::weighted(0.9, 0..3_u8).prop_map(move |address| frontend_key(address, number));
    let ranges = prop_oneof![
        Just("10.0.0.0/8"),
        Just("10.1.0.0/16"),
        Just("192.0.2.0/24"),
        Just("0.0.0.0/1")
    ];
    (
        prop::collection::btree_map(keys, any_frontend(), 1..4),
        prop::collection::btree_map(0..12_u8, (any::<bool>(), any::<bool>()), 0..8),
        prop::collection::btree_set(ranges.prop_map(cidr), 0..3),
    )
        .prop_map(|(mut frontends, endpoints, source_ranges)| {
            for (key, frontend) in &mut frontends {
                if key.address.is_unspecified() {
                    frontend.flags = FrontendFlags::NODE_PORT;
                }
            }
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
                source_ranges,
            }
        })
}

fn any_node() -> impl Strategy<Value = WantedNode> {
    let addresses = || prop::collection::btree_set((0..16_u8).prop_map(address), 0..5);
    let ranges = (0..16_u8, 28..=32_u8).prop_map(|(host, length)| cidr(&format!("10.96.0.{host}/{length}")));
    (
        addresses(),
        addresses(),
        prop::collection::btree_set(ranges, 0..6),
        prop::option::of((0..16_u8).prop_map(address)),
    )
        .prop_map(
            |(node_port_addresses, bound, service_cidrs, primary)| WantedNode {
                node_port_addresses,
                bound,
                primary: primary.map(|address| (Family::V4, address)).into_iter().collect(),
                service_cidrs,
            },
        )
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
        3 => any_node().prop_map(Event::Place),
        3 => (0..1500_u64).prop_map(Event::Wait),
        1 => (any_state(), 0.0..1.0).prop_map(|(state, share)| Event::Crash(state, share)),
        1 => (any_state(), 0.0..1.0).prop_map(|(state, share)| Event::Heal(state, share)),
    ]
}

/// A run of the agent over a model of the maps.
struct History {
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
    fn new() -> Self {
        Self {
            now: Instant::now(),
            applied: Applied::new(ROOMY),
            model: Model::new(ROOMY),
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
                _ => {}
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
                for (name, change) in changes.clone() {
                    match change {
                        Some(service) => self.wanted.insert(name, service),
                        None => self.wanted.remove(&name),
                    };
                }
                let plan = self.applied.change(changes);
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
                self.applied = Applied::adopt(ROOMY, self.model.contents.clone());
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

    /// What a restart would do.
    fn restarted(&self) -> [Plan; 2] {
        let mut applied = Applied::adopt(ROOMY, self.model.contents.clone());
        [
            applied.replace(self.wanted.clone()),
            applied.place(self.node.clone()),
        ]
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_is_safe_at_every_step_and_ends_where_it_should(
        events in prop::collection::vec(any_event(), 1..16),
    ) {
        let mut history = History::new();
        for event in events {
            history.happens(event);
            prop_assert_eq!(history.restarted(), [Plan::default(), Plan::default()], "a restart has nothing to do");
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
