//! Watches, as kube-rs' reflectors use them and one by one.

use std::pin::pin;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client};
use serde_json::json;

use super::support::{next, service, services, start, start_in_process};

#[tokio::test]
async fn a_watcher_sees_the_list_and_every_change() {
    for config in [Config::default(), Config::default().page_size(1)] {
        let (_server, client) = start().await;
        follow(&client, config).await;
    }
}

/// Real servers have streaming lists behind a feature gate that some versions leave off.
#[tokio::test]
async fn a_watcher_may_have_its_list_streamed() {
    let (_server, client) = start_in_process();
    follow(&client, Config::default().streaming_lists()).await;
}

async fn follow(client: &Client, config: Config) {
    let services = services(client);
    for name in ["api", "web"] {
        services
            .create(&PostParams::default(), &service(name))
            .await
            .expect("created");
    }
    let mut events = pin!(watcher(services.clone(), config));

    assert!(matches!(next(&mut events).await, Ok(Event::Init)));
    let mut listed = vec![
        name_of(&next(&mut events).await),
        name_of(&next(&mut events).await),
    ];
    listed.sort();
    assert_eq!(listed, ["InitApply api", "InitApply web"]);
    assert!(matches!(next(&mut events).await, Ok(Event::InitDone)));

    services
        .create(&PostParams::default(), &service("db"))
        .await
        .expect("created");
    assert_eq!(name_of(&next(&mut events).await), "Apply db");
    label(&services, "db", "front").await;
    assert_eq!(name_of(&next(&mut events).await), "Apply db");
    services
        .delete("db", &DeleteParams::default())
        .await
        .expect("deleted");
    assert_eq!(name_of(&next(&mut events).await), "Delete db");
}

#[tokio::test]
async fn a_reflector_follows() {
    let (_server, client) = start().await;
    let services = services(&client);
    let (reader, writer) = reflector::store();
    let mut applied = pin!(
        watcher(services.clone(), Config::default())
            .reflect(writer)
            .applied_objects()
    );

    services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");
    next(&mut applied).await.expect("an object");
    // The reflector shows a list when it is complete, which the next event says.
    services
        .create(&PostParams::default(), &service("xeb"))
        .await
        .expect("created");
    next(&mut applied).await.expect("an object");

    let mut known: Vec<_> = reader
        .state()
        .iter()
        .filter_map(|service| service.metadata.name.clone())
        .collect();
    known.sort();
    assert_eq!(known, ["web", "xeb"]);
}

#[tokio::test]
async fn a_watch_goes_on_from_a_version() {
    let (_server, client) = start().await;
    let services = services(&client);
    let first = services
        .create(&PostParams::default(), &service("a"))
        .await
        .expect("created");
    services
        .create(&PostParams::default(), &service("b"))
        .await
        .expect("created");
    services
        .delete("a", &DeleteParams::default())
        .await
        .expect("deleted");

    let version = first.metadata.resource_version.expect("a version");
    let mut events = pin!(
        services
            .watch(&WatchParams::default(), &version)
            .await
            .expect("a watch")
    );

    assert_eq!(kind_of(&next(&mut events).await.expect("an event")), "ADDED b");
    assert_eq!(kind_of(&next(&mut events).await.expect("an event")), "DELETED a");
}

#[tokio::test]
async fn objects_enter_and_leave_a_selection() {
    let (_server, client) = start().await;
    let services = services(&client);
    services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");
    let list = services.list(&ListParams::default()).await.expect("a list");
    let version = list.metadata.resource_version.expect("a version");
    let selected = WatchParams::default().labels("tier=front");
    let mut events = pin!(services.watch(&selected, &version).await.expect("a watch"));

    label(&services, "web", "front").await;
    assert_eq!(kind_of(&next(&mut events).await.expect("an event")), "ADDED web");
    label(&services, "web", "back").await;
    assert_eq!(
        kind_of(&next(&mut events).await.expect("an event")),
        "DELETED web"
    );
}

#[tokio::test]
async fn a_watch_ends_in_time_with_a_bookmark() {
    let (_server, client) = start_in_process();
    let services = services(&client);
    let created = services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");
    let version = created.metadata.resource_version.expect("a version");

    let watch = services
        .watch(&WatchParams::default().timeout(1), &version)
        .await
        .expect("a watch");
    let events: Vec<_> = watch
        .map(|event| kind_of(&event.expect("an event")))
        .collect()
        .await;

    assert!(
        events.last().is_some_and(|last| last.starts_with("BOOKMARK")),
        "{events:?}"
    );
}

#[tokio::test]
async fn bookmarks_tell_how_far_other_resources_have_gone() {
    let (_server, client) = start_in_process();
    let services = services(&client);
    let list = services.list(&ListParams::default()).await.expect("a list");
    let version = list.metadata.resource_version.expect("a version");
    let mut events = pin!(
        services
            .watch(&WatchParams::default(), &version)
            .await
            .expect("a watch")
    );

    let slice = super::support::slice("web", "10.1.0.4");
    super::support::slices(&client)
        .create(&PostParams::default(), &slice)
        .await
        .expect("created");

    let expected = format!("BOOKMARK {}", version.parse::<u64>().expect("a number") + 1);
    while kind_of(&next(&mut events).await.expect("an event")) != expected {}
}

async fn label(services: &Api<Service>, name: &str, tier: &str) {
    let patch = json!({"metadata": {"labels": {"tier": tier}}});
    services
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .expect("labelled");
}

pub(crate) fn name_of(event: &Result<Event<Service>, watcher::Error>) -> String {
    let name = |service: &Service| service.metadata.name.clone().unwrap_or_default();
    match event {
        Ok(Event::Init) => "Init".to_owned(),
        Ok(Event::InitApply(service)) => format!("InitApply {}", name(service)),
        Ok(Event::InitDone) => "InitDone".to_owned(),
        Ok(Event::Apply(service)) => format!("Apply {}", name(service)),
        Ok(Event::Delete(service)) => format!("Delete {}", name(service)),
        Err(error) => format!("error: {error}"),
    }
}

pub(crate) fn kind_of(event: &WatchEvent<Service>) -> String {
    let name = |service: &Service| service.metadata.name.clone().unwrap_or_default();
    match event {
        WatchEvent::Added(service) => format!("ADDED {}", name(service)),
        WatchEvent::Modified(service) => format!("MODIFIED {}", name(service)),
        WatchEvent::Deleted(service) => format!("DELETED {}", name(service)),
        WatchEvent::Bookmark(bookmark) => format!("BOOKMARK {}", bookmark.metadata.resource_version),
        WatchEvent::Error(status) => format!("ERROR {} {}", status.code, status.reason),
    }
}
