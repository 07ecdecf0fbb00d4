//! `delete` and `deletecollection`, with preconditions and finalizers.

use axum::response::Response;
use serde_json::{Value, json};

use super::kinds::{self, Kind};
use super::object::{self, Key, text};
use super::request::Request;
use super::respond::{self, View};
use super::server::Server;
use super::status::Status;
use super::store::{Contents, revision_of};

/// Deletes one object.
pub(crate) fn delete(
    server: &Server,
    request: &Request,
    name: &str,
    body: &[u8],
) -> Result<Response, Status> {
    let kind = request.kind();
    let options = parse_options(body)?;
    server.store.with(|contents| {
        let key = request.key(name);
        let found = contents
            .find(&key)
            .cloned()
            .ok_or_else(|| Status::not_found(kind, name))?;
        check_preconditions(kind, name, &options, &found.value)?;
        let dry_run = request.is_dry_run()
            || options["dryRun"]
                .as_array()
                .is_some_and(|stages| !stages.is_empty());
        if !dry_run {
            remove(contents, &key);
        }
        let success = json!({
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Success",
            "details": {
                "name": name,
                "group": kind.group,
                "kind": kind.plural,
                "uid": text(&found.value, "/metadata/uid"),
            },
        });
        Ok(respond::json(200, &success))
    })
}

/// Deletes all selected objects; answers with them.
pub(crate) fn delete_collection(server: &Server, request: &Request) -> Result<Response, Status> {
    let kind = request.kind();
    let selector = request.selector()?;
    server.store.with(|contents| {
        let namespace = request.target.namespace.as_deref();
        let selected: Vec<_> = contents
            .list(kind.plural, namespace)
            .filter(|(_, object)| selector.matches(&object.value))
            .map(|(key, object)| (key.clone(), std::sync::Arc::clone(object)))
            .collect();
        if !request.is_dry_run() {
            for (key, _) in &selected {
                remove(contents, key);
            }
        }
        let metadata = json!({"resourceVersion": contents.revision.to_string()});
        let objects: Vec<_> = selected.into_iter().map(|(_, object)| object).collect();
        Ok(respond::bytes(200, View::Plain.list(kind, &objects, &metadata)))
    })
}

/// Whether somebody still has to let go of the object.
pub(crate) fn has_finalizers(value: &Value) -> bool {
    value
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .is_some_and(|finalizers| !finalizers.is_empty())
}

fn remove(contents: &mut Contents, key: &Key) {
    let Some(object) = contents.find(key) else { return };
    if has_finalizers(&object.value) {
        if text(&object.value, "/metadata/deletionTimestamp").is_empty() {
            let mut value = object.value.clone();
            value["metadata"]["deletionTimestamp"] = object::timestamp().into();
            value["metadata"]["deletionGracePeriodSeconds"] = 0.into();
            contents.put(key.clone(), value);
        }
        return;
    }
    contents.remove(key);
    if key.resource == "namespaces" {
        empty_namespace(contents, &key.name);
    }
}

/// What the namespace controller would do, which is not here.
fn empty_namespace(contents: &mut Contents, namespace: &str) {
    for kind in kinds::KINDS.iter().filter(|kind| kind.namespaced) {
        let keys: Vec<_> = contents
            .list(kind.plural, Some(namespace))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &keys {
            remove(contents, key);
        }
    }
}

fn parse_options(body: &[u8]) -> Result<Value, Status> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body)
        .map_err(|error| Status::bad_request(format!("error decoding DeleteOptions: {error}")))
}

fn check_preconditions(kind: &Kind, name: &str, options: &Value, object: &Value) -> Result<(), Status> {
    let pairs = [
        ("UID", "uid", text(object, "/metadata/uid")),
        ("ResourceVersion", "resourceVersion", revision_of(object)),
    ];
    for (title, field, actual) in pairs {
        let wanted = options["preconditions"][field].as_str();
        if let Some(wanted) = wanted.filter(|wanted| *wanted != actual) {
            let detail = format!(
                "Precondition failed: {title} in precondition: {wanted}, {title} in object meta: {actual}"
            );
            return Err(Status::conflict(kind, name, &detail));
        }
    }
    Ok(())
}
