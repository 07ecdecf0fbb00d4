//! Problems with objects, each told once.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Kind, ObjectName, Problem};

/// Where a problem comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// The object's own fields.
    Fields,
    /// Other objects that want the same.
    Conflicts,
}

#[derive(Debug, Default)]
pub(super) struct Reports {
    current: BTreeMap<(Kind, ObjectName, Topic), Vec<Problem>>,
    fresh: Vec<Problem>,
}

impl Reports {
    /// These are now the problems of an object. A problem that its last version had as well is not told again.
    pub(super) fn set(&mut self, kind: Kind, name: &ObjectName, topic: Topic, problems: Vec<Problem>) {
        if problems.is_empty() && self.current.is_empty() {
            return;
        }
        let key = (kind, name.clone(), topic);
        let before = self.current.get(&key).map(Vec::as_slice).unwrap_or_default();
        self.fresh.extend(
            problems
                .iter()
                .filter(|problem| !before.contains(problem))
                .cloned(),
        );
        if problems.is_empty() {
            self.current.remove(&key);
        } else {
            self.current.insert(key, problems);
        }
    }

    pub(super) fn count(&self) -> usize {
        self.current.values().map(Vec::len).sum()
    }

    pub(super) fn take(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.fresh)
    }

    #[cfg(test)]
    pub(super) fn current(&self) -> impl Iterator<Item = &Problem> {
        self.current.values().flatten()
    }

    /// Objects of a kind whose fields have problems.
    pub(super) fn names(&self, kind: Kind) -> BTreeSet<ObjectName> {
        let ours = self
            .current
            .keys()
            .filter(|(of, _, topic)| *of == kind && *topic == Topic::Fields);
        ours.map(|(_, name, _)| name.clone()).collect()
    }
}
