//! How a client wants to see objects, by its `Accept` header, and objects written that way.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::HeaderMap;
use serde_json::{Value, json};

use super::super::convert;
use super::super::kinds::Kind;
use super::super::object::Object;
use super::super::status::Status;
use super::table;

/// The form of objects in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// As they are.
    Plain,
    /// `PartialObjectMetadata`: metadata only.
    Metadata,
    /// `Table`: rows for people, with the whole object beside each row or its metadata only.
    Table { whole: bool },
}

impl View {
    /// The first form of the `Accept` header that the server knows.
    pub(crate) fn accepted(headers: &HeaderMap, include_object: Option<&str>) -> Result<Self, Status> {
        let accept = headers
            .get("accept")
            .and_then(|value| value.to_str().ok())
            .unwrap_or("*/*");
        accept
            .split(',')
            .find_map(|range| Self::of(range.trim(), include_object))
            .ok_or_else(|| {
                let message = "only the following media types are accepted: application/json";
                Status::new(406, "NotAcceptable", message)
            })
    }

    fn of(range: &str, include_object: Option<&str>) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        if !["application/json", "application/*", "*/*"].contains(&parts.next()?) {
            return None;
        }
        let parameters: Vec<_> = parts.collect();
        match parameters
            .iter()
            .find_map(|parameter| parameter.strip_prefix("as="))
        {
            None => Some(Self::Plain),
            // Older versions of the form differ in nothing but their name; only the current one is served.
            Some(_) if !parameters.contains(&"v=v1") => None,
            Some("Table") => Some(Self::Table {
                whole: include_object == Some("Object"),
            }),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => Some(Self::Metadata),
            Some(_) => None,
        }
    }

    /// One object.
    pub(crate) fn object(self, kind: &Kind, object: &Object) -> Bytes {
        match self {
            Self::Plain if kind.conversion.is_none() => with_type(kind, &object.body()),
            Self::Plain => serialize(&served(kind, object.value.clone())),
            Self::Metadata => serialize(&metadata_only(&object.value)),
            Self::Table { whole } => serialize(&table::of(kind, [&object.value], whole)),
        }
    }

    /// A list, with `metadata` of the list.
    pub(crate) fn list(self, kind: &Kind, objects: &[Arc<Object>], metadata: &Value) -> Bytes {
        match self {
            Self::Plain => plain_list(kind, objects, metadata),
            Self::Metadata => serialize(&json!({
                "apiVersion": "meta.k8s.io/v1",
                "kind": "PartialObjectMetadataList",
                "metadata": metadata,
                "items": objects.iter().map(|object| metadata_only(&object.value)).collect::<Vec<_>>(),
            })),
            Self::Table { whole } => {
                let mut table = table::of(kind, objects.iter().map(|object| &object.value), whole);
                table["metadata"] = metadata.clone();
                serialize(&table)
            }
        }
    }

    /// An object of which only the resource version matters.
    pub(crate) fn bookmark(self, kind: &Kind, metadata: &Value) -> Value {
        match self {
            Self::Plain => json!({"apiVersion": kind.api_version(), "kind": kind.name, "metadata": metadata}),
            Self::Metadata => metadata_only(&json!({"metadata": metadata})),
            Self::Table { .. } => {
                let mut table = table::of(kind, [], false);
                table["metadata"]["resourceVersion"] = metadata["resourceVersion"].clone();
                table
            }
        }
    }
}

/// A stored value as the kind shows it.
pub(crate) fn served(kind: &Kind, mut value: Value) -> Value {
    convert::to_served(kind.conversion, &mut value);
    value["apiVersion"] = kind.api_version().into();
    value["kind"] = kind.name.into();
    value
}

/// Items of a list carry no type, as in a real API server. Bodies are copied, not serialized again.
fn plain_list(kind: &Kind, objects: &[Arc<Object>], metadata: &Value) -> Bytes {
    let mut list = Vec::with_capacity(objects.len() * 1024);
    let head = format!(
        r#"{{"apiVersion":"{}","kind":"{}List","metadata":{metadata},"items":["#,
        kind.api_version(),
        kind.name
    );
    list.extend_from_slice(head.as_bytes());
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            list.push(b',');
        }
        if kind.conversion.is_none() {
            list.extend_from_slice(&object.body());
        } else {
            list.extend_from_slice(&serialize(&served(kind, object.value.clone())));
        }
    }
    list.extend_from_slice(b"]}");
    list.into()
}

fn with_type(kind: &Kind, body: &[u8]) -> Bytes {
    let mut typed = format!(
        r#"{{"apiVersion":"{}","kind":"{}","#,
        kind.api_version(),
        kind.name
    )
    .into_bytes();
    // Every object has metadata, so its opening brace is followed by a field.
    typed.extend_from_slice(&body[1..]);
    typed.into()
}

pub(super) fn metadata_only(value: &Value) -> Value {
    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": value["metadata"]})
}

fn serialize(value: &Value) -> Bytes {
    serde_json::to_vec(value).expect("a JSON value serializes").into()
}
