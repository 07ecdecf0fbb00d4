//! The controller that a real cluster has and ours lacks: it keeps the EndpointSlices of every Service.

use anyhow::Context;
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, PostParams},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};

use super::endpoints::{RunningPod, slices};

/// Follows Services until it is dropped or the API server is gone for good.
///
/// # Errors
/// When a slice can not be written.
pub async fn run(client: Client, pods: Vec<RunningPod>) -> anyhow::Result<()> {
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let events = watcher(services, watcher::Config::default()).default_backoff();
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(service) | Event::InitApply(service)) => write(&client, &service, &pods).await?,
            Ok(Event::Delete(service)) => remove(&client, &service).await?,
            Ok(Event::Init | Event::InitDone) => {}
            // The watcher lists again by itself.
            Err(error) => tracing::debug!("watch of Services: {error}"),
        }
    }
    Ok(())
}

async fn write(client: &Client, service: &Service, pods: &[RunningPod]) -> anyhow::Result<()> {
    let api: Api<EndpointSlice> = Api::default_namespaced(client.clone());
    for mut slice in slices(service, pods) {
        let name = slice.metadata.name.clone().unwrap_or_default();
        let doing = || format!("write EndpointSlice {name}");
        match api.get_opt(&name).await.with_context(doing)? {
            None => api
                .create(&PostParams::default(), &slice)
                .await
                .with_context(doing)?,
            Some(old) if old.endpoints == slice.endpoints && old.ports == slice.ports => continue,
            Some(old) => {
                slice.metadata.resource_version = old.metadata.resource_version;
                api.replace(&name, &PostParams::default(), &slice)
                    .await
                    .with_context(doing)?
            }
        };
    }
    Ok(())
}

async fn remove(client: &Client, service: &Service) -> anyhow::Result<()> {
    let api: Api<EndpointSlice> = Api::default_namespaced(client.clone());
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
    api.delete_collection(&DeleteParams::default(), &of_service)
        .await
        .with_context(|| format!("delete the EndpointSlices of {name}"))?;
    Ok(())
}
