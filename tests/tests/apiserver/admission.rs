//! Defaults, allocations and checks.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::support::{refusal, services, slices, start};

/// Creates a service with this specification.
async fn create(client: &Client, name: &str, spec: Value) -> Result<Value, kube::Error> {
    let service: Service =
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a service");
    let created = services(client).create(&PostParams::default(), &service).await?;
    Ok(serde_json::to_value(created.spec).expect("JSON"))
}

#[tokio::test]
async fn a_service_is_completed() {
    let (_server, client) = start().await;

    let spec = create(&client, "web", json!({"ports": [{"port": 80}]}))
        .await
        .expect("created");

    let address = spec["clusterIP"].as_str().expect("an address").to_owned();
    assert!(address.starts_with("10.96."), "{address}");
    assert_eq!(
        spec,
        json!({
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        })
    );
}

#[tokio::test]
async fn families_decide_the_addresses() {
    let (_server, client) = start().await;
    let ports = json!([{"port": 80}]);
    let cases = [
        (
            json!({"ipFamilyPolicy": "PreferDualStack"}),
            json!(["IPv4", "IPv6"]),
        ),
        (
            json!({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}),
            json!(["IPv6", "IPv4"]),
        ),
        (json!({"ipFamilies": ["IPv6"]}), json!(["IPv6"])),
        (json!({"clusterIP": "fd00:10:96::7"}), json!(["IPv6"])),
    ];

    for (index, (mut spec, expected)) in cases.into_iter().enumerate() {
        spec["ports"] = ports.clone();
        let spec = create(&client, &format!("web-{index}"), spec)
            .await
            .expect("created");
        assert_eq!(spec["ipFamilies"], expected);
        let families: Vec<_> = spec["clusterIPs"]
            .as_array()
            .expect("addresses")
            .iter()
            .map(|address| {
                if address.as_str().is_some_and(|text| text.contains(':')) {
                    "IPv6"
                } else {
                    "IPv4"
                }
            })
            .collect();
        assert_eq!(json!(families), expected);
    }
}

#[tokio::test]
async fn other_types_are_completed_as_well() {
    let (_server, client) = start().await;
    let ports = || json!([{"port": 80}]);

    let headless = create(
        &client,
        "headless",
        json!({"clusterIP": "None", "selector": {"a": "b"}}),
    )
    .await;
    let external = create(
        &client,
        "external",
        json!({"type": "ExternalName", "externalName": "example.com"}),
    )
    .await;
    let node = create(&client, "node", json!({"type": "NodePort", "ports": ports()}))
        .await
        .expect("created");
    let local = json!({"type": "LoadBalancer", "ports": ports(), "externalTrafficPolicy": "Local"});
    let balanced = create(&client, "balanced", local).await.expect("created");
    let affine = create(
        &client,
        "affine",
        json!({"sessionAffinity": "ClientIP", "ports": ports()}),
    )
    .await;

    assert_eq!(headless.expect("created")["clusterIPs"], json!(["None"]));
    assert_eq!(external.expect("created").get("clusterIP"), None);
    let in_range = |port: &Value| {
        port.as_u64()
            .is_some_and(|port| (30_000..=32_767).contains(&port))
    };
    assert!(in_range(&node["ports"][0]["nodePort"]), "{node}");
    assert_eq!(node["externalTrafficPolicy"], "Cluster");
    assert!(in_range(&balanced["healthCheckNodePort"]), "{balanced}");
    assert_eq!(balanced["allocateLoadBalancerNodePorts"], true);
    assert_eq!(
        affine.expect("created")["sessionAffinityConfig"],
        json!({"clientIP": {"timeoutSeconds": 10_800}})
    );
}

#[tokio::test]
async fn addresses_and_ports_are_kept_freed_and_not_given_twice() {
    let (_server, client) = start().await;
    let given =
        || json!({"type": "NodePort", "clusterIP": "10.96.3.3", "ports": [{"port": 80, "nodePort": 30_007}]});
    create(&client, "one", given()).await.expect("created");

    let (code, message) = refusal(create(&client, "two", given()).await);
    services(&client)
        .delete("one", &kube::api::DeleteParams::default())
        .await
        .expect("deleted");
    let again = create(&client, "two", given()).await.expect("created");

    assert_eq!(code, 422);
    assert!(
        message.contains("spec.clusterIPs") && message.contains("already allocated"),
        "{message}"
    );
    assert_eq!(again["clusterIP"], "10.96.3.3");
}

#[tokio::test]
async fn changes_of_type_keep_and_drop_what_they_should() {
    let (_server, client) = start().await;
    let before = create(&client, "web", json!({"ports": [{"port": 80}]}))
        .await
        .expect("created");
    let services = services(&client);
    let change = async |spec: Value| {
        let patch = json!({"spec": spec});
        let patched = services
            .patch("web", &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .expect("patched");
        serde_json::to_value(patched.spec).expect("JSON")
    };

    let node = change(json!({"type": "NodePort"})).await;
    let dual = change(json!({"ipFamilyPolicy": "PreferDualStack"})).await;
    let back = change(json!({"type": "ClusterIP", "ipFamilyPolicy": "SingleStack"})).await;

    assert_eq!(node["clusterIP"], before["clusterIP"]);
    assert!(node["ports"][0]["nodePort"].is_u64(), "{node}");
    assert_eq!(dual["clusterIPs"].as_array().map(Vec::len), Some(2));
    assert_eq!(dual["ports"], node["ports"]);
    assert_eq!(back["clusterIPs"], before["clusterIPs"]);
    assert_eq!(back["ports"], before["ports"]);
    assert_eq!(back.get("externalTrafficPolicy"), None);
}

#[tokio::test]
async fn a_new_range_serves_addresses() {
    let (_server, client) = start().await;
    let ranges: Api<k8s_openapi::api::networking::v1::ServiceCIDR> = Api::all(client.clone());
    let range = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.200.0.0/24"]}});
    let range = serde_json::from_value(range).expect("a range");

    let spec = || json!({"clusterIP": "10.200.0.9", "ports": [{"port": 80}]});
    let before = create(&client, "web", spec()).await;
    ranges
        .create(&PostParams::default(), &range)
        .await
        .expect("created");

    assert_eq!(refusal(before).0, 422);
    // A real server takes a moment to see the range.
    let mut after = create(&client, "web", spec()).await;
    for _ in 0..50 {
        if after.is_ok() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        after = create(&client, "web", spec()).await;
    }
    after.expect("created");
}

#[tokio::test]
async fn bad_services_are_refused_by_field() {
    let (_server, client) = start().await;
    let port = || json!([{"port": 80}]);
    let cases = [
        ("web", json!({}), "spec.ports: Required value"),
        ("1web", json!({"ports": port()}), "metadata.name"),
        ("web", json!({"ports": [{"port": 0}]}), "spec.ports[0].port"),
        ("web", json!({"ports": [{"port": 65_536}]}), "spec.ports[0].port"),
        (
            "web",
            json!({"ports": [{"port": 80, "targetPort": 70_000}]}),
            "spec.ports[0].targetPort",
        ),
        (
            "web",
            json!({"ports": [{"port": 80, "protocol": "ICMP"}]}),
            "spec.ports[0].protocol",
        ),
        (
            "web",
            json!({"ports": [{"port": 80}, {"port": 81}]}),
            "spec.ports[0].name",
        ),
        (
            "web",
            json!({"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]}),
            "spec.ports[1]: Duplicate",
        ),
        (
            "web",
            json!({"ports": [{"port": 80, "nodePort": 30_001}]}),
            "spec.ports[0].nodePort",
        ),
        (
            "web",
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}),
            "spec.ports[0].nodePort",
        ),
        ("web", json!({"type": "Cluster", "ports": port()}), "spec.type"),
        (
            "web",
            json!({"clusterIP": "10.96.0.300", "ports": port()}),
            "spec.clusterIPs[0]",
        ),
        (
            "web",
            json!({"clusterIP": "192.0.2.1", "ports": port()}),
            "spec.clusterIPs",
        ),
        (
            "web",
            json!({"clusterIP": "10.96.0.1", "ports": port()}),
            "already allocated",
        ),
        (
            "web",
            json!({"ipFamilies": ["IPv5"], "ports": port()}),
            "spec.ipFamilies[0]",
        ),
        (
            "web",
            json!({"sessionAffinity": "Cookie", "ports": port()}),
            "spec.sessionAffinity",
        ),
        (
            "web",
            json!({"externalIPs": ["127.0.0.1"], "ports": port()}),
            "spec.externalIPs[0]",
        ),
        (
            "web",
            json!({"type": "ExternalName", "ports": port()}),
            "spec.externalName",
        ),
    ];

    for (name, spec, expected) in cases {
        let text = spec.to_string();
        let (code, message) = refusal(create(&client, name, spec).await);
        assert_eq!(code, 422, "{text}: {message}");
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[tokio::test]
async fn bad_slices_are_refused_by_field() {
    let (_server, client) = start().await;
    let slices = slices(&client);
    let endpoint = |address: &str| json!([{"addresses": [address]}]);
    let cases = [
        (json!({"addressType": "IPX", "endpoints": []}), "addressType"),
        (
            json!({"addressType": "IPv4", "endpoints": endpoint("fd00::1")}),
            "endpoints[0].addresses[0]",
        ),
        (
            json!({"addressType": "IPv6", "endpoints": endpoint("10.0.0.1")}),
            "endpoints[0].addresses[0]",
        ),
        (
            json!({"addressType": "IPv4", "endpoints": endpoint("127.0.0.1")}),
            "loopback",
        ),
        (
            json!({"addressType": "IPv4", "endpoints": [{"addresses": []}]}),
            "endpoints[0].addresses",
        ),
        (
            json!({"addressType": "IPv4", "endpoints": [], "ports": [{"port": 70_000}]}),
            "ports[0].port",
        ),
        (
            json!({"addressType": "IPv4", "endpoints": [], "ports": [{"port": 1}, {"port": 2}]}),
            "ports[1].name",
        ),
    ];

    for (mut slice, expected) in cases {
        slice["metadata"] = json!({"name": "web"});
        let text = slice.to_string();
        let slice: EndpointSlice = serde_json::from_value(slice).expect("a slice");
        let (code, message) = refusal(slices.create(&PostParams::default(), &slice).await);
        assert_eq!(code, 422, "{text}: {message}");
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[tokio::test]
async fn the_address_type_of_a_slice_stays() {
    let (_server, client) = start().await;
    let slices = slices(&client);
    let created = slices
        .create(&PostParams::default(), &super::support::slice("web", "10.1.0.4"))
        .await;
    let created = created.expect("created");
    let ports = created.ports.clone().expect("ports");
    let patch = json!({"addressType": "IPv6", "endpoints": []});

    let changed = slices
        .patch("web", &PatchParams::default(), &Patch::Merge(&patch))
        .await;

    assert_eq!(
        (ports[0].name.as_deref(), ports[0].protocol.as_deref()),
        (Some(""), Some("TCP"))
    );
    let (code, message) = refusal(changed);
    assert!(code == 422 && message.contains("addressType"), "{message}");
}
