//! Every served kind.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};

use super::super::{admission, convert};
use super::{Kind, Merge};

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
pub(crate) static KINDS: [Kind; 13] = [
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
    Kind {
        plural: "configmaps",
        singular: "configmap",
        name: "ConfigMap",
        short_names: &["cm"],
        admit: admission::admit::<ConfigMap>,
        ..PLAIN
    },
    Kind {
        plural: "serviceaccounts",
        singular: "serviceaccount",
        name: "ServiceAccount",
        short_names: &["sa"],
        merges: &[
            ("secrets", Merge::By("name")),
            ("imagePullSecrets", Merge::By("name")),
        ],
        admit: admission::admit::<ServiceAccount>,
        ..PLAIN
    },
    Kind {
        group: RBAC,
        plural: "clusterroles",
        singular: "clusterrole",
        name: "ClusterRole",
        namespaced: false,
        admit: admission::admit::<ClusterRole>,
        ..PLAIN
    },
    Kind {
        group: RBAC,
        plural: "clusterrolebindings",
        singular: "clusterrolebinding",
        name: "ClusterRoleBinding",
        namespaced: false,
        admit: admission::admit::<ClusterRoleBinding>,
        ..PLAIN
    },
    Kind {
        group: "apps",
        plural: "daemonsets",
        singular: "daemonset",
        name: "DaemonSet",
        short_names: &["ds"],
        categories: &["all"],
        status: true,
        generation: true,
        merges: DAEMON_SET_MERGES,
        admit: admission::admit::<DaemonSet>,
        ..PLAIN
    },
];

const RBAC: &str = "rbac.authorization.k8s.io";

const DAEMON_SET_MERGES: &[(&str, Merge)] = &[
    CONDITIONS,
    ("spec.template.spec.containers", Merge::By("name")),
    ("spec.template.spec.containers.env", Merge::By("name")),
    ("spec.template.spec.containers.ports", Merge::By("containerPort")),
    (
        "spec.template.spec.containers.volumeMounts",
        Merge::By("mountPath"),
    ),
    ("spec.template.spec.initContainers", Merge::By("name")),
    ("spec.template.spec.imagePullSecrets", Merge::By("name")),
    ("spec.template.spec.volumes", Merge::By("name")),
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
