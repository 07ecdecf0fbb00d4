//! When the endpoint changes that are not in force yet were triggered, to measure how long programming takes.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kproxy_common::Family;

use crate::model::{ObjectName, Slice};

/// Each change of a slice that carries the time of its trigger is one sample (semantics 9.20).
#[derive(Debug, Default)]
pub(super) struct Triggers {
    pending: BTreeMap<ObjectName, Vec<(Family, Timestamp)>>,
}

impl Triggers {
    /// A slice is new or has changed.
    pub(super) fn changed(&mut self, slice: &Slice) {
        if let Some(trigger) = slice.trigger {
            let pending = self.pending.entry(slice.service.clone()).or_default();
            pending.push((slice.family, trigger));
        }
    }

    /// A slice of the service is gone: what is pending may be what the slice had brought.
    pub(super) fn removed(&mut self, service: &ObjectName) {
        self.pending.remove(service);
    }

    pub(super) fn take(&mut self) -> impl Iterator<Item = (Family, Timestamp)> + use<> {
        std::mem::take(&mut self.pending).into_values().flatten()
    }
}
