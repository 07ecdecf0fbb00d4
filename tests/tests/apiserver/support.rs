//! What the tests share.

use std::time::Duration;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kproxy_tests::apiserver::{ApiServer, Options};
use kube::{Api, Client};
use serde_json::json;

/// Anything that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server and a client of it.
pub(crate) async fn start() -> (ApiServer, Client) {
    let server = ApiServer::start().await.expect("the API server starts");
    let client = server.client().expect("a client is made");
    (server, client)
}

/// The in-process server, for faults, with quick bookmarks.
pub(crate) fn start_in_process() -> (ApiServer, Client) {
    let options = Options {
        bookmarks_every: Duration::from_millis(50),
        ..Options::default()
    };
    let server = ApiServer::start_in_process(&options).expect("the API server starts");
    let client = server.client().expect("a client is made");
    (server, client)
}

/// Services of the namespace `kube-public`, where a fresh cluster has none.
pub(crate) fn services(client: &Client) -> Api<Service> {
    Api::namespaced(client.clone(), "kube-public")
}

/// Slices of the same namespace.
pub(crate) fn slices(client: &Client) -> Api<EndpointSlice> {
    Api::namespaced(client.clone(), "kube-public")
}

/// A service with one port.
pub(crate) fn service(name: &str) -> Service {
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    });
    serde_json::from_value(service).expect("a service")
}

/// A slice with one endpoint.
pub(crate) fn slice(name: &str, address: &str) -> EndpointSlice {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address]}],
        "ports": [{"port": 8080}],
    });
    serde_json::from_value(slice).expect("a slice")
}

/// The next item of a stream that must not end.
pub(crate) async fn next<T>(stream: &mut (impl Stream<Item = T> + Unpin)) -> T {
    let item = tokio::time::timeout(PATIENCE, stream.next())
        .await
        .expect("something happens in time");
    item.expect("the stream goes on")
}

/// The status code of the API server's refusal, and its message.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> (u16, String) {
    let error = result.expect_err("the API server refuses this");
    if let kube::Error::Api(status) = &error {
        return (status.code, status.message.clone());
    }
    // No status code has this number, so that the caller's assertion fails and shows the text.
    (0, error.to_string())
}
