//! `kubectl apply` and its like.

use serde_json::Value;

use super::{Kubectl, WEB, WEB_SLICE};

#[tokio::test]
async fn applies_with_validation_by_the_server() {
    let kubectl = Kubectl::start().await;
    let web = kubectl.file("web.yaml", WEB);

    assert_eq!(kubectl.run(&["apply", "-f", &web]), "service/web created\n");
    assert_eq!(kubectl.run(&["apply", "-f", &web]), "service/web unchanged\n");

    let misspelt = kubectl.file("misspelt.yaml", &WEB.replace("selector", "selectr"));
    let complaint = kubectl.complaint(&["apply", "-f", &misspelt]);
    assert!(
        complaint.contains("unknown field \"spec.selectr\""),
        "{complaint}"
    );
    let impossible = kubectl.file("impossible.yaml", &WEB.replace("port: 80,", "port: 0,"));
    let complaint = kubectl.complaint(&["apply", "-f", &impossible]);
    assert!(complaint.contains("spec.ports[0].port"), "{complaint}");
}

#[tokio::test]
async fn applies_what_has_changed_and_keeps_what_others_have_set() {
    let kubectl = Kubectl::start().await;
    let web = kubectl.file("web.yaml", WEB);
    kubectl.run(&["apply", "-f", &web]);
    kubectl.run(&["label", "service", "web", "tier=front"]);

    kubectl.file(
        "web.yaml",
        &WEB.replace("port: 80,", "port: 81,")
            .replace("labels: {app: web}", "labels: {}"),
    );
    assert_eq!(kubectl.run(&["apply", "-f", &web]), "service/web configured\n");

    let service = kubectl.json(&["get", "service", "web", "-o", "json"]);
    assert_eq!(
        service["metadata"]["labels"],
        serde_json::json!({"tier": "front"})
    );
    let ports = service["spec"]["ports"].as_array().expect("ports");
    assert_eq!((ports.len(), &ports[0]["port"]), (1, &Value::from(81)));
    assert!(service["spec"]["clusterIP"].is_string());
}

#[tokio::test]
async fn applies_a_folder_and_deletes_it() {
    let kubectl = Kubectl::start().await;
    kubectl.file("manifests/slice.yaml", WEB_SLICE);
    let folder = kubectl.file("manifests/web.yaml", WEB).replace("/web.yaml", "");

    let applied = kubectl.run(&["apply", "-f", &folder]);
    assert_eq!(
        applied,
        "endpointslice.discovery.k8s.io/web-1 created\nservice/web created\n"
    );

    let deleted = kubectl.run(&["delete", "-f", &folder]);
    assert!(
        deleted.contains("\"web\" deleted") && deleted.contains("\"web-1\" deleted"),
        "{deleted}"
    );
    let complaint = kubectl.complaint(&["get", "service", "web"]);
    assert!(complaint.contains("services \"web\" not found"), "{complaint}");
}

#[tokio::test]
async fn shows_what_would_change_edits_and_replaces() {
    let kubectl = Kubectl::start().await;
    let web = kubectl.file("web.yaml", WEB);
    kubectl.run(&["apply", "-f", &web]);

    kubectl.file("web.yaml", &WEB.replace("port: 80,", "port: 81,"));
    let difference = kubectl.try_run(&["diff", "-f", &web]);
    let difference = String::from_utf8_lossy(&difference.stdout).into_owned();
    kubectl.run(&["replace", "-f", &web]);
    kubectl.run(&["annotate", "service", "web", "example.com/seen=yes"]);

    assert!(
        difference.contains("-  - name: http\n") || difference.contains("+    port: 81\n"),
        "{difference}"
    );
    let port = kubectl.run(&["get", "service", "web", "-o", "jsonpath={.spec.ports[0].port}"]);
    assert_eq!(port, "81");
    let wait = [
        "wait",
        "--for=jsonpath={.metadata.annotations.example\\.com/seen}=yes",
        "service/web",
        "--timeout=10s",
    ];
    assert_eq!(kubectl.run(&wait), "service/web condition met\n");
}
