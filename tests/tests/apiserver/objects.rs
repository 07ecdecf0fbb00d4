//! Create, get, list, update, delete.

use k8s_openapi::api::core::v1::{Event as CoreEvent, Namespace, Node, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::api::{Api, DeleteParams, ListParams, PostParams, Preconditions};
use serde_json::json;

use super::support::{refusal, service, services, slice, slices, start};

#[tokio::test]
async fn a_fresh_cluster_has_its_namespaces_range_and_api_service() {
    let (_server, client) = start().await;

    let namespaces: Api<Namespace> = Api::all(client.clone());
    let ranges: Api<ServiceCIDR> = Api::all(client.clone());
    let api: Api<Service> = Api::namespaced(client, "default");

    for name in ["default", "kube-system", "kube-public"] {
        namespaces.get(name).await.expect(name);
    }
    let range = ranges.get("kubernetes").await.expect("the default range");
    let cidrs = range.spec.and_then(|spec| spec.cidrs).expect("ranges");
    assert_eq!(cidrs, ["10.96.0.0/16", "fd00:10:96::/112"]);
    let service = api.get("kubernetes").await.expect("the API server's service");
    assert_eq!(
        service.spec.and_then(|spec| spec.cluster_ip).as_deref(),
        Some("10.96.0.1")
    );
}

#[tokio::test]
async fn created_objects_get_identity_and_cannot_be_created_twice() {
    let (_server, client) = start().await;
    let services = services(&client);

    let created = services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");

    let metadata = &created.metadata;
    assert!(
        metadata.uid.as_ref().is_some_and(|uid| uid.len() == 36),
        "{metadata:?}"
    );
    assert!(
        metadata.creation_timestamp.is_some() && metadata.resource_version.is_some(),
        "{metadata:?}"
    );
    assert_eq!(metadata.namespace.as_deref(), Some("kube-public"));
    let again = services.create(&PostParams::default(), &service("web")).await;
    assert_eq!(
        refusal(again),
        (409, "services \"web\" already exists".to_owned())
    );
    assert_eq!(services.get("web").await.expect("found"), created);
}

#[tokio::test]
async fn names_are_generated() {
    let (_server, client) = start().await;
    let mut unnamed = service("web");
    unnamed.metadata.name = None;
    unnamed.metadata.generate_name = Some("web-".to_owned());

    let created = services(&client)
        .create(&PostParams::default(), &unnamed)
        .await
        .expect("created");

    let name = created.metadata.name.expect("a name");
    assert!(name.starts_with("web-") && name.len() == 9, "{name}");
}

#[tokio::test]
async fn a_missing_object_and_a_missing_namespace_are_named() {
    let (_server, client) = start().await;

    let missing = services(&client).get("web").await;
    let elsewhere: Api<Service> = Api::namespaced(client, "nowhere");
    let created = elsewhere.create(&PostParams::default(), &service("web")).await;

    assert_eq!(refusal(missing), (404, "services \"web\" not found".to_owned()));
    assert_eq!(
        refusal(created),
        (404, "namespaces \"nowhere\" not found".to_owned())
    );
}

#[tokio::test]
async fn a_stale_update_conflicts_and_one_without_change_is_none() {
    let (_server, client) = start().await;
    let services = services(&client);
    let first = services
        .create(&PostParams::default(), &service("web"))
        .await
        .expect("created");
    let mut changed = first.clone();
    changed
        .metadata
        .labels
        .get_or_insert_default()
        .insert("tier".to_owned(), "front".to_owned());

    let second = services
        .replace("web", &PostParams::default(), &changed)
        .await
        .expect("updated");
    let stale = services.replace("web", &PostParams::default(), &first).await;
    let same = services
        .replace("web", &PostParams::default(), &second)
        .await
        .expect("updated");

    assert_ne!(first.metadata.resource_version, second.metadata.resource_version);
    let (code, message) = refusal(stale);
    assert_eq!(code, 409);
    assert!(message.contains("the object has been modified"), "{message}");
    assert_eq!(same, second);
}

#[tokio::test]
async fn status_and_the_rest_are_written_apart() {
    let (_server, client) = start().await;
    let services = services(&client);
    let mut balanced = service("web");
    balanced.spec.get_or_insert_default().type_ = Some("LoadBalancer".to_owned());
    let created = services
        .create(&PostParams::default(), &balanced)
        .await
        .expect("created");
    let mut changed = serde_json::to_value(&created).expect("JSON");
    changed["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.7", "ipMode": "VIP"}]}});
    changed["spec"]["publishNotReadyAddresses"] = true.into();
    let changed: Service = serde_json::from_value(changed).expect("a service");

    let stored = services
        .replace_status("web", &PostParams::default(), &changed)
        .await
        .expect("updated");

    let ingress = stored
        .status
        .and_then(|status| status.load_balancer?.ingress)
        .expect("an ingress address");
    assert_eq!(ingress[0].ip.as_deref(), Some("192.0.2.7"));
    assert_eq!(
        stored.spec.and_then(|spec| spec.publish_not_ready_addresses),
        None
    );
}

#[tokio::test]
async fn slices_count_their_generation() {
    let (_server, client) = start().await;
    let slices = slices(&client);
    let created = slices
        .create(&PostParams::default(), &slice("web", "10.1.0.4"))
        .await
        .expect("created");
    let mut changed = created.clone();
    changed.endpoints[0].addresses = vec!["10.1.0.5".to_owned()];

    let changed = slices
        .replace("web", &PostParams::default(), &changed)
        .await
        .expect("updated");

    assert_eq!(
        (created.metadata.generation, changed.metadata.generation),
        (Some(1), Some(2))
    );
}

#[tokio::test]
async fn deletion_heeds_preconditions_finalizers_and_dry_run() {
    let (_server, client) = start().await;
    let services = services(&client);
    let mut held = service("web");
    held.metadata.finalizers = Some(vec!["example.com/held".to_owned()]);
    let created = services
        .create(&PostParams::default(), &held)
        .await
        .expect("created");
    let wrong = Preconditions {
        uid: Some("no-such-uid".to_owned()),
        ..Preconditions::default()
    };

    let refused = services
        .delete(
            "web",
            &DeleteParams {
                preconditions: Some(wrong),
                ..DeleteParams::default()
            },
        )
        .await;
    services
        .delete("web", &DeleteParams::default().dry_run())
        .await
        .expect("tried out");
    let untouched = services.get("web").await.expect("still there");
    services
        .delete("web", &DeleteParams::default())
        .await
        .expect("deletion begins");
    let mut going = services.get("web").await.expect("held by its finalizer");
    going.metadata.finalizers = None;
    services
        .replace("web", &PostParams::default(), &going)
        .await
        .expect("let go");

    assert_eq!(refusal(refused.map(|_| ())).0, 409);
    assert_eq!(untouched, created);
    assert!(going.metadata.deletion_timestamp.is_some());
    assert_eq!(refusal(services.get("web").await).0, 404);
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let (_server, client) = start().await;
    let services = services(&client);

    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let tried = services.create(&dry, &service("web")).await.expect("tried out");

    assert!(tried.spec.and_then(|spec| spec.cluster_ip).is_some());
    assert_eq!(refusal(services.get("web").await).0, 404);
}

#[tokio::test]
async fn events_are_one_resource_in_two_groups() {
    let (_server, client) = start().await;
    let new: Api<Event> = Api::namespaced(client.clone(), "default");
    let core: Api<CoreEvent> = Api::namespaced(client, "default");
    let event: Event = serde_json::from_value(json!({
        "metadata": {"name": "web.1"},
        "regarding": {"kind": "Service", "name": "web", "namespace": "default"},
        "reason": "NoEndpoints",
        "note": "nothing to send to",
        "type": "Warning",
        "action": "Programming",
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "kproxy",
        "reportingInstance": "node-1",
    }))
    .expect("an event");

    new.create(&PostParams::default(), &event).await.expect("created");

    let seen = core
        .list(&ListParams::default().fields("involvedObject.name=web"))
        .await
        .expect("a list");
    assert_eq!(seen.items.len(), 1);
    assert_eq!(seen.items[0].message.as_deref(), Some("nothing to send to"));
    assert_eq!(seen.items[0].involved_object.kind.as_deref(), Some("Service"));
}

#[tokio::test]
async fn nodes_register_with_their_status() {
    let (_server, client) = start().await;
    let nodes: Api<Node> = Api::all(client);
    let node: Node = serde_json::from_value(json!({
        "metadata": {"name": "one", "labels": {"topology.kubernetes.io/zone": "a"}},
        "spec": {"podCIDR": "10.1.0.0/24"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    }))
    .expect("a node");

    let stored = nodes
        .create(&PostParams::default(), &node)
        .await
        .expect("created");

    assert_eq!(
        stored.spec.and_then(|spec| spec.pod_cidrs),
        Some(vec!["10.1.0.0/24".to_owned()])
    );
    assert_eq!(
        stored
            .status
            .and_then(|status| status.addresses)
            .map(|addresses| addresses.len()),
        Some(1)
    );
}

#[tokio::test]
async fn strangers_are_turned_away() {
    let (server, _client) = start().await;
    let mut config = kube::Config::new(server.url().parse().expect("an address"));
    config.accept_invalid_certs = true;
    let stranger = kube::Client::try_from(config).expect("a client");

    assert_eq!(
        refusal(services(&stranger).list(&ListParams::default()).await).0,
        401
    );
}
