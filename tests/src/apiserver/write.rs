//! `create`, `update` and `patch`: every write ends in [`store`], which admits the object and stores it.

use axum::response::Response;
use serde_json::{Value, json};

use super::admission::Admit;
use super::convert;
use super::kinds::Kind;
use super::object::{self, Object, text};
use super::patch::Patch;
use super::request::Request;
use super::respond::{self, View, view_served};
use super::server::Server;
use super::status::{Cause, Status};
use super::store::{Contents, revision_of};

/// How objects in the binary encoding of Go clients begin.
const PROTOBUF: &[u8] = b"k8s\0";

/// A new object.
pub(crate) fn create(server: &Server, request: &Request, body: &[u8]) -> Result<Response, Status> {
    let kind = request.kind();
    let mut value = decode(kind, body)?;
    settle_namespace(request, &mut value)?;
    if text(&value, "/metadata/name").is_empty() && !text(&value, "/metadata/generateName").is_empty() {
        let name = format!(
            "{}{}",
            text(&value, "/metadata/generateName"),
            object::name_suffix()
        );
        value["metadata"]["name"] = name.into();
    }
    if !revision_of(&value).is_empty() {
        return Err(Status::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    value["metadata"]["uid"] = object::uid().into();
    value["metadata"]["creationTimestamp"] = object::timestamp().into();
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("deletionTimestamp");
        metadata.remove("generation");
    }
    // Nodes report their status when they register; what others claim at birth is not believed.
    if kind.status && kind.name != "Node" {
        remove(&mut value, "status");
    }
    let name = text(&value, "/metadata/name").to_owned();
    server.store.with(|contents| {
        if contents.find(&request.key(&name)).is_some() {
            return Err(Status::already_exists(kind, &name));
        }
        check_namespace(request, contents)?;
        store(contents, request, value, None).map(|object| answer(request, 201, &object))
    })
}

/// A new version of an object, whole.
pub(crate) fn update(
    server: &Server,
    request: &Request,
    name: &str,
    body: &[u8],
) -> Result<Response, Status> {
    let kind = request.kind();
    let mut value = decode(kind, body)?;
    settle_namespace(request, &mut value)?;
    let given = text(&value, "/metadata/name").to_owned();
    if given != name {
        let message = format!("the name of the object ({given}) does not match the name on the URL ({name})");
        return Err(Status::bad_request(message));
    }
    server.store.with(|contents| {
        let old = contents
            .find(&request.key(name))
            .ok_or_else(|| Status::not_found(kind, name))?;
        let old = view_served(kind, old.value.clone());
        store(contents, request, value, Some(&old)).map(|object| answer(request, 200, &object))
    })
}

/// A change to an object.
pub(crate) fn patch(
    server: &Server,
    request: &Request,
    name: &str,
    patch: &Patch,
) -> Result<Response, Status> {
    let kind = request.kind();
    server.store.with(|contents| {
        let old = contents
            .find(&request.key(name))
            .ok_or_else(|| Status::not_found(kind, name))?;
        let old = view_served(kind, old.value.clone());
        let mut value = old.clone();
        patch.apply(kind, &mut value)?;
        if text(&value, "/metadata/name") != name {
            let cause = Cause::invalid("metadata.name", &value["metadata"]["name"], "field is immutable");
            return Err(Status::invalid(kind, name, &[cause]));
        }
        store(contents, request, value, Some(&old)).map(|object| answer(request, 200, &object))
    })
}

/// Admits an object in its served form and stores it; all writes pass here.
fn store(
    contents: &mut Contents,
    request: &Request,
    mut value: Value,
    old: Option<&Value>,
) -> Result<std::sync::Arc<Object>, Status> {
    let kind = request.kind();
    let name = text(&value, "/metadata/name").to_owned();
    if let Some(old) = old {
        check_identity(kind, &name, &value, old)?;
        keep_what_writes_do_not_change(request, &mut value, old);
    }
    let strict = request.parameters.field_validation.as_deref() == Some("Strict");
    let admit = Admit {
        kind,
        value,
        old: old.cloned(),
        strict,
        contents,
    };
    let mut value = (kind.admit)(admit)?;
    count_generation(kind, &mut value, old);

    let key = request.key(&name);
    let unchanged = old
        .as_ref()
        .is_some_and(|old| without_type(old) == without_type(&value));
    if unchanged && let Some(object) = contents.find(&key) {
        return Ok(std::sync::Arc::clone(object));
    }
    convert::to_stored(kind.conversion, &mut value);
    remove(&mut value, "apiVersion");
    remove(&mut value, "kind");
    if request.is_dry_run() {
        return Ok(Object::new(value));
    }
    let finalized =
        !text(&value, "/metadata/deletionTimestamp").is_empty() && !super::delete::has_finalizers(&value);
    let stored = contents.put(key.clone(), value);
    if finalized {
        contents.remove(&key);
    }
    Ok(stored)
}

fn decode(kind: &Kind, body: &[u8]) -> Result<Value, Status> {
    if body.starts_with(PROTOBUF) {
        let message = "the API server for tests takes JSON only, not protobuf; with kubectl use `create ... --dry-run=client -o yaml | kubectl apply -f -`";
        return Err(Status::new(415, "UnsupportedMediaType", message));
    }
    let mut value: Value = serde_json::from_slice(body).map_err(|error| {
        Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {error}",
            kind.name
        ))
    })?;
    if !value.is_object() {
        return Err(Status::bad_request(format!(
            "the object provided is not a {}",
            kind.name
        )));
    }
    let expected = (kind.api_version(), kind.name.to_owned());
    let given = (
        text(&value, "/apiVersion").to_owned(),
        text(&value, "/kind").to_owned(),
    );
    if !given.0.is_empty() && !given.1.is_empty() && given != expected {
        let message = format!(
            "the API version in the data ({}, {}) does not match the expected API version ({}, {})",
            given.0, given.1, expected.0, expected.1
        );
        return Err(Status::bad_request(message));
    }
    (value["apiVersion"], value["kind"]) = (expected.0.into(), expected.1.into());
    if !value["metadata"].is_object() {
        value["metadata"] = json!({});
    }
    Ok(value)
}

/// The namespace of the path holds; an object that names another one is refused.
fn settle_namespace(request: &Request, value: &mut Value) -> Result<(), Status> {
    let Some(namespace) = &request.target.namespace else {
        remove(&mut value["metadata"], "namespace");
        return Ok(());
    };
    let given = text(value, "/metadata/namespace");
    if !given.is_empty() && given != namespace {
        let message = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(message));
    }
    value["metadata"]["namespace"] = namespace.as_str().into();
    Ok(())
}

fn check_namespace(request: &Request, contents: &Contents) -> Result<(), Status> {
    let Some(namespace) = &request.target.namespace else {
        return Ok(());
    };
    let kind = super::kinds::by_path("", "v1", "namespaces").ok_or_else(super::request::path_not_found)?;
    let key = object::Key::new(kind, "", namespace);
    contents
        .find(&key)
        .map(|_| ())
        .ok_or_else(|| Status::not_found(kind, namespace))
}

/// A write that names a resource version or a uid means that object and no other.
fn check_identity(kind: &Kind, name: &str, value: &Value, old: &Value) -> Result<(), Status> {
    let revision = revision_of(value);
    if !revision.is_empty() && revision != revision_of(old) {
        let detail =
            "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Status::conflict(kind, name, detail));
    }
    let (given, uid) = (text(value, "/metadata/uid"), text(old, "/metadata/uid"));
    if !given.is_empty() && given != uid {
        let detail = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {uid}");
        return Err(Status::conflict(kind, name, &detail));
    }
    Ok(())
}

fn keep_what_writes_do_not_change(request: &Request, value: &mut Value, old: &Value) {
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "generation",
        "resourceVersion",
        "generateName",
    ] {
        copy(&mut value["metadata"], &old["metadata"], field);
    }
    if request.target.status {
        let status = value.get("status").cloned();
        // Labels and annotations may be changed with the status, as in a real server.
        let metadata = value["metadata"].clone();
        value.clone_from(old);
        value["metadata"] = metadata;
        copy(value, &json!({"status": status}), "status");
    } else if request.kind().status {
        copy(value, old, "status");
    }
}

fn copy(to: &mut Value, from: &Value, field: &str) {
    match from.get(field).filter(|value| !value.is_null()) {
        Some(value) => to[field] = value.clone(),
        None => remove(to, field),
    }
}

/// `metadata.generation` counts changes of anything but metadata and status.
fn count_generation(kind: &Kind, value: &mut Value, old: Option<&Value>) {
    if !kind.generation {
        return;
    }
    let content = |value: &Value| {
        let mut value = without_type(value);
        remove(&mut value, "metadata");
        remove(&mut value, "status");
        value
    };
    let before = old.and_then(|old| old["metadata"]["generation"].as_u64());
    let changed = old.is_none_or(|old| content(old) != content(value));
    value["metadata"]["generation"] = (before.unwrap_or(0) + u64::from(changed)).into();
}

fn without_type(value: &Value) -> Value {
    let mut value = value.clone();
    remove(&mut value, "apiVersion");
    remove(&mut value, "kind");
    value
}

fn remove(value: &mut Value, field: &str) {
    if let Some(object) = value.as_object_mut() {
        object.remove(field);
    }
}

fn answer(request: &Request, code: u16, object: &Object) -> Response {
    let view = if matches!(request.view, View::Metadata) {
        View::Metadata
    } else {
        View::Plain
    };
    respond::bytes(code, view.object(request.kind(), object))
}
