//! One stored object: an immutable value, serialized at most once.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use k8s_openapi::jiff;
use serde_json::Value;

use super::kinds::Kind;

/// Identifies a stored object: resource, namespace (empty for cluster-wide resources), name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The resource's plural name.
    pub(crate) resource: &'static str,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(crate) fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        let namespace = if kind.namespaced { namespace } else { "" };
        Self {
            resource: kind.plural,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// A stored object, without `apiVersion` and `kind`: they depend on how it is read.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) value: Value,
    body: OnceLock<Bytes>,
}

impl Object {
    pub(crate) fn new(value: Value) -> Arc<Self> {
        Arc::new(Self {
            value,
            body: OnceLock::new(),
        })
    }

    /// The value as JSON. Made by the first reader, shared by all: lists and watches copy bytes.
    pub(crate) fn body(&self) -> Bytes {
        let serialize = || {
            serde_json::to_vec(&self.value)
                .expect("a JSON value serializes")
                .into()
        };
        self.body.get_or_init(serialize).clone()
    }

    /// The same object with another resource version.
    pub(crate) fn at_revision(&self, revision: u64) -> Value {
        let mut value = self.value.clone();
        value["metadata"]["resourceVersion"] = revision.to_string().into();
        value
    }
}

/// A string at a JSON pointer, empty when there is none.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Now, as `metadata.creationTimestamp` has it.
pub(crate) fn timestamp() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second())
        .unwrap_or(now)
        .to_string()
}

/// A fresh `metadata.uid`.
pub(crate) fn uid() -> String {
    let (high, low) = (random(), random());
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0x3fff | 0x8000,
        low & 0xffff_ffff_ffff
    )
}

/// The five characters that `metadata.generateName` is completed with; Kubernetes leaves out vowels.
pub(crate) fn name_suffix() -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut number = random();
    let mut next = || {
        let length = ALPHABET.len() as u64;
        let index = usize::try_from(number % length).unwrap_or_default();
        number /= length;
        char::from(ALPHABET[index])
    };
    (0..5).map(|_| next()).collect()
}

/// Names and identifiers need to be unique, not secret: the standard library's randomly seeded hasher will do.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
