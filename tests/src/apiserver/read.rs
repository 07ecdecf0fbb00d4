//! `get` and `list`.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::faults::Fault;
use super::object::Object;
use super::request::Request;
use super::respond;
use super::server::Server;
use super::snapshots::{Snapshot, token};
use super::status::Status;

/// One object.
pub(crate) fn get(server: &Server, request: &Request, name: &str) -> Result<Response, Status> {
    let key = request.key(name);
    let found = server.store.with(|contents| contents.find(&key).cloned());
    let object = found.ok_or_else(|| Status::not_found(request.kind(), name))?;
    Ok(respond::bytes(200, request.view.object(request.kind(), &object)))
}

/// All selected objects, or a page of them.
pub(crate) fn list(server: &Server, request: &Request) -> Result<Response, Status> {
    if server.plan.strikes(Fault::Expired, request.kind().plural) {
        return Err(Status::expired(
            "The resourceVersion for the provided list is too old. (injected by the test)",
        ));
    }
    let (id, offset, snapshot) = match request.parameters.continue_token.as_deref() {
        Some(token) if !token.is_empty() => resume(server, token)?,
        _ => (None, 0, Arc::new(take_snapshot(server, request)?)),
    };
    let limit = request
        .parameters
        .limit
        .filter(|limit| *limit > 0)
        .unwrap_or(usize::MAX);
    let end = snapshot.objects.len().min(offset.saturating_add(limit));
    let remaining = snapshot.objects.len() - end;

    let mut metadata = json!({"resourceVersion": snapshot.revision.to_string()});
    if remaining > 0 {
        let keep = || {
            server
                .store
                .with(|contents| contents.snapshots.keep(Arc::clone(&snapshot)))
        };
        metadata["continue"] = token(id.unwrap_or_else(keep), end).into();
        if request.selector()?.is_empty() {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    Ok(respond::bytes(
        200,
        page(request, &snapshot.objects[offset.min(end)..end], &metadata),
    ))
}

fn page(request: &Request, objects: &[Arc<Object>], metadata: &Value) -> axum::body::Bytes {
    request.view.list(request.kind(), objects, metadata)
}

fn resume(server: &Server, token: &str) -> Result<(Option<u64>, usize, Arc<Snapshot>), Status> {
    let resumed = server.store.with(|contents| contents.snapshots.resume(token));
    let (id, offset, snapshot) = resumed.ok_or_else(|| {
        Status::expired("The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.")
    })?;
    Ok((Some(id), offset, snapshot))
}

fn take_snapshot(server: &Server, request: &Request) -> Result<Snapshot, Status> {
    let selector = request.selector()?;
    let namespace = request.target.namespace.as_deref();
    server.store.with(|contents| {
        check_version(request, contents.revision)?;
        let found = contents
            .list(request.kind().plural, namespace)
            .map(|(_, object)| object);
        let objects = found
            .filter(|object| selector.matches(&object.value))
            .cloned()
            .collect();
        Ok(Snapshot {
            revision: contents.revision,
            objects,
        })
    })
}

/// A list shows the newest state; that satisfies every wish but for the exact past or for the future.
fn check_version(request: &Request, newest: u64) -> Result<(), Status> {
    let Some(version) = request
        .parameters
        .resource_version
        .as_deref()
        .filter(|version| !version.is_empty())
    else {
        return Ok(());
    };
    let wanted = parse_version(version)?;
    if wanted > newest {
        return Err(too_large(wanted, newest));
    }
    if request.parameters.resource_version_match.as_deref() == Some("Exact") && wanted != newest {
        return Err(Status::expired(format!(
            "too old resource version: {wanted} ({newest})"
        )));
    }
    Ok(())
}

/// A `resourceVersion` of a request.
pub(crate) fn parse_version(version: &str) -> Result<u64, Status> {
    let invalid = |_| {
        Status::bad_request(format!(
            "Invalid value: {version:?}: resourceVersion must be a number"
        ))
    };
    version.parse().map_err(invalid)
}

/// A client has seen a revision that this server has not: clients wait and try again.
fn too_large(wanted: u64, newest: u64) -> Status {
    let message = format!("Too large resource version: {wanted}, current: {newest}");
    let mut status = Status::new(504, "Timeout", message);
    status.details = Some(json!({
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }));
    status
}
