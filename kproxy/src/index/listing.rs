//! Complete lists: what was known before and is not listed any more has vanished while nobody was watching.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Kind, ObjectName};

#[derive(Debug, Default)]
pub(super) struct Listings {
    /// Objects that a list in progress has not mentioned yet.
    unseen: BTreeMap<Kind, BTreeSet<ObjectName>>,
    complete: BTreeSet<Kind>,
}

impl Listings {
    /// A list begins, or begins again.
    pub(super) fn begin(&mut self, kind: Kind, known: BTreeSet<ObjectName>) {
        self.unseen.insert(kind, known);
    }

    /// An object is mentioned.
    pub(super) fn saw(&mut self, kind: Kind, name: &ObjectName) {
        if let Some(unseen) = self.unseen.get_mut(&kind) {
            unseen.remove(name);
        }
    }

    /// A list is complete. Gives the objects that it did not mention.
    pub(super) fn complete(&mut self, kind: Kind) -> BTreeSet<ObjectName> {
        self.complete.insert(kind);
        self.unseen.remove(&kind).unwrap_or_default()
    }

    /// Whether every kind has been complete once.
    pub(super) fn synced(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.complete.contains(kind))
    }
}
