//! Bringing one service port from what the maps hold to what was allocated for it.

use std::sync::Arc;

use kproxy_common::{Frontend, FrontendKey, RangeSetId, ServiceId, maps};

use super::addresses::Addresses;
use super::applied::Applied;
use super::draft::{Draft, Name};
use super::frontends::{Frontends, Refusal};
use super::service::{AppliedService, Record, Staged};
use super::step::{Listener, ProblemKind};
use super::wanted::{Endpoint, WantedFrontend};

impl Applied {
    pub(super) fn install(&mut self, name: &Name, staged: Staged, draft: &mut Draft) {
        let Some(wanted) = self.wanted.get(name) else {
            return;
        };
        let mut service = match self.services.remove(name) {
            Some(service) => service,
            // Ids can not run out: every service ran out of frontends long before.
            None => AppliedService::new(ServiceId(self.ids.take_one().unwrap_or_default())),
        };
        for (endpoint, record) in &staged.endpoints {
            if service.endpoints.get(endpoint) != Some(record) {
                let backend = self.records.living(service.id, *endpoint, *record);
                draft.backends.insert(record.index, (backend, Arc::clone(name)));
            }
        }
        for (run, content) in &staged.runs {
            if !service.runs.iter().any(|(present, _)| present == run) {
                draft.slots.insert(run.base, (content.clone(), Arc::clone(name)));
            }
        }
        for (key, frontend) in &wanted.frontends {
            if !service.keys.contains(key) {
                if let Err(refusal) = claim_key(&mut self.frontends, &mut self.addresses, *key, name) {
                    draft.problem(name, refusal);
                    self.troubled.insert(Arc::clone(name));
                    continue;
                }
                service.keys.insert(*key);
            }
            let WantedFrontend {
                flags,
                affinity_seconds,
                inside,
                outside,
                restricted: _,
            } = *frontend;
            let (inside, outside) = (staged.run(inside), staged.run(outside));
            self.frontends.set(
                *key,
                Frontend {
                    service: service.id,
                    flags,
                    affinity_seconds,
                    ranges: RangeSetId::EVERYBODY,
                    inside,
                    outside,
                    check: key.check(),
                    padding: 0,
                },
            );
        }
        let Staged { endpoints, runs, .. } = staged;
        for (endpoint, record) in std::mem::replace(&mut service.endpoints, endpoints) {
            if !service.endpoints.contains_key(&endpoint) {
                self.retire(service.id, endpoint, record, Some(name), draft);
            }
        }
        for (run, _) in std::mem::replace(&mut service.runs, runs) {
            if !service.runs.iter().any(|(kept, _)| *kept == run) {
                self.quarantine.fresh.runs.push(run);
            }
        }
        self.services.insert(Arc::clone(name), service);
    }

    pub(super) fn uninstall(&mut self, name: &Name, draft: &mut Draft) {
        if let Some(service) = self.services.remove(name) {
            self.bury(service, Some(name), draft);
        }
    }

    /// Retires everything of a service whose frontends are gone.
    fn bury(&mut self, service: AppliedService, name: Option<&Name>, draft: &mut Draft) {
        let AppliedService {
            id,
            keys: _,
            endpoints,
            runs,
        } = service;
        for (endpoint, record) in endpoints {
            self.retire(id, endpoint, record, name, draft);
        }
        self.quarantine
            .fresh
            .runs
            .extend(runs.into_iter().map(|(run, _)| run));
        self.quarantine.fresh.services.push(id);
    }

    fn retire(
        &mut self,
        id: ServiceId,
        endpoint: Endpoint,
        record: Record,
        name: Option<&Name>,
        draft: &mut Draft,
    ) {
        let backend = self.records.retire(id, endpoint, record);
        draft.retired.insert(record.index, (backend, name.cloned()));
        self.quarantine.fresh.backends.push(record.index);
    }

    pub(super) fn drop_unclaimed(&mut self, draft: &mut Draft) {
        for (_, service) in std::mem::take(&mut self.unclaimed) {
            self.bury(service, None, draft);
        }
        for (id, endpoint, record) in std::mem::take(&mut self.orphans) {
            self.retire(id, endpoint, record, None, draft);
        }
        self.frontends.drop_unclaimed();
        self.addresses.drop_unclaimed();
    }
}

fn claim_key(
    frontends: &mut Frontends,
    addresses: &mut Addresses,
    key: FrontendKey,
    name: &Name,
) -> Result<(), ProblemKind> {
    let listener = || Listener(key).to_string();
    match frontends.claim(key, name) {
        Ok(()) => {}
        Err(Refusal::Taken { owner }) => {
            return Err(ProblemKind::Taken {
                listener: listener(),
                owner,
            });
        }
        Err(Refusal::Full) => {
            return Err(ProblemKind::NoRoomForFrontend {
                listener: listener(),
                map: maps::FRONTENDS,
                entries: frontends.capacity(),
                option: "frontends",
            });
        }
    }
    if addresses.claim(key.address) {
        return Ok(());
    }
    frontends.release(key);
    Err(ProblemKind::NoRoomForFrontend {
        listener: listener(),
        map: maps::ADDRESSES,
        entries: addresses.capacity(),
        option: "frontends",
    })
}
