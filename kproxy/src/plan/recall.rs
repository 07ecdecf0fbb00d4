//! What was wanted of a service that is as wanted, read back from the mirror.

use std::collections::BTreeSet;

use kproxy_common::{BackendFlags, Frontend, FrontendFlags, RangeSetId};

use super::applied::Applied;
use super::draft::Name;
use super::frontends::Frontends;
use super::service::{AppliedService, Record};
use super::wanted::{BackendSet, WantedFrontend, WantedService};

impl Applied {
    /// The mirror shows what is wanted of these services from here on, unless they lack something, or have something
    /// besides, or are not its business.
    pub(super) fn forget_what_is_so(&mut self, services: &BTreeSet<Name>) {
        for name in services {
            let left_alone = |wanted: &WantedService| wanted.left_alone.is_some();
            if !self.troubled.contains(name)
                && !self.kept.contains_key(name)
                && !self.wanted.get(name).is_some_and(left_alone)
            {
                self.wanted.remove(name);
            }
        }
    }

    /// What is wanted of a service so far.
    pub(super) fn wanted_of(&self, name: &Name) -> Option<WantedService> {
        if let Some(wanted) = self.wanted.get(name) {
            return Some(wanted.clone());
        }
        let service = self.services.get(name)?;
        Some(service.as_wanted(&self.frontends))
    }
}

impl AppliedService {
    /// What was wanted for it to become what it is.
    pub(super) fn as_wanted(&self, frontends: &Frontends) -> WantedService {
        let Self {
            id: _,
            keys,
            endpoints,
            runs: _,
            ranges,
        } = self;
        let written = keys
            .iter()
            .filter_map(|(key, _)| Some((*key, frontends.written(*key)?)));
        let members = |set| {
            let members = endpoints
                .iter()
                .filter(move |(_, record)| record.flags.contains(set));
            members.map(|(endpoint, _)| *endpoint).collect()
        };
        let flags = |record: &Record| record.flags.difference(Record::BY_PLAN);
        WantedService {
            frontends: written.map(|(key, it)| (key, as_wanted(it))).collect(),
            endpoints: endpoints
                .iter()
                .map(|(endpoint, record)| (*endpoint, flags(record)))
                .collect(),
            cluster: members(BackendFlags::IN_CLUSTER_SET),
            local: members(BackendFlags::IN_LOCAL_SET),
            source_ranges: ranges.iter().flat_map(|(_, ranges)| ranges).copied().collect(),
            // Nothing of such a one is in the mirror.
            left_alone: None,
        }
    }
}

fn as_wanted(frontend: Frontend) -> WantedFrontend {
    let Frontend {
        service: _,
        flags,
        affinity_seconds,
        ranges,
        inside: _,
        outside: _,
        check: _,
        padding: _,
    } = frontend;
    let set = |local| {
        if flags.contains(local) {
            BackendSet::Local
        } else {
            BackendSet::Cluster
        }
    };
    WantedFrontend {
        flags,
        affinity_seconds,
        inside: set(FrontendFlags::INSIDE_LOCAL),
        outside: set(FrontendFlags::OUTSIDE_LOCAL),
        restricted: ranges != RangeSetId::EVERYBODY,
    }
}
