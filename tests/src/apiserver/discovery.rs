//! Discovery: which groups, versions and kinds there are. Clients that would like the aggregated form are answered
//! in the older one, which the protocol allows.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::kinds::{KINDS, Kind};

const VERBS: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// `/version`. The minor version is the one whose rules the server follows.
pub(crate) fn version() -> Value {
    json!({
        "major": "1",
        "minor": "33",
        "gitVersion": "v1.33.0+kproxy-test",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "2025-04-23T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": "linux/amd64",
    })
}

/// `/api`.
pub(crate) fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// `/apis`.
pub(crate) fn groups() -> Value {
    let groups: BTreeMap<_, _> = KINDS
        .iter()
        .filter(|kind| !kind.group.is_empty())
        .map(|kind| (kind.group, group(kind)))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.into_values().collect::<Vec<_>>()})
}

/// `/apis/<group>`.
pub(crate) fn one_group(name: &str) -> Option<Value> {
    let kind = KINDS
        .iter()
        .find(|kind| !kind.group.is_empty() && kind.group == name)?;
    let mut group = group(kind);
    group["kind"] = "APIGroup".into();
    group["apiVersion"] = "v1".into();
    Some(group)
}

/// `/api/v1` and `/apis/<group>/<version>`.
pub(crate) fn resources(group: &str, version: &str) -> Option<Value> {
    let kinds: Vec<_> = KINDS
        .iter()
        .filter(|kind| (kind.group, kind.version) == (group, version))
        .collect();
    let first = kinds.first()?;
    let resources: Vec<_> = kinds.iter().flat_map(|kind| resource(kind)).collect();
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": first.api_version(),
        "resources": resources,
    }))
}

fn group(kind: &Kind) -> Value {
    let version = json!({"groupVersion": kind.api_version(), "version": kind.version});
    json!({"name": kind.group, "versions": [version], "preferredVersion": version})
}

fn resource(kind: &Kind) -> Vec<Value> {
    let Kind {
        plural,
        singular,
        name,
        short_names,
        categories,
        namespaced,
        status,
        ..
    } = kind;
    let mut resources = vec![json!({
        "name": plural,
        "singularName": singular,
        "namespaced": namespaced,
        "kind": name,
        "verbs": VERBS,
        "shortNames": short_names,
        "categories": categories,
    })];
    if *status {
        resources.push(json!({
            "name": format!("{plural}/status"),
            "singularName": "",
            "namespaced": namespaced,
            "kind": name,
            "verbs": ["get", "patch", "update"],
        }));
    }
    resources
}
