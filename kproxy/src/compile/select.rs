//! The two sets of usable endpoints, each with its own fallback to endpoints that are shutting down (semantics 2e).

use super::Place;
use super::frontends::Needs;
use super::merge::Merged;
use super::topology::Topology;
use crate::model::{self, Conditions};
use crate::plan::{BackendSet, Endpoint};

/// What a service port can be served with on this node. Both sets are sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selected {
    /// Usable endpoints anywhere, after hints. Empty when no frontend needs it.
    pub(super) cluster: Vec<Endpoint>,
    /// Usable endpoints on this node. Empty when no frontend needs it.
    pub(super) local: Vec<Endpoint>,
    /// Some endpoint is usable somewhere: an empty set is policy's doing (semantics 2.28).
    pub(super) any: bool,
}

impl Selected {
    /// Whether one of the sets has the endpoint.
    pub(super) fn contains(&self, endpoint: &Endpoint) -> bool {
        self.cluster.binary_search(endpoint).is_ok() || self.local.binary_search(endpoint).is_ok()
    }

    /// Whether clients of this set are dropped rather than rejected.
    pub(super) fn drops(&self, set: BackendSet) -> bool {
        match set {
            BackendSet::Cluster => false,
            BackendSet::Local => self.local.is_empty() && self.any,
        }
    }
}

pub(super) fn select(merged: &Merged<'_>, needs: Needs, place: &Place) -> Selected {
    let mut selected = Selected::default();
    if needs.cluster {
        selected.cluster = cluster(merged, place);
        selected.any = !selected.cluster.is_empty();
    }
    if needs.local {
        selected.local = local(merged, place);
        selected.any |= merged
            .values()
            .any(|candidate| is_ready(candidate) || is_lingering(candidate));
    }
    selected
}

/// Whether an endpoint runs on this node (semantics 2.14).
pub(super) fn is_local(candidate: &model::Endpoint, place: &Place) -> bool {
    !place.node.is_empty() && candidate.node.as_ref() == Some(&place.node)
}

fn cluster(merged: &Merged<'_>, place: &Place) -> Vec<Endpoint> {
    let ready = merged.values().copied().filter(|candidate| is_ready(candidate));
    let topology = Topology::of(&ready, place);
    let preferred = pick(merged, |candidate| {
        is_ready(candidate) && topology.admits(candidate)
    });
    // The fallback ignores topology (semantics 2.23).
    if preferred.is_empty() {
        pick(merged, is_lingering)
    } else {
        preferred
    }
}

/// Topology never applies here (semantics 2.24).
fn local(merged: &Merged<'_>, place: &Place) -> Vec<Endpoint> {
    let preferred = pick(merged, |candidate| {
        is_local(candidate, place) && is_ready(candidate)
    });
    if preferred.is_empty() {
        pick(merged, |candidate| {
            is_local(candidate, place) && is_lingering(candidate)
        })
    } else {
        preferred
    }
}

fn pick(merged: &Merged<'_>, usable: impl Fn(&model::Endpoint) -> bool) -> Vec<Endpoint> {
    let mut picked: Vec<Endpoint> = merged
        .iter()
        .filter(|(_, candidate)| usable(candidate))
        .map(|(endpoint, _)| *endpoint)
        .collect();
    // It is kept for as long as nothing changes.
    picked.shrink_to_fit();
    picked
}

/// Ready endpoints are usable whatever else they are (semantics 2.27).
pub(super) fn is_ready(candidate: &model::Endpoint) -> bool {
    candidate.conditions.contains(Conditions::READY)
}

/// Shutting down, but still able to answer.
fn is_lingering(candidate: &model::Endpoint) -> bool {
    candidate
        .conditions
        .contains(Conditions::SERVING | Conditions::TERMINATING)
}
