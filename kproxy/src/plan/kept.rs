//! What a service keeps of the run before, as long as not everything that is wanted is known.

use std::collections::BTreeMap;

use kproxy_common::BackendFlags;

use super::service::{AppliedService, Record};
use super::wanted::{Endpoint, WantedService};

/// Endpoints that were adopted and that nobody has named since: what names them may not have been readable yet.
#[derive(Clone, Debug)]
pub(super) struct Kept(BTreeMap<Endpoint, BackendFlags>);

impl Kept {
    pub(super) fn of(adopted: &AppliedService) -> Self {
        let flags = |(endpoint, record): (&Endpoint, &Record)| (*endpoint, record.flags);
        Self(adopted.endpoints.iter().map(flags).collect())
    }

    /// The endpoints that are wanted, and those that are kept, in the sets in which they were. One that is named is
    /// known from then on: when it goes, it goes.
    pub(super) fn add_to(&mut self, wanted: &WantedService) -> WantedService {
        self.0
            .retain(|endpoint, _| !wanted.endpoints.contains_key(endpoint));
        let mut all = wanted.clone();
        for (endpoint, flags) in &self.0 {
            all.endpoints.insert(*endpoint, *flags);
            if flags.contains(BackendFlags::IN_CLUSTER_SET) {
                insert(&mut all.cluster, *endpoint);
            }
            if flags.contains(BackendFlags::IN_LOCAL_SET) {
                insert(&mut all.local, *endpoint);
            }
        }
        all
    }
}

fn insert(sorted: &mut Vec<Endpoint>, endpoint: Endpoint) {
    if let Err(position) = sorted.binary_search(&endpoint) {
        sorted.insert(position, endpoint);
    }
}
