//! The kinds of patch, as a client library sends them. `kubectl.rs` has the same by `kubectl`.

use axum::http::Request;
use k8s_openapi::api::core::v1::Service;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::support::{refusal, service, services, slice, slices, start};

#[tokio::test]
async fn a_merge_patch_merges_maps_and_replaces_lists() {
    let (_server, client) = start().await;
    let services = services(&client);
    services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");
    let patch = json!({
        "metadata": {"labels": {"app": null, "tier": "front"}},
        "spec": {"ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]},
    });

    let patched = services
        .patch("web", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .expect("patched");

    assert_eq!(labels(&patched), json!({"tier": "front"}));
    assert_eq!(
        ports(&patched),
        json!([{"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53}])
    );
}

#[tokio::test]
async fn a_strategic_patch_merges_ports_by_number() {
    let (_server, client) = start().await;
    let services = services(&client);
    services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");
    let patch = json!({"spec": {"ports": [{"port": 80, "targetPort": 9090}, {"name": "tls", "port": 443}]}});

    let patched = services
        .patch("web", &PatchParams::default(), &Patch::Strategic(&patch))
        .await
        .expect("patched");

    let mut found = ports(&patched);
    found
        .as_array_mut()
        .expect("ports")
        .sort_by_key(|port| port["port"].as_u64());
    assert_eq!(
        found,
        json!([
            {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 9090},
            {"name": "tls", "port": 443, "protocol": "TCP", "targetPort": 443},
        ])
    );
}

#[tokio::test]
async fn a_strategic_patch_replaces_the_endpoints_of_a_slice() {
    let (_server, client) = start().await;
    let slices = slices(&client);
    slices
        .create(&PostParams::default(), &slice("web", "10.1.0.4"))
        .await
        .expect("created");
    let patch = json!({"endpoints": [{"addresses": ["10.1.0.5"]}]});

    let patched = slices
        .patch("web", &PatchParams::default(), &Patch::Strategic(&patch))
        .await
        .expect("patched");

    let addresses: Vec<_> = patched
        .endpoints
        .into_iter()
        .flat_map(|endpoint| endpoint.addresses)
        .collect();
    assert_eq!(addresses, ["10.1.0.5"]);
}

#[tokio::test]
async fn a_json_patch_edits_in_steps_and_checks_on_the_way() {
    let (_server, client) = start().await;
    services(&client)
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");
    let send = async |steps: Value| {
        let request = Request::patch("/api/v1/namespaces/kube-public/services/web")
            .header("content-type", "application/json-patch+json")
            .body(steps.to_string().into_bytes())
            .expect("a request");
        client.request::<Service>(request).await
    };

    let patched = send(json!([
        {"op": "test", "path": "/spec/ports/0/port", "value": 80},
        {"op": "replace", "path": "/spec/ports/0/targetPort", "value": 9090},
        {"op": "add", "path": "/metadata/labels/tier", "value": "front"},
    ]))
    .await
    .expect("patched");
    let failed = send(json!([{"op": "test", "path": "/spec/ports/0/port", "value": 81}])).await;

    assert_eq!(ports(&patched)[0]["targetPort"], 9090);
    assert_eq!(labels(&patched), json!({"app": "web", "tier": "front"}));
    assert_eq!(refusal(failed).0, 422);
}

#[tokio::test]
async fn a_patch_for_a_stale_object_conflicts_and_one_of_an_unknown_kind_is_refused() {
    let (_server, client) = start().await;
    let services = services(&client);
    services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");
    let stale = json!({"metadata": {"resourceVersion": "1", "labels": {"tier": "front"}}});

    let conflict = services
        .patch("web", &PatchParams::default(), &Patch::Merge(&stale))
        .await;
    let request = Request::patch("/api/v1/namespaces/kube-public/services/web")
        .header("content-type", "text/plain")
        .body(b"{}".to_vec())
        .expect("a request");
    let unknown = client.request::<Service>(request).await;

    assert_eq!(refusal(conflict).0, 409);
    assert_eq!(refusal(unknown).0, 415);
}

fn labels(service: &Service) -> Value {
    json!(service.metadata.labels)
}

fn ports(service: &Service) -> Value {
    json!(service.spec.as_ref().expect("a specification").ports)
}
