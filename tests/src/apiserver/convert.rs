//! `Event` is served in two groups over the same objects. They are stored as `events.k8s.io/v1`; the core form
//! differs by the names of fields only.

use serde_json::Value;

/// Field names that differ: name in the served form, name in the stored form.
pub(crate) type Conversion = &'static [(&'static str, &'static str)];

/// `v1` events (`pkg/apis/events/v1/conversion.go` of Kubernetes).
pub(crate) const CORE_EVENT: Conversion = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// Served form to stored form.
pub(crate) fn to_stored(conversion: Option<Conversion>, value: &mut Value) {
    for (served, stored) in conversion.unwrap_or_default() {
        rename(value, served, stored);
    }
}

/// Stored form to served form.
pub(crate) fn to_served(conversion: Option<Conversion>, value: &mut Value) {
    for (served, stored) in conversion.unwrap_or_default() {
        rename(value, stored, served);
    }
}

fn rename(value: &mut Value, from: &str, to: &str) {
    let Some(object) = value.as_object_mut() else {
        return;
    };
    if let Some(field) = object.remove(from) {
        object.insert(to.to_owned(), field);
    }
}
