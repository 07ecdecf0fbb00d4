//! The table of kinds the server knows. Handlers are generic; what differs from kind to kind stands here
//! and in the kind's [`admission`] strategy.

use serde_json::Value;

use super::admission::{self, Admit};
use super::convert;
use super::status::Status;

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

const PLAIN: Kind = Kind {
    group: "",
    version: "v1",
    plural: "",
    singular: "",
    name: "",
    short_names: &[],
    categories: &[],
    namespaced: true,
    status: false,
    generation: false,
    fields: &[],
    merges: &[],
    admit: admission::refuse,
    conversion: None,
};

const CONDITIONS: (&str, Merge) = ("status.conditions", Merge::By("type"));

/// Every served kind.
pub(crate) static KINDS: [Kind; 8] = [
    Kind {
        plural: "services",
        singular: "service",
        name: "Service",
        short_names: &["svc"],
        categories: &["all"],
        status: true,
        fields: &[("spec.clusterIP", "/spec/clusterIP"), ("spec.type", "/spec/type")],
        merges: &[("spec.ports", Merge::By("port")), CONDITIONS],
        admit: admission::admit::<k8s_openapi::api::core::v1::Service>,
        ..PLAIN
    },
    Kind {
        group: "discovery.k8s.io",
        plural: "endpointslices",
        singular: "endpointslice",
        name: "EndpointSlice",
        generation: true,
        admit: admission::admit::<k8s_openapi::api::discovery::v1::EndpointSlice>,
        ..PLAIN
    },
    Kind {
        plural: "nodes",
        singular: "node",
        name: "Node",
        short_names: &["no"],
        namespaced: false,
        status: true,
        fields: &[("spec.unschedulable", "/spec/unschedulable")],
        merges: &[
            CONDITIONS,
            ("status.addresses", Merge::By("type")),
            ("spec.podCIDRs", Merge::Union),
        ],
        admit: admission::admit::<k8s_openapi::api::core::v1::Node>,
        ..PLAIN
    },
    Kind {
        group: "networking.k8s.io",
        plural: "servicecidrs",
        singular: "servicecidr",
        name: "ServiceCIDR",
        namespaced: false,
        status: true,
        merges: &[CONDITIONS],
        admit: admission::admit::<k8s_openapi::api::networking::v1::ServiceCIDR>,
        ..PLAIN
    },
    Kind {
        group: "events.k8s.io",
        plural: "events",
        singular: "event",
        name: "Event",
        short_names: &["ev"],
        fields: EVENT_FIELDS,
        admit: admission::admit::<k8s_openapi::api::events::v1::Event>,
        ..PLAIN
    },
    Kind {
        plural: "events",
        singular: "event",
        name: "Event",
        short_names: &["ev"],
        fields: EVENT_FIELDS,
        admit: admission::admit::<k8s_openapi::api::core::v1::Event>,
        conversion: Some(convert::CORE_EVENT),
        ..PLAIN
    },
    Kind {
        plural: "namespaces",
        singular: "namespace",
        name: "Namespace",
        short_names: &["ns"],
        namespaced: false,
        status: true,
        fields: &[("status.phase", "/status/phase")],
        merges: &[CONDITIONS],
        admit: admission::admit::<k8s_openapi::api::core::v1::Namespace>,
        ..PLAIN
    },
    Kind {
        plural: "pods",
        singular: "pod",
        name: "Pod",
        short_names: &["po"],
        categories: &["all"],
        status: true,
        fields: &[
            ("spec.nodeName", "/spec/nodeName"),
            ("status.phase", "/status/phase"),
            ("status.podIP", "/status/podIP"),
        ],
        merges: &[
            CONDITIONS,
            ("spec.containers", Merge::By("name")),
            ("spec.containers.ports", Merge::By("containerPort")),
            ("spec.containers.env", Merge::By("name")),
            ("spec.volumes", Merge::By("name")),
            ("status.podIPs", Merge::By("ip")),
        ],
        admit: admission::admit::<k8s_openapi::api::core::v1::Pod>,
        ..PLAIN
    },
];

/// Selectors of the core group, which `kubectl describe` uses; the newer group takes the same here.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject.kind", "/regarding/kind"),
    ("involvedObject.namespace", "/regarding/namespace"),
    ("involvedObject.name", "/regarding/name"),
    ("involvedObject.uid", "/regarding/uid"),
    ("involvedObject.apiVersion", "/regarding/apiVersion"),
    ("regarding.kind", "/regarding/kind"),
    ("regarding.namespace", "/regarding/namespace"),
    ("regarding.name", "/regarding/name"),
    ("reason", "/reason"),
    ("type", "/type"),
    ("reportingController", "/reportingController"),
];
