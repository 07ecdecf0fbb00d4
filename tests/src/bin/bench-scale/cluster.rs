//! The objects in the API server.

use anyhow::Context;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kproxy_tests::apiserver::ApiServer;
use kproxy_tests::bench::Cluster;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

/// Stores every object.
pub(crate) fn fill(server: &ApiServer, cluster: &Cluster) -> anyhow::Result<()> {
    for object in cluster.objects().flatten() {
        server.insert_unchecked(object)?;
    }
    Ok(())
}

/// Replaces the oldest pod of one service by a new one.
pub(crate) async fn change(client: &Client, cluster: &mut Cluster, number: u32) -> anyhow::Result<()> {
    let slice = cluster.change(number);
    let name = slice["metadata"]["name"]
        .as_str()
        .context("a slice without a name")?;
    let api: Api<EndpointSlice> = Api::namespaced(client.clone(), "default");
    let patch = Patch::Merge(json!({"endpoints": slice["endpoints"]}));
    api.patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}
