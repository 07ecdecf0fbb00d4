//! Bringing one service port from what the maps hold to what was allocated for it.

use std::sync::Arc;

use kproxy_common::{Frontend, FrontendFlags, FrontendKey, RangeSetId, ServiceId, maps};

use crate::model::Cidr;

use super::addresses::Addresses;
use super::applied::Applied;
use super::draft::{Draft, Name};
use super::frontends::{Frontends, Refusal};
use super::service::{AppliedService, Record, slots};
use super::staged::{Staged, Use};
use super::step::{Listener, ProblemKind};
use super::wanted::{BackendSet, Endpoint, WantedFrontend};

impl Applied {
    pub(super) fn install(&mut self, name: &Name, staged: Staged, draft: &mut Draft) {
        let Some(wanted) = self.wanted.get(name) else {
            return;
        };
        let mut service = match self.services.remove(name) {
            Some(service) => service,
            // Ids can not run out: every service ran out of frontends long before.
            None => Box::new(AppliedService::new(ServiceId(
                self.ids.take_one().unwrap_or_default(),
            ))),
        };
        for (endpoint, record) in &staged.endpoints {
            if service.endpoints.get(endpoint) != Some(record) {
                let backend = self.records.living(service.id, *endpoint, *record);
                draft.backends.push((record.index, (backend, Arc::clone(name))));
            }
        }
        for run in &staged.runs {
            if !service.runs.iter().any(|(present, _)| *present == run.0) {
                let content = slots(run, &staged.endpoints);
                draft.slots.push((run.0.base, (content, Arc::clone(name))));
            }
        }
        for (set, ranges) in staged.ranges.iter().filter(|set| !service.ranges.contains(set)) {
            let put = |range: &Cidr| ((*set, *range), Arc::clone(name));
            draft.ranges.extend(ranges.iter().map(put));
        }
        for (key, frontend) in &wanted.frontends {
            let cluster_ip = frontend.flags.contains(FrontendFlags::CLUSTER_IP);
            match service.owns(key) {
                Some(known) if known == cluster_ip => {}
                Some(_) => self.addresses.change_kind(key.address, cluster_ip),
                None => {
                    if let Err(refusal) =
                        claim_key(&mut self.frontends, &mut self.addresses, *key, cluster_ip, name)
                    {
                        draft.problem(Some(name), refusal);
                        self.troubled.insert(Arc::clone(name));
                        continue;
                    }
                }
            }
            service.own(*key, cluster_ip);
            self.frontends
                .set(*key, compose(*key, *frontend, service.id, &staged));
        }
        let Staged {
            endpoints,
            runs,
            ranges,
            ..
        } = staged;
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
        for set in std::mem::replace(&mut service.ranges, ranges.into_iter().collect()) {
            if !service.ranges.contains(&set) {
                self.quarantine.fresh.ranges.push(set);
            }
        }
        self.services.insert(Arc::clone(name), service);
    }

    pub(super) fn uninstall(&mut self, name: &Name, draft: &mut Draft) {
        if let Some(service) = self.services.remove(name) {
            self.bury(*service, Some(name), draft);
        }
    }

    /// Retires everything of a service whose frontends are gone.
    fn bury(&mut self, service: AppliedService, name: Option<&Name>, draft: &mut Draft) {
        let AppliedService {
            id,
            keys: _,
            endpoints,
            runs,
            ranges,
        } = service;
        for (endpoint, record) in endpoints {
            self.retire(id, endpoint, record, name, draft);
        }
        self.quarantine
            .fresh
            .runs
            .extend(runs.into_iter().map(|(run, _)| run));
        self.quarantine.fresh.ranges.extend(ranges);
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
        draft.retired.push((record.index, (backend, name.cloned())));
        self.quarantine.fresh.backends.push(record.index);
    }

    pub(super) fn drop_unclaimed(&mut self, draft: &mut Draft) {
        for (_, service) in std::mem::take(&mut self.unclaimed) {
            self.bury(service, None, draft);
        }
        for (id, endpoint, record) in std::mem::take(&mut self.orphans) {
            self.retire(id, endpoint, record, None, draft);
        }
        self.quarantine.fresh.ranges.extend(self.ranges.take_unclaimed());
        self.frontends.drop_unclaimed();
        self.addresses.drop_unclaimed();
    }
}

fn claim_key(
    frontends: &mut Frontends,
    addresses: &mut Addresses,
    key: FrontendKey,
    cluster_ip: bool,
    name: &Name,
) -> Result<(), ProblemKind> {
    let no_room = |map, entries| ProblemKind::NoRoomForFrontend {
        listener: Listener(key).to_string(),
        map,
        entries,
        option: "frontends",
    };
    match frontends.claim(key, name) {
        Ok(()) => {}
        Err(Refusal::Taken { owner }) => {
            return Err(ProblemKind::Taken {
                listener: Listener(key).to_string(),
                owner,
            });
        }
        Err(Refusal::Full) => return Err(no_room(maps::FRONTENDS, frontends.capacity())),
    }
    if addresses.claim(key.address, cluster_ip) {
        return Ok(());
    }
    frontends.release(key);
    Err(no_room(maps::ADDRESSES, addresses.capacity()))
}

/// A frontend with what was allocated for its service.
fn compose(key: FrontendKey, wanted: WantedFrontend, service: ServiceId, staged: &Staged) -> Frontend {
    let WantedFrontend {
        mut flags,
        affinity_seconds,
        inside,
        outside,
        restricted,
    } = wanted;
    flags.set(FrontendFlags::INSIDE_LOCAL, inside == BackendSet::Local);
    flags.set(FrontendFlags::OUTSIDE_LOCAL, outside == BackendSet::Local);
    // A restricted frontend was staged with a set.
    let ranges = staged.ranges.as_ref().filter(|_| restricted);
    Frontend {
        service,
        flags,
        affinity_seconds,
        ranges: ranges.map_or(RangeSetId::EVERYBODY, |(set, _)| *set),
        inside: staged.run(Use::inside(&wanted)),
        outside: staged.run(Use::outside(&wanted)),
        check: key.check(),
        padding: 0,
    }
}
