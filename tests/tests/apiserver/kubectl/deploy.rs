//! The manifests that put kproxy onto every node of a cluster.

use super::Kubectl;

/// Where the manifests are.
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");

/// An overlay as README.md describes it, in a folder beside kubectl's configuration.
fn overlay(kubectl: &Kubectl, tag: &str) -> String {
    // kustomize takes no whole path here.
    let base = std::fs::canonicalize(DEPLOY)
        .expect("the manifests")
        .join("kproxy");
    let up = "../".repeat(kubectl.folder.path().components().count());
    let text = format!(
        r#"
resources: ["{up}{}"]
images: [{{name: kproxy, newName: registry.example/kproxy, newTag: "{tag}"}}]
configMapGenerator:
- {{name: kproxy-api-server, behavior: merge, literals: [KUBERNETES_SERVICE_HOST=192.0.2.1]}}
"#,
        base.display()
    );
    let file = kubectl.file("overlay/kustomization.yaml", &text);
    file.replace("/kustomization.yaml", "")
}

#[tokio::test]
async fn the_base_is_applied_once_and_stays_as_it_is() {
    let kubectl = Kubectl::start().await;
    let base = format!("{DEPLOY}/kproxy");

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
    assert_eq!(map["data"]["KUBERNETES_SERVICE_PORT"], "6443");
}

#[tokio::test]
async fn cleaning_up_takes_the_place_of_serving() {
    let kubectl = Kubectl::start().await;
    kubectl.run(&["apply", "-k", &format!("{DEPLOY}/kproxy")]);

    let applied = kubectl.run(&["apply", "-k", &format!("{DEPLOY}/cleanup")]);

    assert!(
        applied.contains("daemonset.apps/kproxy configured\n"),
        "{applied}"
    );
    let set = kubectl.json(&["get", "daemonset", "kproxy", "-n", "kube-system", "-o", "json"]);
    let container = &set["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"][0], "cleanup");
    assert_eq!(container.get("livenessProbe"), None);
}
