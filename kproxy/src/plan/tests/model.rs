//! The maps as ordered collections: does one step at a time and looks at what a packet would meet.

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{AddressRole, Backend, BackendFlags, BackendIndex, FrontendKey, SlotRun};

use super::super::wanted::{BackendSet, Endpoint, ServicePortName, WantedService};
use super::super::{Action, Capacity, MapContents, Plan};

/// What a packet to a frontend meets: flags, affinity, and endpoints for clients inside and outside.
pub(super) type View = (u32, u32, BTreeSet<Endpoint>, BTreeSet<Endpoint>);

pub(super) struct Model {
    capacity: Capacity,
    pub(super) contents: MapContents,
}

impl Model {
    pub(super) fn new(capacity: Capacity) -> Self {
        let backends = vec![bytemuck::Zeroable::zeroed(); capacity.backends as usize];
        let slots = vec![BackendIndex(0); capacity.slots as usize];
        Self {
            capacity,
            contents: MapContents {
                slots,
                backends,
                ..MapContents::default()
            },
        }
    }

    /// Applies a plan and holds, after every single step, that each frontend is in its old or its new state, that all
    /// its backends are alive and its own, that its gate is open, and that no map overflows.
    pub(super) fn apply(&mut self, plan: &Plan) {
        self.apply_some(plan, plan.steps.len());
    }

    /// The same for the first `count` steps only: a crash.
    pub(super) fn apply_some(&mut self, plan: &Plan, count: usize) {
        let before = self.view();
        let mut states = vec![];
        for step in &plan.steps[..count] {
            self.step(&step.action);
            states.push(self.view());
        }
        if count < plan.steps.len() {
            return;
        }
        let after = self.view();
        for (state, step) in states.iter().zip(&plan.steps) {
            for key in before.keys().chain(after.keys()) {
                let now = state.get(key);
                assert!(
                    now == before.get(key) || now == after.get(key),
                    "half a change of {key:?} after {step}"
                );
            }
        }
    }

    /// Does a step without looking at what was there before, which may be nonsense.
    pub(super) fn force(&mut self, action: &Action) {
        let MapContents {
            addresses,
            frontends,
            slots,
            backends,
        } = &mut self.contents;
        match action.clone() {
            Action::PutSourceRange { .. }
            | Action::RemoveSourceRange { .. }
            | Action::WriteServiceCidr { .. }
            | Action::WriteNodeAddress { .. } => {}
            Action::WriteBackend { index, backend } | Action::RetireBackend { index, backend } => {
                backends[index.0 as usize] = backend;
            }
            Action::WriteSlots { base, slots: written } => {
                slots[base as usize..base as usize + written.len()].copy_from_slice(&written);
            }
            Action::PutAddress { address, role } => drop(addresses.insert(address, role)),
            Action::PutFrontend { key, frontend } => drop(frontends.insert(key, frontend)),
            Action::RemoveFrontend { key } => drop(frontends.remove(&key)),
            Action::RemoveAddress { address } => drop(addresses.remove(&address)),
        }
    }

    fn step(&mut self, action: &Action) {
        let MapContents {
            addresses,
            frontends,
            backends,
            ..
        } = &self.contents;
        match action {
            Action::WriteBackend { index, backend } => {
                let old = backends[index.0 as usize];
                assert!(index.0 != 0 && backend.flags.contains(BackendFlags::ALIVE));
                assert_eq!(
                    old.generation, backend.generation,
                    "a living record keeps its generation"
                );
                if old.flags.contains(BackendFlags::ALIVE) {
                    assert_eq!(
                        Backend {
                            flags: backend.flags,
                            ..old
                        },
                        *backend,
                        "only flags change in place"
                    );
                }
            }
            Action::WriteSlots { base, slots } => {
                let run = SlotRun {
                    base: *base,
                    count: u32::try_from(slots.len()).unwrap(),
                };
                for frontend in frontends.values() {
                    assert!(
                        apart(run, frontend.inside) && apart(run, frontend.outside),
                        "run in use"
                    );
                }
            }
            Action::RetireBackend { index, backend } => {
                assert_eq!(backends[index.0 as usize].generation.0 + 1, backend.generation.0);
                assert!(!backend.flags.contains(BackendFlags::ALIVE));
            }
            Action::RemoveFrontend { key } => assert!(frontends.contains_key(key)),
            Action::RemoveAddress { address } => assert!(addresses.contains_key(address)),
            Action::PutAddress { .. }
            | Action::PutFrontend { .. }
            | Action::PutSourceRange { .. }
            | Action::RemoveSourceRange { .. }
            | Action::WriteServiceCidr { .. }
            | Action::WriteNodeAddress { .. } => {}
        }
        self.force(action);
        let MapContents {
            addresses, frontends, ..
        } = &self.contents;
        assert!(frontends.len() <= self.capacity.frontends as usize);
        assert!(addresses.len() <= self.capacity.addresses as usize);
    }

    /// What packets meet at each frontend. Fails if one of them meets something that is not there.
    pub(super) fn view(&self) -> BTreeMap<FrontendKey, View> {
        let resolve = |key: &FrontendKey, run: SlotRun, service| {
            let slots = &self.contents.slots[run.base as usize..(run.base + run.count) as usize];
            let endpoints = slots.iter().map(|index| {
                let backend = self.contents.backends[index.0 as usize];
                assert!(
                    backend.flags.contains(BackendFlags::ALIVE),
                    "{key:?} points at a dead record"
                );
                assert_eq!(
                    backend.service, service,
                    "{key:?} points at another service's record"
                );
                Endpoint {
                    address: backend.address,
                    port: backend.port,
                }
            });
            endpoints.collect()
        };
        let frontends = self.contents.frontends.iter().map(|(key, frontend)| {
            let role = self.contents.addresses.get(&key.address);
            assert_eq!(role, Some(&AddressRole::SERVICE), "the gate of {key:?} is closed");
            let inside = resolve(key, frontend.inside, frontend.service);
            let outside = resolve(key, frontend.outside, frontend.service);
            (
                *key,
                (frontend.flags.bits(), frontend.affinity_seconds, inside, outside),
            )
        });
        frontends.collect()
    }

    /// Holds that the maps say what is wanted and nothing else.
    pub(super) fn assert_serves(&self, wanted: &BTreeMap<ServicePortName, WantedService>) {
        let set = |service: &WantedService, set: BackendSet| service.set(set).iter().copied().collect();
        let mut expected = BTreeMap::new();
        let mut living = Vec::new();
        for service in wanted.values() {
            for (key, it) in &service.frontends {
                let view: View = (
                    it.flags.bits(),
                    it.affinity_seconds,
                    set(service, it.inside),
                    set(service, it.outside),
                );
                expected.insert(*key, view);
            }
            living.extend(
                service
                    .endpoints
                    .iter()
                    .map(|(endpoint, flags)| (*endpoint, *flags | BackendFlags::ALIVE)),
            );
        }
        assert_eq!(self.view(), expected);
        let addresses: BTreeSet<_> = expected.keys().map(|key| key.address).collect();
        let gates: BTreeSet<_> = self.contents.addresses.keys().copied().collect();
        assert!(gates.is_superset(&addresses));
        assert!(
            gates.len() == addresses.len() || gates.len() <= self.capacity.addresses as usize / 2,
            "gates of former addresses stay open only while there is room"
        );
        living.sort();
        let mut found: Vec<_> = self
            .living()
            .map(|it| {
                (
                    Endpoint {
                        address: it.address,
                        port: it.port,
                    },
                    it.flags,
                )
            })
            .collect();
        found.sort();
        assert_eq!(found, living);
    }

    fn living(&self) -> impl Iterator<Item = &Backend> {
        self.contents
            .backends
            .iter()
            .filter(|backend| backend.flags.contains(BackendFlags::ALIVE))
    }
}

fn apart(a: SlotRun, b: SlotRun) -> bool {
    a.count == 0 || b.count == 0 || a.base + a.count <= b.base || b.base + b.count <= a.base
}
