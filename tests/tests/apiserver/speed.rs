//! Sizes that benchmarks of the agent need. What is asserted is generous: these are not timed tests, but a server
//! that were quadratic would hang here.

use std::pin::pin;
use std::time::{Duration, Instant};

use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams, WatchParams};
use serde_json::{Value, json};

use super::support::{next, service, services, start_in_process};

#[tokio::test]
async fn ten_thousand_services_are_listed_in_seconds() {
    let (server, client) = start_in_process();
    for index in 0..10_000_u32 {
        for object in service_with_slice(index) {
            server.insert_unchecked(object).expect("inserted");
        }
    }
    let slices: Api<EndpointSlice> = Api::all(client);

    let begin = Instant::now();
    let list = slices.list(&ListParams::default()).await.expect("a list");
    let listed = begin.elapsed();

    println!("10,000 slices x 10 endpoints listed and decoded in {listed:?}");
    assert_eq!(list.items.len(), 10_000);
    assert!(listed < Duration::from_secs(20), "{listed:?}");
}

#[tokio::test]
async fn thousands_of_services_get_addresses() {
    let (_server, client) = start_in_process();
    let services = services(&client);

    let begin = Instant::now();
    for index in 0..2_000 {
        services
            .create(&PostParams::default(), &service(&format!("web-{index}")))
            .await
            .expect("created");
    }

    println!(
        "2,000 services created one after the other in {:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn changes_reach_watches_at_once() {
    let (_server, client) = start_in_process();
    let services = services(&client);
    let created = services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");
    let version = created.metadata.resource_version.expect("a version");
    let quiet = WatchParams::default().disable_bookmarks();
    let parameters = PatchParams::default();
    let mut events = pin!(services.watch(&quiet, &version).await.expect("a watch"));

    let mut delays = Vec::new();
    for round in 0..200 {
        let patch = json!({"metadata": {"labels": {"round": round.to_string()}}});
        let begin = Instant::now();
        let patch = Patch::Merge(&patch);
        let write = services.patch("web", &parameters, &patch);
        let (written, event) = futures::join!(write, next(&mut events));
        written.expect("patched");
        event.expect("an event");
        delays.push(begin.elapsed());
    }

    delays.sort();
    println!(
        "from the request to its event and answer: median {:?}, worst {:?}",
        delays[100], delays[199]
    );
}

fn service_with_slice(index: u32) -> [Value; 2] {
    let name = format!("web-{index}");
    let endpoints: Vec<_> = (0..10)
        .map(
            |endpoint| json!({"addresses": [format!("10.{}.{}.{endpoint}", 128 + index / 256, index % 256)]}),
        )
        .collect();
    let metadata =
        json!({"name": name, "namespace": "default", "labels": {"kubernetes.io/service-name": name}});
    [
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"clusterIP": format!("10.97.{}.{}", index / 256, index % 256), "ports": [{"port": 80}]},
        }),
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata,
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"port": 8080}],
        }),
    ]
}
