//! A plan while it is written: one sorted collection per phase.

use std::collections::BTreeMap;
use std::sync::Arc;

use kproxy_common::{Address, AddressRole, Backend, BackendIndex, Frontend, FrontendKey};

use super::step::{Action, Plan, Problem, ProblemKind, Step};
use super::wanted::ServicePortName;

/// For whom a step is.
pub(super) type Name = Arc<ServicePortName>;

/// The phases in their order. Ordered maps inside each phase make the plan deterministic.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) backends: BTreeMap<BackendIndex, (Backend, Name)>,
    pub(super) slots: BTreeMap<u32, (Vec<BackendIndex>, Name)>,
    pub(super) addresses: BTreeMap<Address, AddressRole>,
    pub(super) frontends: BTreeMap<FrontendKey, (Frontend, Name)>,
    pub(super) gone_frontends: BTreeMap<FrontendKey, Option<Name>>,
    pub(super) gone_addresses: Vec<Address>,
    pub(super) retired: BTreeMap<BackendIndex, (Backend, Option<Name>)>,
    problems: Vec<Problem>,
}

impl Draft {
    pub(super) fn problem(&mut self, service: &Name, kind: ProblemKind) {
        self.problems.push(Problem {
            service: Arc::clone(service),
            kind,
        });
    }

    pub(super) fn finish(self) -> Plan {
        let Self {
            backends,
            slots,
            addresses,
            frontends,
            gone_frontends,
            gone_addresses,
            retired,
            mut problems,
        } = self;
        let step = |action, service| Step { action, service };
        let mut steps = Vec::new();
        steps.extend(
            backends
                .into_iter()
                .map(|(index, (backend, name))| step(Action::WriteBackend { index, backend }, Some(name))),
        );
        steps.extend(
            slots
                .into_iter()
                .map(|(base, (slots, name))| step(Action::WriteSlots { base, slots }, Some(name))),
        );
        steps.extend(
            addresses
                .into_iter()
                .map(|(address, role)| step(Action::PutAddress { address, role }, None)),
        );
        steps.extend(
            frontends
                .into_iter()
                .map(|(key, (frontend, name))| step(Action::PutFrontend { key, frontend }, Some(name))),
        );
        steps.extend(
            gone_frontends
                .into_iter()
                .map(|(key, name)| step(Action::RemoveFrontend { key }, name)),
        );
        steps.extend(
            gone_addresses
                .into_iter()
                .map(|address| step(Action::RemoveAddress { address }, None)),
        );
        steps.extend(
            retired
                .into_iter()
                .map(|(index, (backend, name))| step(Action::RetireBackend { index, backend }, name)),
        );
        problems.sort();
        Plan { steps, problems }
    }
}
