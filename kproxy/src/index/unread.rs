//! What is there and could never be read: what an earlier run has programmed for it must not go.

use std::collections::BTreeSet;

use crate::model::{Kind, ObjectName};

#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Files that may hold any objects.
    pub(super) manifests: usize,
    objects: BTreeSet<(Kind, ObjectName)>,
}

impl Unread {
    pub(super) fn is_not_readable(&mut self, kind: Kind, name: ObjectName) {
        self.objects.insert((kind, name));
    }

    /// It was read, or it is gone.
    pub(super) fn is_readable(&mut self, kind: Kind, name: &ObjectName) {
        if !self.objects.is_empty() {
            self.objects.remove(&(kind, name.clone()));
        }
    }

    /// Whether a Service may be among them.
    pub(super) fn may_hide_services(&self) -> bool {
        self.manifests > 0 || self.objects.iter().any(|(kind, _)| *kind == Kind::Service)
    }

    pub(super) fn count(&self) -> usize {
        self.manifests + self.objects.len()
    }
}
