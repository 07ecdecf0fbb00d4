//! The least of `OpenAPI` v3 that `kubectl` asks for: before it sends an object it looks whether `patch` of that kind
//! takes the parameter `fieldValidation`, and then leaves validation to the server.
//!
//! No request body is described, so that `kubectl apply` computes its patches from the types built into it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::kinds::{KINDS, Kind};

/// `/openapi/v3`: where each group version is described.
pub(crate) fn index() -> Value {
    let path = |kind: &Kind| {
        let prefix = if kind.group.is_empty() { "api" } else { "apis" };
        let path = format!("{prefix}/{}", kind.api_version());
        let url = json!({"serverRelativeURL": format!("/openapi/v3/{path}")});
        (path, url)
    };
    json!({"paths": KINDS.iter().map(path).collect::<BTreeMap<_, _>>()})
}

/// `/openapi/v3/api/v1` and `/openapi/v3/apis/<group>/<version>`.
pub(crate) fn describe(group: &str, version: &str) -> Option<Value> {
    let kinds: Vec<_> = KINDS
        .iter()
        .filter(|kind| (kind.group, kind.version) == (group, version))
        .collect();
    if kinds.is_empty() {
        return None;
    }
    let paths: Map<_, _> = kinds.iter().map(|kind| (path(kind), operations(kind))).collect();
    let schemas: Map<_, _> = kinds
        .iter()
        .map(|kind| (schema_name(kind), schema(kind)))
        .collect();
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.33.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

fn path(kind: &Kind) -> String {
    let prefix = if kind.group.is_empty() { "api" } else { "apis" };
    let namespace = if kind.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    format!(
        "/{prefix}/{}{namespace}/{}/{{name}}",
        kind.api_version(),
        kind.plural
    )
}

fn operations(kind: &Kind) -> Value {
    let parameter =
        |name| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    json!({
        "patch": {
            "operationId": format!("patch{}", kind.name),
            "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation"), parameter("force")],
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": "patch",
            "x-kubernetes-group-version-kind": group_version_kind(kind),
        },
    })
}

fn schema(kind: &Kind) -> Value {
    json!({
        "type": "object",
        "x-kubernetes-group-version-kind": [group_version_kind(kind)],
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

fn schema_name(kind: &Kind) -> String {
    let group = kind.group.trim_end_matches(".k8s.io");
    format!(
        "io.k8s.api.{}.{}.{}",
        if group.is_empty() { "core" } else { group },
        kind.version,
        kind.name
    )
}

fn group_version_kind(kind: &Kind) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.name})
}
