//! When the changes were made that are being programmed: one moment for each version of a slice (semantics 9.20).

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use kproxy_common::Family;

use crate::model::{ObjectName, Slice, Trigger};

/// A moment of change, and the family of the slice that told of it.
pub type Triggered = (Family, Timestamp);

/// Moments that wait for their change to be in force, by service.
#[derive(Debug)]
pub(super) struct Triggers {
    /// Older changes were not made while this process could have applied them.
    start: Timestamp,
    pending: BTreeMap<ObjectName, Vec<Triggered>>,
}

impl Triggers {
    /// Those of changes that are made from now on.
    pub(super) fn since_now() -> Self {
        Self::since(Timestamp::now())
    }

    fn since(start: Timestamp) -> Self {
        Self {
            start,
            pending: BTreeMap::new(),
        }
    }

    /// Takes note of a slice's trigger, unless its last version has told of the same one.
    pub(super) fn add(&mut self, service: &ObjectName, slice: &Slice, before: Option<&Slice>) {
        let Trigger(Some(trigger)) = slice.trigger else {
            return;
        };
        let told = before.and_then(|before| before.trigger.0);
        if trigger > self.start && told != Some(trigger) {
            let pending = self.pending.entry(service.clone()).or_default();
            pending.push((slice.family, trigger));
        }
    }

    /// A slice of this service is gone. What its others tell of can not be told apart from what it told of.
    pub(super) fn discard(&mut self, service: &ObjectName) {
        self.pending.remove(service);
    }

    pub(super) fn take(&mut self) -> Vec<Triggered> {
        let pending = std::mem::take(&mut self.pending);
        pending.into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Parsed, samples};
    use crate::source::{Change, Event, News};

    const START: &str = "2026-01-01T00:00:00Z";

    /// Versions of slices: name, service, and trigger; or nothing when it goes.
    type Step<'a> = (&'a str, Option<(&'a str, Option<&'a str>)>);

    fn slice(name: &str, service: &str, trigger: Option<&str>) -> Parsed<Slice> {
        let annotations = json!({ "endpoints.kubernetes.io/last-change-trigger-time": trigger });
        samples::parse_slice(json!({"metadata": {
            "name": name,
            "labels": {"kubernetes.io/service-name": service},
            "annotations": annotations,
        }}))
        .expect("a slice")
    }

    #[test]
    fn one_sample_for_each_pending_trigger() {
        let (old, first, second) = (
            Some("2025-12-31T23:59:59.9Z"),
            Some("2026-01-01T00:00:01.25Z"),
            Some("2026-01-01T00:00:02Z"),
        );
        let rows: &[(&str, &[Step<'_>], &[&str])] = &[
            ("9.20 none", &[("a", Some(("web", None)))], &[]),
            ("9.20 older than the process", &[("a", Some(("web", old)))], &[]),
            (
                "9.20 exactly as old as the process",
                &[("a", Some(("web", Some(START))))],
                &[],
            ),
            (
                "9.20 newer",
                &[("a", Some(("web", first)))],
                &["2026-01-01T00:00:01.25Z"],
            ),
            (
                "9.20 can not be read",
                &[("a", Some(("web", Some("yesterday"))))],
                &[],
            ),
            (
                "9.20 each is one sample",
                &[
                    ("a", Some(("web", first))),
                    ("a", Some(("web", second))),
                    ("b", Some(("web", first))),
                ],
                &[
                    "2026-01-01T00:00:01.25Z",
                    "2026-01-01T00:00:02Z",
                    "2026-01-01T00:00:01.25Z",
                ],
            ),
            (
                "9.20 the same one is told again",
                &[("a", Some(("web", first))), ("a", Some(("web", first)))],
                &["2026-01-01T00:00:01.25Z"],
            ),
            (
                "9.20 a slice of the service goes",
                &[
                    ("a", Some(("web", first))),
                    ("b", Some(("web", first))),
                    ("b", None),
                ],
                &[],
            ),
            (
                "9.20 a slice of another service goes",
                &[
                    ("a", Some(("web", first))),
                    ("b", Some(("dns", first))),
                    ("b", None),
                ],
                &["2026-01-01T00:00:01.25Z"],
            ),
            (
                "9.20 a slice moves to another service",
                &[("a", Some(("web", first))), ("a", Some(("dns", second)))],
                &["2026-01-01T00:00:02Z"],
            ),
        ];
        for (row, steps, expected) in rows {
            let mut index = super::super::Index::new("here");
            index.triggers = Triggers::since(START.parse().expect("a time"));
            for (name, what) in *steps {
                let change = match what {
                    Some((service, trigger)) => Change::Applied(slice(name, service, *trigger)),
                    None => Change::Removed(ObjectName::new("default", name)),
                };
                index.apply(Event::now(News::Slice(change)));
            }
            let taken: Vec<_> = index.take_triggers();
            let times: Vec<_> = taken.iter().map(|(_, time)| time.to_string()).collect();
            assert_eq!(times, *expected, "{row}");
            assert!(taken.iter().all(|(family, _)| *family == Family::V4), "{row}");
            assert_eq!(index.take_triggers(), [], "{row}: taken once");
        }
    }

    #[test]
    fn an_unchanged_slice_with_a_newer_trigger_is_no_change_but_its_trigger_counts() {
        let mut index = super::super::Index::new("here");
        index.triggers = Triggers::since(START.parse().expect("a time"));
        let versions = [
            "2026-01-01T00:00:01Z",
            "2026-01-01T00:00:02Z",
            "2026-01-01T00:00:02Z",
        ];
        let mut seen = vec![];
        for trigger in versions {
            index.dirty.clear();
            let change = Change::Applied(slice("a", "web", Some(trigger)));
            index.apply(Event::now(News::Slice(change)));
            seen.push((index.dirty.len(), index.take_triggers().len()));
        }
        assert_eq!(seen, [(1, 1), (0, 1), (0, 0)], "9.20");
    }
}
