//! The manifests that put kproxy onto every node of a cluster.

use kproxy_tests::kubectl::{self, Overlay};
use serde_json::json;

use super::Kubectl;

/// A folder of our manifests.
fn folder(name: &str) -> String {
    let path = kubectl::manifests().expect("the manifests").join(name);
    path.to_str().expect("a path of text").to_owned()
}

/// An overlay in a folder beside kubectl's configuration.
fn overlay(kubectl: &Kubectl, tag: &str) -> String {
    let folder = kubectl.folder.path().join("overlay");
    let overlay = Overlay {
        base: "kproxy",
        tag,
        api_server: ("192.0.2.1", 443),
    };
    overlay.write(&folder).expect("an overlay");
    folder.to_str().expect("a path of text").to_owned()
}

#[tokio::test]
async fn the_base_is_applied_once_and_stays_as_it_is() {
    let kubectl = Kubectl::start().await;
    let base = folder("kproxy");

    let applied = kubectl.run(&["apply", "-k", &base]);
    let again = kubectl.run(&["apply", "-k", &base]);

    let kinds = [
        "serviceaccount/kproxy",
        "clusterrole.rbac.authorization.k8s.io/kproxy",
        "clusterrolebinding.rbac.authorization.k8s.io/kproxy",
        "configmap/kproxy-",
        "configmap/kproxy-api-server-",
        "daemonset.apps/kproxy",
    ];
    for kind in kinds {
        let line = |text: &str, end: &str| {
            text.lines()
                .any(|line| line.starts_with(kind) && line.ends_with(end))
        };
        assert!(line(&applied, " created"), "{kind}: {applied}");
        assert!(line(&again, " unchanged"), "{kind}: {again}");
    }
    let table = kubectl.run(&["get", "daemonset", "kproxy", "-n", "kube-system"]);
    assert!(table.contains("DESIRED") && table.contains("kproxy"), "{table}");
    let deleted = kubectl.run(&["delete", "-k", &base]);
    assert_eq!(deleted.lines().count(), kinds.len(), "{deleted}");
}

#[tokio::test]
async fn an_overlay_names_image_and_api_server_and_another_one_upgrades() {
    let kubectl = Kubectl::start().await;
    kubectl.run(&["apply", "-k", &overlay(&kubectl, "1")]);
    let daemon_set =
        |kubectl: &Kubectl| kubectl.json(&["get", "daemonset", "kproxy", "-n", "kube-system", "-o", "json"]);
    let before = daemon_set(&kubectl);

    let upgraded = kubectl.run(&["apply", "-k", &overlay(&kubectl, "2")]);

    assert!(
        upgraded.contains("daemonset.apps/kproxy configured\n"),
        "{upgraded}"
    );
    let after = daemon_set(&kubectl);
    let container = |set: &serde_json::Value| set["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(container(&before)["image"], "registry.example/kproxy:1");
    assert_eq!(container(&after)["image"], "registry.example/kproxy:2");
    let mut same = container(&after);
    same["image"] = container(&before)["image"].clone();
    assert_eq!(same, container(&before), "nothing else has changed");
    let map = container(&after)["envFrom"][0]["configMapRef"]["name"]
        .as_str()
        .expect("the name of a config map")
        .to_owned();
    let map = kubectl.json(&["get", "configmap", &map, "-n", "kube-system", "-o", "json"]);
    assert_eq!(map["data"]["KUBERNETES_SERVICE_HOST"], "192.0.2.1");
    assert_eq!(map["data"]["KUBERNETES_SERVICE_PORT"], "443");
}

#[tokio::test]
async fn cleaning_up_takes_the_place_of_serving() {
    let kubectl = Kubectl::start().await;
    kubectl.run(&["apply", "-k", &folder("kproxy")]);

    let applied = kubectl.run(&["apply", "-k", &folder("cleanup")]);

    assert!(
        applied.contains("daemonset.apps/kproxy configured\n"),
        "{applied}"
    );
    let set = kubectl.json(&["get", "daemonset", "kproxy", "-n", "kube-system", "-o", "json"]);
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"][0], "cleanup");
    assert_eq!(container.get("livenessProbe"), None);
}

#[tokio::test]
async fn the_daemon_set_is_on_every_node_and_keeps_to_itself() {
    let kubectl = Kubectl::start().await;
    kubectl.run(&["apply", "-k", &folder("kproxy")]);
    let set = kubectl.json(&["get", "daemonset", "kproxy", "-n", "kube-system", "-o", "json"]);

    let pod = &set["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let probe = |name: &str| &container[name]["httpGet"];
    let rows = [
        (&pod["priorityClassName"], json!("system-node-critical")),
        (&pod["hostNetwork"], json!(true)),
        (&pod["tolerations"], json!([{"operator": "Exists"}])),
        (&pod["serviceAccountName"], json!("kproxy")),
        (&probe("livenessProbe")["path"], json!("/livez")),
        (&probe("livenessProbe")["port"], json!(10256)),
        (&probe("readinessProbe")["path"], json!("/healthz")),
        (&probe("readinessProbe")["port"], json!(10256)),
        (&container["securityContext"]["privileged"], json!(false)),
        (
            &container["securityContext"]["seccompProfile"]["type"],
            json!("RuntimeDefault"),
        ),
    ];
    for (field, expected) in rows {
        assert_eq!(*field, expected, "{set:#}");
    }
}
