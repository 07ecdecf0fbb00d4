//! Objects for tests, written as the JSON that a user would write.

#![expect(
    clippy::needless_pass_by_value,
    reason = "rows of tables are literals that nobody needs afterwards"
)]

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Node, Parsed, Problem, Service, Slice};

/// Parses a Service `default/web`; `spec` is merged over one ClusterIP and one unnamed TCP port 80.
pub(crate) fn parse_service(spec: Value) -> Result<Parsed<Service>, Problem> {
    parse_service_object(json!({ "spec": spec }))
}

/// The same for the whole object.
pub(crate) fn parse_service_object(fields: Value) -> Result<Parsed<Service>, Problem> {
    let mut object = json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]},
    });
    json_patch::merge(&mut object, &fields);
    decode::<k8s_openapi::api::core::v1::Service>(object).try_into()
}

/// The same, of which nothing is wrong.
pub(crate) fn service(spec: Value) -> Service {
    clean(parse_service(spec))
}

/// The same for the whole object.
pub(crate) fn service_object(fields: Value) -> Service {
    clean(parse_service_object(fields))
}

/// Parses the IPv4 slice `default/web-1` of the service `web`; `fields` are merged over it.
pub(crate) fn parse_slice(fields: Value) -> Result<Parsed<Slice>, Problem> {
    let mut object = json!({
        "metadata": {"name": "web-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": [],
    });
    json_patch::merge(&mut object, &fields);
    decode::<k8s_openapi::api::discovery::v1::EndpointSlice>(object).try_into()
}

/// The same, of which nothing is wrong.
pub(crate) fn slice(fields: Value) -> Slice {
    clean(parse_slice(fields))
}

/// Parses the node `here`; `fields` are merged over it.
pub(crate) fn node(fields: Value) -> Node {
    let mut object = json!({"metadata": {"name": "here"}});
    json_patch::merge(&mut object, &fields);
    clean(decode::<k8s_openapi::api::core::v1::Node>(object).try_into())
}

fn decode<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).expect("the sample has the shape of its kind")
}

fn clean<T>(parsed: Result<Parsed<T>, Problem>) -> T {
    let parsed = parsed.expect("the sample has a name");
    assert_eq!(parsed.problems, [], "problems of {}", parsed.name);
    parsed.object.expect("the sample is for kproxy")
}
