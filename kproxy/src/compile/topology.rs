//! Topology hints: whether clients of this node shall keep to its own endpoints, or to those of its zone.
//!
//! Only hints decide, and only those of ready endpoints (semantics 2f).

use super::Place;
use crate::model::{Endpoint, Hints, Name};

/// Which ready endpoints this node uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topology<'a> {
    /// Those hinted for this node.
    Node(&'a Name),
    /// Those hinted for this zone.
    Zone(&'a Name),
    /// All.
    Anywhere,
}

impl<'a> Topology<'a> {
    /// Each mode holds if every ready endpoint has a hint of its sort and at least one names us; the node's mode wins.
    pub(super) fn of<'e>(ready: &(impl Iterator<Item = &'e Endpoint> + Clone), place: &'a Place) -> Self {
        let holds = |names: fn(&Hints) -> &[Name], ours: &Name| {
            let mut hints = ready
                .clone()
                .map(|endpoint| endpoint.hints.as_deref().map_or(&[][..], names));
            let mut named = false;
            let all = hints.all(|names| {
                named |= names.contains(ours);
                !names.is_empty()
            });
            all && named
        };
        if holds(|hints| &hints.nodes, &place.node) {
            return Self::Node(&place.node);
        }
        match &place.zone {
            Some(zone) if holds(|hints| &hints.zones, zone) => Self::Zone(zone),
            Some(_) | None => Self::Anywhere,
        }
    }

    /// Whether this node uses a ready endpoint.
    pub(super) fn admits(self, endpoint: &Endpoint) -> bool {
        let hints = endpoint.hints.as_deref();
        match self {
            Self::Node(node) => hints.is_some_and(|hints| hints.nodes.contains(node)),
            Self::Zone(zone) => hints.is_some_and(|hints| hints.zones.contains(zone)),
            Self::Anywhere => true,
        }
    }
}
