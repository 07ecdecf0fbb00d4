//! Allocating for services before anything of them is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kproxy_common::{FrontendKey, ServiceId, maps};

use super::applied::Applied;
use super::draft::{Draft, Name};
use super::frontends::Frontends;
use super::kept::Kept;
use super::service::AppliedService;
use super::staged::{Full, Staged};
use super::step::ProblemKind;
use super::wanted::WantedService;

impl Applied {
    /// Allocates for every service before anything is touched, so that one without room stays as it is.
    pub(super) fn stage(&mut self, dirty: BTreeSet<Name>, draft: &mut Draft) -> Vec<(Name, Option<Staged>)> {
        let mut all = Vec::new();
        for name in dirty {
            self.troubled.remove(&name);
            let wanted = self.wanted.get(&name);
            let Some(wanted) = wanted.filter(|wanted| wanted.left_alone.is_none()) else {
                self.kept.remove(&name);
                all.push((name, None));
                continue;
            };
            if !self.services.contains_key(&name)
                && let Some(found) = claim(&self.frontends, &mut self.unclaimed, wanted)
            {
                for (key, cluster_ip) in found.keys() {
                    self.frontends.inherit(*key, &name);
                    self.addresses.inherit(key.address, *cluster_ip);
                }
                if !self.settled {
                    self.kept.insert(Arc::clone(&name), Kept::of(&found));
                }
                self.services.insert(Arc::clone(&name), Box::new(found));
            }
            let all_wanted = self.kept.get_mut(&name).map(|kept| kept.add_to(wanted));
            match Staged::allocate(
                all_wanted.as_ref().unwrap_or(wanted),
                self.services.get(&name).map(|service| &**service),
                &mut self.records,
                &mut self.slots,
                &mut self.ranges,
            ) {
                Ok(staged) => {
                    if let Some(slots) = staged.no_room_for {
                        let (map, entries) = (maps::SLOTS, self.capacity.slots);
                        let kind = ProblemKind::NoRoomForTable { slots, map, entries };
                        draft.problem(Some(&name), kind);
                        self.troubled.insert(Arc::clone(&name));
                    }
                    all.push((name, Some(staged)));
                }
                Err(full) => {
                    draft.problem(Some(&name), self.no_room(full));
                    self.troubled.insert(name);
                }
            }
        }
        all
    }

    fn no_room(&self, full: Full) -> ProblemKind {
        let (map, entries, option) = match full {
            Full::SourceRanges => {
                return ProblemKind::NoRoomForSourceRanges {
                    map: maps::SOURCE_RANGES,
                    entries: self.capacity.source_ranges,
                    option: "source-ranges",
                };
            }
            Full::Backends => (maps::BACKENDS, self.capacity.backends, "backends"),
            Full::Slots => (maps::SLOTS, self.capacity.slots, "slots"),
        };
        ProblemKind::NoRoomForEndpoints { map, entries, option }
    }

    pub(super) fn release_keys(&mut self, name: &Name, stays: bool) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        let wanted = self.wanted.get(name).filter(|_| stays);
        let gone = |key: &FrontendKey| !wanted.is_some_and(|wanted| wanted.frontends.contains_key(key));
        for (key, cluster_ip) in service.give_up(gone) {
            self.frontends.release(key);
            self.addresses.release(key.address, cluster_ip);
        }
    }
}

/// Service names are not in the kernel: an adopted service is known by a frontend that it shares with a wanted one.
fn claim(
    frontends: &Frontends,
    unclaimed: &mut BTreeMap<ServiceId, AppliedService>,
    wanted: &WantedService,
) -> Option<AppliedService> {
    wanted
        .frontends
        .keys()
        .find_map(|key| unclaimed.remove(&frontends.written(*key)?.service))
}
