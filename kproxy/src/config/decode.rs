//! A configuration file as documents (semantics 10.01 to 10.03).
//!
//! Fields that nobody knows, or that are there twice, are noted and otherwise of no consequence, as in kube-proxy: a
//! file of another release has to work. Whatever else is not as it should be ends the start.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_yaml_ng::Deserializer;
use thiserror::Error;

use super::document::{self, KubeProxyConfiguration};
use super::own_document::{self, KproxyConfiguration};
use super::tolerant;

/// What a file holds: at least one of the documents, each as it is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Documents {
    /// kube-proxy's configuration.
    pub kube_proxy: Option<KubeProxyConfiguration>,
    /// kproxy's own.
    pub own: Option<KproxyConfiguration>,
    /// What an operator should know.
    pub notes: Vec<String>,
}

/// Why a file is no configuration.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// Not YAML.
    #[error("it is not YAML")]
    Syntax(#[from] serde_yaml_ng::Error),
    /// There is nothing in it.
    #[error("it is empty; it needs a document of the kind {}", document::KIND)]
    Empty,
    /// Not one of our kinds.
    #[error(
        "a document has apiVersion {api_version:?} and kind {kind:?}; kproxy reads {} {} and {} {}",
        document::API_VERSION,
        document::KIND,
        own_document::API_VERSION,
        own_document::KIND
    )]
    Kind {
        /// As written, or empty.
        api_version: String,
        /// As written, or empty.
        kind: String,
    },
    /// Two documents of the same kind.
    #[error("it has two documents of the kind {0}; remove one")]
    Repeated(&'static str),
    /// A field has a value of another kind than it should have.
    #[error("{kind}.{path}")]
    Field {
        /// The document's kind.
        kind: &'static str,
        /// The field.
        path: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// Reads the text of a file.
///
/// # Errors
///
/// [`DecodeError`] names the document and the field.
pub fn decode(text: &str) -> Result<Documents, DecodeError> {
    let mut documents = Documents::default();
    for yaml in Deserializer::from_str(text) {
        let (value, repeated) = tolerant::read(yaml)?;
        if value.is_null() {
            continue;
        }
        let Documents {
            kube_proxy,
            own,
            notes,
        } = &mut documents;
        match (field(&value, "apiVersion"), field(&value, "kind")) {
            (document::API_VERSION, document::KIND) => {
                put(kube_proxy, document::KIND, value, repeated, notes)?;
            }
            (own_document::API_VERSION, own_document::KIND) => {
                put(own, own_document::KIND, value, repeated, notes)?;
            }
            (api_version, kind) => {
                return Err(DecodeError::Kind {
                    api_version: api_version.to_owned(),
                    kind: kind.to_owned(),
                });
            }
        }
    }
    if documents.kube_proxy.is_none() && documents.own.is_none() {
        return Err(DecodeError::Empty);
    }
    Ok(documents)
}

fn field<'a>(document: &'a Value, name: &str) -> &'a str {
    document.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn put<T: DeserializeOwned>(
    place: &mut Option<T>,
    kind: &'static str,
    value: Value,
    repeated: Vec<String>,
    notes: &mut Vec<String>,
) -> Result<(), DecodeError> {
    let mut unknown = Vec::new();
    let document = typed(kind, value, &mut unknown)?;
    let paths = |paths: Vec<String>| {
        let paths: Vec<_> = paths.iter().map(|path| format!("{kind}.{path}")).collect();
        paths.join(", ")
    };
    if !unknown.is_empty() {
        notes.push(format!(
            "fields that are not known are ignored, check their spelling: {}",
            paths(unknown)
        ));
    }
    if !repeated.is_empty() {
        notes.push(format!(
            "of fields that are there twice the last one counts, remove the other: {}",
            paths(repeated)
        ));
    }
    match place.replace(document) {
        None => Ok(()),
        Some(_) => Err(DecodeError::Repeated(kind)),
    }
}

fn typed<T: DeserializeOwned>(
    kind: &'static str,
    value: Value,
    unknown: &mut Vec<String>,
) -> Result<T, DecodeError> {
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(value, &mut track);
    let document = serde_ignored::deserialize(tracked, |path| unknown.push(path.to_string()));
    document.map_err(|source| DecodeError::Field {
        kind,
        path: track.path().to_string(),
        source,
    })
}
