//! Admission: decode an object as its kind, complete it with defaults and allocations, check it. Done once per
//! write, so that what is stored looks as it would in a real API server.
//!
//! Rules are those of `pkg/apis/*/v1/defaults.go`, `pkg/apis/*/validation` and `pkg/registry` in Kubernetes 1.33,
//! as far as tests of a service proxy need them.

mod cidr;
mod daemon_set;
mod metadata;
mod others;
mod rbac;
mod service;
mod service_addresses;
mod service_checks;
mod service_ports;
mod servicecidr;
mod slice;

use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::kinds::Kind;
use super::status::{Cause, Status};
use super::store::Contents;

/// One write on its way in.
#[derive(Debug)]
pub(crate) struct Admit<'a> {
    pub(crate) kind: &'static Kind,
    /// The object in its served form.
    pub(crate) value: Value,
    /// What it replaces, in its served form.
    pub(crate) old: Option<Value>,
    /// Whether unknown fields are refused (`fieldValidation=Strict`) or dropped.
    pub(crate) strict: bool,
    pub(crate) contents: &'a Contents,
}

/// What a kind adds to generic admission.
pub(crate) trait Strategy: Metadata<Ty = ObjectMeta> + DeserializeOwned + Serialize {
    /// Completes the object and lists what is wrong with it.
    fn prepare(&mut self, old: Option<&Self>, contents: &Contents) -> Vec<Cause>;
}

/// Admits an object of type `T`; the result is in the served form.
pub(crate) fn admit<T: Strategy>(admit: Admit<'_>) -> Result<Value, Status> {
    let Admit {
        kind,
        value,
        old,
        strict,
        contents,
    } = admit;
    let mut object: T = serde_json::from_value(value.clone()).map_err(|error| {
        let (version, kind) = (kind.version, kind.name);
        let message = format!("{kind} in version {version:?} cannot be handled as a {kind}: json: {error}");
        Status::bad_request(message)
    })?;
    if strict {
        let mut unknown = Vec::new();
        find_unknown(&value, &to_value(&object)?, "", &mut unknown);
        if !unknown.is_empty() {
            let unknown: Vec<_> = unknown
                .iter()
                .map(|path| format!("unknown field {path:?}"))
                .collect();
            return Err(Status::bad_request(format!(
                "strict decoding error: {}",
                unknown.join(", ")
            )));
        }
    }
    // An old object that was stored unchecked may not decode; the new one is then checked as if it were the first.
    let old: Option<T> = old.and_then(|old| serde_json::from_value(old).ok());

    let mut causes = metadata::check(object.metadata());
    causes.extend(object.prepare(old.as_ref(), contents));
    if !causes.is_empty() {
        let name = object.metadata().name.as_deref().unwrap_or_default();
        return Err(Status::invalid(kind, name, &causes));
    }
    to_value(&object)
}

/// Stands in for a kind's admission in the table's template.
pub(crate) fn refuse(Admit { kind, .. }: Admit<'_>) -> Result<Value, Status> {
    Err(Status::new(
        405,
        "MethodNotAllowed",
        format!("{} cannot be written", kind.resource()),
    ))
}

fn to_value(object: &impl Serialize) -> Result<Value, Status> {
    serde_json::to_value(object).map_err(|error| Status::new(500, "InternalError", error.to_string()))
}

/// Paths in `given` that decoding has dropped.
fn find_unknown(given: &Value, known: &Value, path: &str, unknown: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (key, value) in given.iter().filter(|(_, value)| !value.is_null()) {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match known.get(key) {
                    Some(known) => find_unknown(value, known, &path, unknown),
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (index, (given, known)) in given.iter().zip(known).enumerate() {
                find_unknown(given, known, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}
