//! The union of a service's slices for one port (semantics 2b and 2d).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use kproxy_common::{Family, Protocol};

use crate::model::{self, Conditions, Name, Slice};
use crate::plan::Endpoint;

/// Endpoints by address and port, each with the slice entry that speaks for it.
pub(super) type Merged<'a> = BTreeMap<Endpoint, &'a model::Endpoint>;

pub(super) fn merge<'a>(
    name: &Name,
    protocol: Protocol,
    family: Family,
    slices: impl IntoIterator<Item = &'a Slice>,
) -> Merged<'a> {
    let mut merged = Merged::new();
    for slice in slices.into_iter().filter(|slice| slice.family == family) {
        // Several slice ports may have the name: a named target port differs from pod to pod (semantics 2.10).
        let feeds = slice
            .ports
            .iter()
            .filter(|feed| feed.name == *name && feed.protocol == protocol);
        for feed in feeds {
            for candidate in &slice.endpoints {
                add(
                    &mut merged,
                    Endpoint {
                        address: candidate.address,
                        port: feed.port,
                    },
                    candidate,
                );
            }
        }
    }
    merged
}

/// The first one stays, unless a later one is not terminating (semantics 2.18).
fn add<'a>(merged: &mut Merged<'a>, endpoint: Endpoint, candidate: &'a model::Endpoint) {
    match merged.entry(endpoint) {
        Entry::Vacant(entry) => {
            entry.insert(candidate);
        }
        Entry::Occupied(mut entry) => {
            if !candidate.conditions.contains(Conditions::TERMINATING) {
                entry.insert(candidate);
            }
        }
    }
}
