//! Names of objects.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Kind, Problem, Reason};

/// One part of a name, shared: the same namespaces and node names occur thousands of times.
pub type Name = Arc<str>;

/// Namespace and name of an object of a known kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// The namespace, empty for objects that have none.
    pub namespace: Name,
    /// The name.
    pub name: Name,
}

impl ObjectName {
    /// A name from its two parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The name that an object's metadata gives it.
    ///
    /// # Errors
    /// The metadata has no name.
    pub fn of(kind: Kind, metadata: &ObjectMeta) -> Result<Self, Problem> {
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        match metadata.name.as_deref() {
            None | Some("") => Err(Problem::new(
                kind,
                &Self::new(namespace, ""),
                "metadata.name",
                Reason::Missing,
            )),
            Some(name) => Ok(Self::new(namespace, name)),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(if self.name.is_empty() {
            "(without a name)"
        } else {
            &self.name
        })
    }
}
