//! The text of one manifest file.
//!
//! YAML, which JSON is a part of; several documents, and lists of objects. A file is read as a whole or not at all: an
//! error anywhere in it leaves what it said before in use. Every document is read twice, first for the kinds in it and
//! then straight into their types, because only that way an error knows its line.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

/// The objects of one file.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub(super) objects: Vec<Found>,
    /// Other kinds that it has objects of, as `apiVersion/kind`.
    pub(super) ignored: BTreeSet<String>,
}

/// One object.
#[derive(Debug)]
pub(super) enum Found {
    Service(Box<Service>),
    Slice(Box<EndpointSlice>),
    Node(Box<Node>),
    ServiceCidr(Box<ServiceCIDR>),
}

/// Why a file can not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}, column {column}, field {field}: {message}")]
pub(super) struct ReadError {
    /// Counted from 1; 0 if it is not known.
    pub(super) line: usize,
    /// Counted from 1; 0 if it is not known.
    pub(super) column: usize,
    /// Path within the document, `.` for the document itself.
    pub(super) field: String,
    pub(super) message: String,
}

pub(super) fn read(text: &str) -> Result<Contents, ReadError> {
    let documents = || serde_yaml_ng::Deserializer::from_str(text);
    let headers = documents().map(|document| tracked(document, PhantomData));
    let headers: Vec<Option<Header>> = headers.collect::<Result<_, _>>()?;
    let mut contents = Contents::default();
    for (header, document) in headers.iter().zip(documents()) {
        // An empty document, as after a last `---`.
        let Some(header) = header else { continue };
        tracked(
            document,
            Objects {
                header,
                contents: &mut contents,
            },
        )?;
    }
    Ok(contents)
}

/// Decodes a document and, when that fails, says where.
fn tracked<'de, S: DeserializeSeed<'de>>(
    document: serde_yaml_ng::Deserializer<'de>,
    seed: S,
) -> Result<S::Value, ReadError> {
    let mut track = serde_path_to_error::Track::new();
    seed.deserialize(serde_path_to_error::Deserializer::new(document, &mut track))
        .map_err(|error| {
            let (line, column) = error
                .location()
                .map_or((0, 0), |place| (place.line(), place.column()));
            ReadError {
                line,
                column,
                field: track.path().to_string(),
                message: error.to_string(),
            }
        })
}

/// What says how to read the rest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", expecting = "an object with apiVersion and kind")]
struct Header {
    api_version: String,
    kind: String,
    items: Option<Vec<Header>>,
}

/// Reads one document, or one item of a list, and adds what it finds.
struct Objects<'a> {
    header: &'a Header,
    contents: &'a mut Contents,
}

impl<'de> DeserializeSeed<'de> for Objects<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        let Header {
            api_version,
            kind,
            items,
        } = self.header;
        let found = match (api_version.as_str(), kind.as_str(), items) {
            ("v1", "Service", _) => Found::Service(Box::deserialize(document)?),
            ("discovery.k8s.io/v1", "EndpointSlice", _) => Found::Slice(Box::deserialize(document)?),
            ("v1", "Node", _) => Found::Node(Box::deserialize(document)?),
            ("networking.k8s.io/v1", "ServiceCIDR", _) => Found::ServiceCidr(Box::deserialize(document)?),
            ("v1", "List", Some(_)) => return document.deserialize_map(self),
            ("v1", "List", None) => return IgnoredAny::deserialize(document).map(drop),
            (version, kind, _) => {
                self.contents.ignored.insert(format!("{version}/{kind}"));
                return IgnoredAny::deserialize(document).map(drop);
            }
        };
        self.contents.objects.push(found);
        Ok(())
    }
}

/// The map of a `List`.
impl<'de> Visitor<'de> for Objects<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let headers = self.header.items.as_deref().unwrap_or_default();
        while let Some(key) = map.next_key::<String>()? {
            if key == "items" {
                map.next_value_seed(Items {
                    headers,
                    contents: self.contents,
                })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The items of a `List`.
struct Items<'a> {
    headers: &'a [Header],
    contents: &'a mut Contents,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, items: D) -> Result<(), D::Error> {
        items.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for header in self.headers {
            items.next_element_seed(Objects {
                header,
                contents: &mut *self.contents,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: &str =
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  ports:\n  - port: 80\n";

    fn names(text: &str) -> Vec<String> {
        let objects = read(text).unwrap().objects.into_iter();
        let name = |found| match found {
            Found::Service(object) => object.metadata.name,
            Found::Slice(object) => object.metadata.name,
            Found::Node(object) => object.metadata.name,
            Found::ServiceCidr(object) => object.metadata.name,
        };
        objects.filter_map(name).collect()
    }

    #[test]
    fn documents_and_lists_in_yaml_and_json() {
        let two = format!(
            "---\n{SERVICE}---\n# nothing\n---\n{}---\n",
            SERVICE.replace("web", "other")
        );
        let list = "apiVersion: v1\nkind: List\nmetadata: {}\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: n}}\n- apiVersion: discovery.k8s.io/v1\n  kind: EndpointSlice\n  metadata: {name: s}\n  addressType: IPv4\n  endpoints: []\n";
        let json = "{\n\t\"items\": [{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"j\"}}],\n\t\"apiVersion\": \"v1\", \"kind\": \"List\"}";
        let rows = [
            ("", vec![]),
            (SERVICE, vec!["web"]),
            (&two, vec!["web", "other"]),
            (list, vec!["n", "s"]),
            (json, vec!["j"]),
        ];
        for (text, expected) in rows {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    #[test]
    fn other_kinds_are_noted() {
        let contents = read("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: [1]}\n---\napiVersion: v1\nkind: Endpoints\n").unwrap();
        assert!(contents.objects.is_empty());
        assert_eq!(
            contents.ignored.into_iter().collect::<Vec<_>>(),
            ["apps/v1/Deployment", "v1/Endpoints"]
        );
    }

    #[test]
    fn errors_say_where() {
        let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: web}\n  spec:\n    ports:\n    - port: eighty\n";
        let rows = [
            (SERVICE.replace("80", "eighty"), 6, 11, "spec.ports[0].port"),
            (
                format!("{SERVICE}---\n{}", SERVICE.replace("80", "[80]")),
                13,
                11,
                "spec.ports[0].port",
            ),
            (list.to_owned(), 9, 13, "items[0].spec.ports[0].port"),
            (format!("{SERVICE}  }}"), 7, 3, "spec"),
            ("just text".into(), 1, 1, "."),
            ("# none\n\nmetadata: {name: web}\n".into(), 3, 1, "."),
        ];
        for (text, line, column, field) in rows {
            let error = read(&text).unwrap_err();
            assert_eq!(
                (error.line, error.column, error.field.as_str()),
                (line, column, field),
                "{error}\n{text}"
            );
        }
    }
}
