//! What a kind is. Handlers are generic; what differs from kind to kind stands in [`table`] and in the kind's
//! [`admission`](super::admission) strategy.

mod table;

use serde_json::Value;

use super::admission::Admit;
use super::convert;
use super::status::Status;

pub(crate) use table::KINDS;

/// How a list inside an object is merged by a strategic merge patch, from the `patchMergeKey` tags of `k8s.io/api`.
/// A list that is not named is replaced as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Merge {
    /// Items are objects, matched by this field.
    By(&'static str),
    /// Items are plain values, united.
    Union,
}

/// One served kind.
#[derive(Debug)]
pub(crate) struct Kind {
    /// API group, empty for the core group.
    pub(crate) group: &'static str,
    /// API version inside the group.
    pub(crate) version: &'static str,
    /// The resource's name in paths. Kinds that are two views of one resource share it, and their objects.
    pub(crate) plural: &'static str,
    /// The resource's name for one object.
    pub(crate) singular: &'static str,
    /// Kind as in objects.
    pub(crate) name: &'static str,
    /// What `kubectl` accepts besides.
    pub(crate) short_names: &'static [&'static str],
    /// Groups of resources for people: `kubectl get all`.
    pub(crate) categories: &'static [&'static str],
    /// Whether objects live in namespaces.
    pub(crate) namespaced: bool,
    /// Whether `/status` is a separate resource.
    pub(crate) status: bool,
    /// Whether the kind counts changes of its specification in `metadata.generation`.
    pub(crate) generation: bool,
    /// Field selectors beside `metadata.name` and `metadata.namespace`: label and JSON pointer in the stored form.
    pub(crate) fields: &'static [(&'static str, &'static str)],
    /// Lists that strategic merge patches merge: dotted path and how.
    pub(crate) merges: &'static [(&'static str, Merge)],
    /// Decodes, completes and checks an object.
    pub(crate) admit: fn(Admit<'_>) -> Result<Value, Status>,
    /// From the served form to the stored form and back.
    pub(crate) conversion: Option<convert::Conversion>,
}

impl Kind {
    /// `v1` or `discovery.k8s.io/v1`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `services` or `endpointslices.discovery.k8s.io`, as messages name a resource.
    pub(crate) fn resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

/// The kind behind a path.
pub(crate) fn by_path(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS
        .iter()
        .find(|kind| (kind.group, kind.version, kind.plural) == (group, version, plural))
}

/// The kind an object says it is.
pub(crate) fn by_object(object: &Value) -> Option<&'static Kind> {
    let (api_version, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
    KINDS
        .iter()
        .find(|known| known.api_version() == api_version && known.name == kind)
}
