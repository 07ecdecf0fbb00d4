//! Rebuilding the mirror from what pinned maps hold, after a restart.

use kproxy_common::{
    Backend, BackendFlags, BackendIndex, Frontend, FrontendFlags, FrontendKey, RangeSetId, ServiceId, SlotRun,
};

use super::addresses::Addresses;
use super::applied::Applied;
use super::contents::{Capacity, MapContents};
use super::node::Node;
use super::ranges::Ranges;
use super::service::{AppliedService, Record, members};
use super::wanted::Endpoint;

impl Applied {
    /// What the maps hold after a restart. To be followed by [`Applied::replace`] or [`Applied::settle`], which keep
    /// what is wanted still and remove the rest.
    ///
    /// Nothing is believed that does not add up (a run outside the arena or overlapping another one, a backend of another
    /// service): such a frontend is written anew or removed.
    #[must_use]
    pub fn adopt(capacity: Capacity, mut contents: MapContents) -> Self {
        let node = Node::new(&mut contents);
        let MapContents {
            addresses,
            frontends,
            slots,
            backends,
            source_ranges,
            service_cidrs: _,
            node_addresses: _,
            pod_ranges: _,
            devices: _,
            vlans: _,
        } = contents;
        let mut applied = Self::bare(
            capacity,
            Addresses::new(capacity.addresses, addresses),
            node,
            Ranges::new(capacity.source_ranges, source_ranges),
        );
        let backends = &backends[..backends.len().min(capacity.backends as usize)];
        applied.adopt_backends(backends);
        for (key, frontend) in frontends {
            let trusted = applied.adopt_frontend(key, frontend, &slots, backends);
            applied.frontends.adopt(key, trusted.then_some(frontend));
        }
        applied
    }

    fn adopt_backends(&mut self, backends: &[Backend]) {
        for (number, backend) in (0..).zip(backends).skip(1) {
            let &Backend {
                address,
                port,
                flags,
                generation,
                service,
                epoch,
            } = backend;
            let index = BackendIndex(number);
            self.records.adopt(index, generation);
            if !flags.contains(BackendFlags::ALIVE) || !self.records.free.reserve(one(number)) {
                continue;
            }
            let (endpoint, record) = (Endpoint { address, port }, Record { index, flags, epoch });
            // A record of no service, or a second one for the same endpoint, is of no use to anybody.
            let useless = match self.unclaimed_service(service) {
                Some(owner) => owner.endpoints.insert(endpoint, record),
                None => Some(record),
            };
            if let Some(record) = useless {
                self.orphans.push((service, endpoint, record));
            }
        }
    }

    /// Whether everything about the frontend adds up; if so, its service has it and its runs.
    fn adopt_frontend(
        &mut self,
        key: FrontendKey,
        frontend: Frontend,
        slots: &[BackendIndex],
        backends: &[Backend],
    ) -> bool {
        let Frontend {
            service,
            flags,
            ranges,
            padding: _,
            affinity_seconds: _,
            inside,
            outside,
            check,
        } = frontend;
        let trusted = check == key.check()
            && self.unclaimed_service(service).is_some()
            && self.adopt_ranges(ranges, service)
            && self.adopt_run(inside, service, slots, backends)
            && self.adopt_run(outside, service, slots, backends);
        if trusted && let Some(owner) = self.unclaimed_service(service) {
            owner.own(key, flags.contains(FrontendFlags::CLUSTER_IP));
        }
        trusted
    }

    /// Whether the set of source ranges is no other service's; if so, the service has it.
    fn adopt_ranges(&mut self, set: RangeSetId, service: ServiceId) -> bool {
        let Some(owner) = self.unclaimed.get_mut(&service) else {
            return false;
        };
        if set == RangeSetId::EVERYBODY || owner.ranges.iter().any(|(held, _)| *held == set) {
            return true;
        }
        let adopted = self.ranges.adopt(set);
        let found = adopted.is_some();
        owner.ranges.extend(adopted);
        found
    }

    /// Whether the run holds living backends of the service and overlaps no other run; if so, the service has it.
    fn adopt_run(
        &mut self,
        run: SlotRun,
        service: ServiceId,
        slots: &[BackendIndex],
        backends: &[Backend],
    ) -> bool {
        let SlotRun { base, count } = run;
        if count == 0 {
            return true;
        }
        let end = (base as usize)
            .saturating_add(count as usize)
            .min(self.capacity.slots as usize);
        let Some(content) = slots
            .get(base as usize..end)
            .filter(|held| held.len() == count as usize)
        else {
            return false;
        };
        let belongs = |index: &BackendIndex| {
            let backend = backends.get(index.0 as usize).filter(|_| index.0 != 0);
            backend.is_some_and(|it| it.flags.contains(BackendFlags::ALIVE) && it.service == service)
        };
        if !content.iter().all(belongs) {
            return false;
        }
        let free = self.slots.reserve(run);
        let Some(owner) = self.unclaimed_service(service) else {
            return false;
        };
        let shared = owner.runs.iter().any(|(held, _)| *held == run);
        if free {
            owner.runs.push((run, members(run, content, &owner.endpoints)));
        }
        free || shared
    }

    /// The adopted service with this id; `None` for an id that was never given out.
    fn unclaimed_service(&mut self, id: ServiceId) -> Option<&mut AppliedService> {
        if self.unclaimed.contains_key(&id) || self.ids.reserve(one(id.0)) {
            return Some(
                self.unclaimed
                    .entry(id)
                    .or_insert_with(|| AppliedService::new(id)),
            );
        }
        None
    }
}

fn one(number: u32) -> SlotRun {
    SlotRun {
        base: number,
        count: 1,
    }
}
