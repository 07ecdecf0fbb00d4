//! What a fresh cluster holds: its namespaces, the default range of cluster addresses, and the service of the API
//! server itself.

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::kinds;
use super::object::{self, Key, text};
use super::store::Contents;

/// The default range, one for each family; a real server is started with the same.
pub(crate) const SERVICE_RANGES: [&str; 2] = ["10.96.0.0/16", "fd00:10:96::/112"];

/// The first address of the first range belongs to the API server.
const API_SERVER: &str = "10.96.0.1";

/// Fills an empty store.
pub(crate) fn fill(contents: &mut Contents, address: SocketAddr) {
    for namespace in ["default", "kube-node-lease", "kube-public", "kube-system"] {
        insert(
            contents,
            json!({
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": namespace, "labels": {"kubernetes.io/metadata.name": namespace}},
                "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Active"},
            }),
        );
    }
    insert(
        contents,
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "ServiceCIDR",
            "metadata": {"name": "kubernetes"},
            "spec": {"cidrs": SERVICE_RANGES},
        }),
    );
    insert(
        contents,
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "type": "ClusterIP",
                "clusterIP": API_SERVER,
                "clusterIPs": [API_SERVER],
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "internalTrafficPolicy": "Cluster",
                "sessionAffinity": "None",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": address.port()}],
            },
            "status": {"loadBalancer": {}},
        }),
    );
    // Slices may not hold loopback addresses; a real server on loopback has none either.
    if !address.ip().is_loopback() && !address.ip().is_unspecified() {
        insert(
            contents,
            json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": "kubernetes",
                    "namespace": "default",
                    "labels": {"kubernetes.io/service-name": "kubernetes"},
                },
                "addressType": if address.is_ipv6() { "IPv6" } else { "IPv4" },
                "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
                "ports": [{"name": "https", "port": address.port(), "protocol": "TCP"}],
            }),
        );
    }
}

/// Stores an object as it is, bar the metadata every object has. `None` when its kind is not served.
pub(crate) fn insert(contents: &mut Contents, mut value: Value) -> Option<()> {
    let kind = kinds::by_object(&value)?;
    let namespace = match text(&value, "/metadata/namespace") {
        "" if kind.namespaced => "default",
        namespace => namespace,
    };
    let key = Key::new(kind, namespace, text(&value, "/metadata/name"));
    if kind.namespaced {
        value["metadata"]["namespace"] = key.namespace.clone().into();
    }
    let old = contents
        .find(&key)
        .map(|old| old.value["metadata"].clone())
        .unwrap_or_default();
    for (field, fresh) in [("uid", object::uid()), ("creationTimestamp", object::timestamp())] {
        if value["metadata"][field].is_null() {
            value["metadata"][field] = old.get(field).cloned().unwrap_or_else(|| fresh.into());
        }
    }
    if let Some(object) = value.as_object_mut() {
        object.remove("apiVersion");
        object.remove("kind");
    }
    super::convert::to_stored(kind.conversion, &mut value);
    contents.put(key, value);
    Some(())
}
