//! `Table`: what `kubectl get` prints, with the columns of `pkg/printers/internalversion/printers.go`.

use k8s_openapi::jiff::{Timestamp, Unit};
use serde_json::{Value, json};

use super::super::kinds::Kind;
use super::super::object::text;
use super::view::{metadata_only, served};

/// A column: name, whether it shows only with `-o wide`, and a cell's text.
type Column = (&'static str, bool, fn(&Value) -> String);

/// A table of objects in their stored form.
pub(super) fn of<'a>(kind: &Kind, objects: impl IntoIterator<Item = &'a Value>, whole: bool) -> Value {
    let columns = columns(kind);
    let definitions: Vec<_> = columns
        .iter()
        .map(|(name, wide, _)| {
            let format = if *name == "Name" { "name" } else { "" };
            json!({"name": name, "type": "string", "format": format, "description": "", "priority": i32::from(*wide)})
        })
        .collect();
    let rows: Vec<_> = objects
        .into_iter()
        .map(|value| {
            let cells: Vec<_> = columns.iter().map(|(_, _, cell)| cell(value)).collect();
            let object = if whole {
                served(kind, value.clone())
            } else {
                metadata_only(value)
            };
            json!({"cells": cells, "object": object})
        })
        .collect();
    json!({
        "apiVersion": "meta.k8s.io/v1",
        "kind": "Table",
        "metadata": {},
        "columnDefinitions": definitions,
        "rows": rows,
    })
}

const NAME: Column = ("Name", false, |object| text(object, "/metadata/name").to_owned());
const AGE: Column = ("Age", false, |object| {
    age(text(object, "/metadata/creationTimestamp"))
});

fn columns(kind: &Kind) -> Vec<Column> {
    match kind.plural {
        "services" => vec![
            NAME,
            ("Type", false, |service| text(service, "/spec/type").to_owned()),
            ("Cluster-IP", false, |service| {
                or_none(text(service, "/spec/clusterIP").to_owned())
            }),
            ("External-IP", false, external_addresses),
            ("Port(s)", false, |service| or_none(service_ports(service))),
            AGE,
            ("Selector", true, |service| or_none(selector(service))),
        ],
        "endpointslices" => vec![
            NAME,
            ("AddressType", false, |slice| {
                text(slice, "/addressType").to_owned()
            }),
            ("Ports", false, |slice| {
                or_unset(shorten(
                    &items(slice, "/ports")
                        .map(|port| scalar(&port["port"]))
                        .collect::<Vec<_>>(),
                ))
            }),
            ("Endpoints", false, |slice| {
                or_unset(shorten(&endpoint_addresses(slice)))
            }),
            AGE,
        ],
        "nodes" => vec![
            NAME,
            ("Status", false, node_status),
            ("Roles", false, node_roles),
            AGE,
            ("Version", false, |node| {
                text(node, "/status/nodeInfo/kubeletVersion").to_owned()
            }),
        ],
        "servicecidrs" => {
            vec![
                NAME,
                ("CIDRs", false, |range| {
                    items(range, "/spec/cidrs")
                        .map(scalar)
                        .collect::<Vec<_>>()
                        .join(",")
                }),
                AGE,
            ]
        }
        "namespaces" => vec![
            NAME,
            ("Status", false, |namespace| {
                text(namespace, "/status/phase").to_owned()
            }),
            AGE,
        ],
        "events" => vec![
            ("Last Seen", false, last_seen),
            ("Type", false, |event| text(event, "/type").to_owned()),
            ("Reason", false, |event| text(event, "/reason").to_owned()),
            ("Object", false, |event| {
                format!(
                    "{}/{}",
                    text(event, "/regarding/kind").to_lowercase(),
                    text(event, "/regarding/name")
                )
            }),
            ("Message", false, |event| text(event, "/note").trim().to_owned()),
            ("Name", true, |event| text(event, "/metadata/name").to_owned()),
        ],
        "daemonsets" => vec![
            NAME,
            ("Desired", false, |set| {
                set["status"]["desiredNumberScheduled"].to_string()
            }),
            ("Current", false, |set| {
                set["status"]["currentNumberScheduled"].to_string()
            }),
            ("Ready", false, |set| set["status"]["numberReady"].to_string()),
            AGE,
        ],
        _ => vec![NAME, AGE],
    }
}

fn items<'a>(object: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn scalar(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn or_none(text: String) -> String {
    if text.is_empty() {
        "<none>".to_owned()
    } else {
        text
    }
}

fn or_unset(text: String) -> String {
    if text.is_empty() {
        "<unset>".to_owned()
    } else {
        text
    }
}

/// The first three of a list, and how many there are besides.
fn shorten(items: &[String]) -> String {
    match items.len() {
        0..=3 => items.join(","),
        count => format!("{} + {} more...", items[..3].join(","), count - 3),
    }
}

fn endpoint_addresses(slice: &Value) -> Vec<String> {
    items(slice, "/endpoints")
        .flat_map(|endpoint| items(endpoint, "/addresses"))
        .map(scalar)
        .collect()
}

fn external_addresses(service: &Value) -> String {
    let given = items(service, "/spec/externalIPs").map(scalar);
    let ingress = items(service, "/status/loadBalancer/ingress").map(|ingress| {
        let address = text(ingress, "/ip");
        if address.is_empty() {
            text(ingress, "/hostname")
        } else {
            address
        }
        .to_owned()
    });
    let all: Vec<_> = ingress.chain(given).collect();
    match text(service, "/spec/type") {
        "ExternalName" => text(service, "/spec/externalName").to_owned(),
        "LoadBalancer" if all.is_empty() => "<pending>".to_owned(),
        _ => or_none(all.join(",")),
    }
}

fn service_ports(service: &Value) -> String {
    let port = |port: &Value| {
        let protocol = text(port, "/protocol");
        match port["nodePort"].as_u64() {
            None => format!("{}/{protocol}", port["port"]),
            Some(node_port) => format!("{}:{node_port}/{protocol}", port["port"]),
        }
    };
    items(service, "/spec/ports")
        .map(port)
        .collect::<Vec<_>>()
        .join(",")
}

fn selector(service: &Value) -> String {
    let labels = service.pointer("/spec/selector").and_then(Value::as_object);
    let labels: Vec<_> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", scalar(value)))
        .collect();
    labels.join(",")
}

fn node_status(node: &Value) -> String {
    let ready = items(node, "/status/conditions").find(|condition| condition["type"] == "Ready");
    match ready.map(|condition| text(condition, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned()
}

fn node_roles(node: &Value) -> String {
    let labels = node.pointer("/metadata/labels").and_then(Value::as_object);
    let role = |key: &String| key.strip_prefix("node-role.kubernetes.io/").map(str::to_owned);
    or_none(
        labels
            .into_iter()
            .flatten()
            .filter_map(|(key, _)| role(key))
            .collect::<Vec<_>>()
            .join(","),
    )
}

fn last_seen(event: &Value) -> String {
    let times = [
        "/deprecatedLastTimestamp",
        "/series/lastObservedTime",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    age(times
        .iter()
        .map(|pointer| text(event, pointer))
        .find(|time| !time.is_empty())
        .unwrap_or_default())
}

/// `5s`, `3m`, `7h`, `2d`.
fn age(since: &str) -> String {
    let Ok(since) = since.parse::<Timestamp>() else {
        return "<unknown>".to_owned();
    };
    let seconds = (Timestamp::now() - since)
        .total(Unit::Second)
        .unwrap_or_default()
        .max(0.0);
    let units = [
        (86_400.0, 2.0, "d"),
        (3_600.0, 2.0, "h"),
        (60.0, 2.0, "m"),
        (1.0, 0.0, "s"),
    ];
    let unit = units
        .into_iter()
        .find(|(length, least, _)| seconds >= length * least);
    let (length, _, letter) = unit.unwrap_or((1.0, 0.0, "s"));
    format!("{:.0}{letter}", (seconds / length).floor())
}
