//! Each fault, and how kube-rs gets over it.

use std::pin::pin;
use std::time::{Duration, Instant};

use kproxy_tests::apiserver::Fault;
use kube::api::{ListParams, PostParams, WatchParams};
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;

use super::support::{next, refusal, service, services, start_in_process};
use super::watches::{kind_of, name_of};

/// Reads until an event of that text, at most thirty events.
async fn until<S>(events: &mut S, expected: &str)
where
    S: futures::Stream<Item = Result<Event<k8s_openapi::api::core::v1::Service>, watcher::Error>> + Unpin,
{
    let mut seen: Vec<String> = Vec::new();
    while seen.last().is_none_or(|last| last != expected) {
        assert!(seen.len() < 30, "no {expected:?} in {seen:?}");
        seen.push(name_of(&next(events).await));
    }
}

#[tokio::test]
async fn requests_fail_as_often_as_told() {
    let (server, client) = start_in_process();
    let services = services(&client);
    server
        .faults()
        .expect("faults")
        .inject_on("services", Fault::InternalError, 2);

    for _ in 0..2 {
        assert_eq!(refusal(services.list(&ListParams::default()).await).0, 500);
    }
    services.list(&ListParams::default()).await.expect("a list");
}

#[tokio::test]
async fn lists_and_watches_expire_and_watchers_list_again() {
    let (server, client) = start_in_process();
    let services = services(&client);
    services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");
    let faults = server.faults().expect("faults");

    faults.inject_on("services", Fault::Expired, 1);
    assert_eq!(refusal(services.list(&ListParams::default()).await).0, 410);
    faults.inject_on("services", Fault::Expired, 1);
    let mut events = pin!(
        services
            .watch(&WatchParams::default(), "1")
            .await
            .expect("a watch")
    );
    assert_eq!(
        kind_of(&next(&mut events).await.expect("an event")),
        "ERROR 410 Expired"
    );

    let mut events = pin!(watcher(services, Config::default()).default_backoff());
    until(&mut events, "InitDone").await;
    faults.inject_on("services", Fault::Expired, 1);
    faults.drop_watches();
    until(&mut events, "InitApply web").await;
    until(&mut events, "InitDone").await;
}

#[tokio::test]
async fn dropped_watches_are_resumed_without_loss() {
    let (server, client) = start_in_process();
    let services = services(&client);
    let mut events = pin!(watcher(services.clone(), Config::default()).default_backoff());
    until(&mut events, "InitDone").await;

    server.faults().expect("faults").drop_watches();
    services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");

    until(&mut events, "Apply web").await;
}

#[tokio::test]
async fn an_event_breaks_off_in_the_middle_and_comes_again() {
    let (server, client) = start_in_process();
    let services = services(&client);
    let mut events = pin!(watcher(services.clone(), Config::default()).default_backoff());
    until(&mut events, "InitDone").await;

    server
        .faults()
        .expect("faults")
        .inject_on("services", Fault::BrokenEvent, 1);
    services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");

    until(&mut events, "Apply web").await;
}

#[tokio::test]
async fn a_compacted_history_sends_watchers_back_to_the_list() {
    let (server, client) = start_in_process();
    let services = services(&client);
    let list = services.list(&ListParams::default()).await.expect("a list");
    let version = list.metadata.resource_version.expect("a version");
    services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");
    let page = services
        .list(&ListParams::default().limit(1))
        .await
        .expect("a page");
    services
        .create(&PostParams::default(), &service("xeb"))
        .await
        .expect("created");
    let token = services
        .list(&ListParams::default().limit(1))
        .await
        .expect("a page")
        .metadata
        .continue_;

    server.faults().expect("faults").compact_history();

    let mut events = pin!(
        services
            .watch(&WatchParams::default(), &version)
            .await
            .expect("a watch")
    );
    assert_eq!(
        kind_of(&next(&mut events).await.expect("an event")),
        "ERROR 410 Expired"
    );
    assert_eq!(page.metadata.continue_, None);
    let rest = services
        .list(&ListParams::default().continue_token(&token.expect("more to come")))
        .await;
    assert_eq!(refusal(rest).0, 410);
}

#[tokio::test]
async fn requests_can_be_delayed() {
    let (server, client) = start_in_process();
    let services = services(&client);
    let faults = server.faults().expect("faults");
    faults.delay(Duration::from_millis(300));

    let begin = Instant::now();
    services.list(&ListParams::default()).await.expect("a list");
    let delayed = begin.elapsed();
    faults.clear();
    let begin = Instant::now();
    services.list(&ListParams::default()).await.expect("a list");

    assert!(delayed >= Duration::from_millis(300), "{delayed:?}");
    assert!(begin.elapsed() < delayed, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn the_server_goes_down_and_comes_back_with_its_objects() {
    let (server, client) = start_in_process();
    let services = services(&client);
    let mut events = pin!(watcher(services.clone(), Config::default()).default_backoff());
    until(&mut events, "InitDone").await;
    let (address, faults) = (server.address(), server.faults().expect("faults"));

    faults.stop_listening();
    assert!(services.list(&ListParams::default()).await.is_err());
    assert!(std::net::TcpStream::connect(address).is_err());
    faults.start_listening().expect("listens again");
    services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");

    assert_eq!(server.address(), address);
    until(&mut events, "Apply web").await;
}

#[tokio::test]
async fn bad_objects_get_in_by_the_back_door() {
    let (server, client) = start_in_process();
    let bad = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "bad", "namespace": "kube-public"},
        "spec": {"clusterIP": "10.96.0.300", "ports": [{"port": 70_000}]},
    });

    server.insert_unchecked(bad).expect("inserted");

    let found = services(&client).get("bad").await.expect("found");
    assert_eq!(
        found.spec.and_then(|spec| spec.cluster_ip).as_deref(),
        Some("10.96.0.300")
    );
    let unknown = server.insert_unchecked(json!({"apiVersion": "v1", "kind": "Secret"}));
    assert!(unknown.expect_err("not served").to_string().contains("Secret"));
}
