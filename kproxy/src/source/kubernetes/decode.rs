//! Answers of the API server, object by object.
//!
//! The usual answer is decoded straight into its types. Only when that fails it is read again as plain JSON, to find
//! the one object to blame and the field in it.

use std::marker::PhantomData;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::core::Status;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Error, Value};

use super::super::kind::Object;
use super::super::{Change, News};
use crate::model::{ObjectName, Problem, Reason};

/// A page of a list.
#[derive(Debug)]
pub(super) struct Page {
    /// The state of the cluster that the list shows.
    pub(super) version: String,
    /// Where the next page begins, if this is not the last one.
    pub(super) next: Option<String>,
    /// Its objects.
    pub(super) news: Vec<News>,
}

/// A line of a watch.
#[derive(Debug)]
pub(super) enum Line {
    /// An object, and the state of the cluster after it.
    News(News, Option<String>),
    /// Nothing new up to this state.
    Bookmark(String),
    /// The watch has failed.
    Failed(Box<Status>),
}

#[derive(Deserialize)]
struct List<T> {
    metadata: ListMeta,
    items: Option<Vec<T>>,
}

#[derive(Deserialize)]
struct Tag {
    r#type: String,
}

#[derive(Deserialize)]
struct Carrier<T> {
    object: T,
}

/// What an object says, made while its list is still being read. Only one object of the API's generous types exists
/// at a time: a page full of them would leave the heap in pieces, with what is kept in between.
struct Applied<K>(News, PhantomData<K>);

impl<'de, K: Object> Deserialize<'de> for Applied<K> {
    fn deserialize<D: Deserializer<'de>>(object: D) -> Result<Self, D::Error> {
        Ok(Self(K::deserialize(object)?.applied(), PhantomData))
    }
}

/// Decodes a page.
pub(super) fn page<K: Object>(text: &str) -> Result<Page, Error> {
    if let Ok(List { metadata, items }) = serde_json::from_str::<List<Applied<K>>>(text) {
        return assemble(
            metadata,
            items.into_iter().flatten().map(|applied| applied.0).collect(),
        );
    }
    let List { metadata, items } = serde_json::from_str::<List<Value>>(text)?;
    assemble(
        metadata,
        items
            .into_iter()
            .flatten()
            .map(applied_or_rejected::<K>)
            .collect(),
    )
}

fn assemble(metadata: ListMeta, news: Vec<News>) -> Result<Page, Error> {
    let next = metadata.continue_.filter(|token| !token.is_empty());
    match metadata.resource_version {
        Some(version) if !version.is_empty() => Ok(Page { version, next, news }),
        Some(_) | None => Err(Error::custom("a list without metadata.resourceVersion")),
    }
}

/// Decodes a line of a watch.
pub(super) fn line<K: Object>(bytes: &[u8]) -> Result<Line, Error> {
    let Tag { r#type } = serde_json::from_slice(bytes)?;
    match r#type.as_str() {
        "ADDED" | "MODIFIED" => object::<K>(bytes, K::applied, applied_or_rejected::<K>),
        "DELETED" => object::<K>(bytes, K::removed, |value| {
            K::news(Change::Removed(name_of(&value)))
        }),
        "BOOKMARK" => {
            let object = carried::<Value>(bytes)?;
            let version = version_of(&object).ok_or_else(|| Error::custom("a bookmark without a version"))?;
            Ok(Line::Bookmark(version))
        }
        "ERROR" => Ok(Line::Failed(carried(bytes)?)),
        other => Err(Error::custom(format!("an event of the unknown type {other:?}"))),
    }
}

fn object<K: Object>(bytes: &[u8], whole: fn(K) -> News, broken: fn(Value) -> News) -> Result<Line, Error> {
    if let Ok(object) = carried::<K>(bytes) {
        let version = object.metadata().resource_version.clone();
        return Ok(Line::News(whole(object), version));
    }
    let value = carried::<Value>(bytes)?;
    let version = version_of(&value);
    Ok(Line::News(broken(value), version))
}

fn carried<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map(|Carrier { object }| object)
}

/// The object if it has the shape of its kind, else who it is and which field does not fit.
fn applied_or_rejected<K: Object>(value: Value) -> News {
    let name = name_of(&value);
    match serde_path_to_error::deserialize::<_, K>(value) {
        Ok(object) => object.applied(),
        Err(error) => {
            let field = error.path().to_string();
            let reason = Reason::Shape(error.into_inner().to_string());
            K::news(Change::Rejected(Problem::new(K::OF, &name, field, reason)))
        }
    }
}

fn name_of(value: &Value) -> ObjectName {
    let part = |part: &str| value["metadata"][part].as_str().unwrap_or_default();
    ObjectName::new(part("namespace"), part("name"))
}

fn version_of(value: &Value) -> Option<String> {
    value["metadata"]["resourceVersion"].as_str().map(str::to_owned)
}
