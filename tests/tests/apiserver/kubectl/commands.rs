//! Other commands of `kubectl`: get, patch, watch.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Kubectl, WEB, WEB_SLICE};

#[tokio::test]
async fn prints_tables_and_objects() {
    let kubectl = Kubectl::start().await;
    kubectl.run(&[
        "apply",
        "-f",
        &kubectl.file("all.yaml", &format!("{WEB}---{WEB_SLICE}")),
    ]);

    let words = |text: String| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let table = words(kubectl.run(&["get", "service", "web"]));
    assert!(
        table.starts_with("NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE web ClusterIP 10.96."),
        "{table}"
    );
    assert!(table.contains("<none> 80/TCP"), "{table}");
    let table = words(kubectl.run(&["get", "endpointslices", "web-1"]));
    assert!(
        table.starts_with("NAME ADDRESSTYPE PORTS ENDPOINTS AGE web-1 IPv4 8080 10.1.0.4,10.1.0.5"),
        "{table}"
    );
    let table = words(kubectl.run(&["get", "servicecidrs"]));
    assert!(
        table.starts_with("NAME CIDRS AGE kubernetes 10.96.0.0/16,fd00:10:96::/112"),
        "{table}"
    );

    let yaml = kubectl.run(&["get", "service", "web", "-o", "yaml"]);
    assert!(yaml.starts_with("apiVersion: v1\nkind: Service\n"), "{yaml}");
    assert_eq!(
        kubectl.run(&["get", "service", "-l", "app=web", "-o", "name"]),
        "service/web\n"
    );
    assert_eq!(
        kubectl.run(&["get", "service", "--field-selector", "metadata.name=other"]),
        ""
    );
    let table = words(kubectl.run(&["get", "all"]));
    assert!(table.contains("service/web ClusterIP"), "{table}");
    let description = kubectl.run(&["describe", "service", "web"]);
    assert!(
        description.contains("10.1.0.4:8080,10.1.0.5:8080"),
        "{description}"
    );
}

#[tokio::test]
async fn patches_in_three_ways() {
    let kubectl = Kubectl::start().await;
    kubectl.run(&["apply", "-f", &kubectl.file("web.yaml", WEB)]);
    let target = |kubectl: &Kubectl| {
        kubectl.run(&[
            "get",
            "service",
            "web",
            "-o",
            "jsonpath={.spec.ports[*].targetPort}",
        ])
    };

    kubectl.run(&[
        "patch",
        "service",
        "web",
        "-p",
        r#"{"spec":{"ports":[{"port":80,"targetPort":1}]}}"#,
    ]);
    assert_eq!(target(&kubectl), "1");
    let merge = r#"{"spec":{"ports":[{"name":"http","port":80,"targetPort":2}]}}"#;
    kubectl.run(&["patch", "service", "web", "--type=merge", "-p", merge]);
    assert_eq!(target(&kubectl), "2");
    let steps = r#"[{"op":"replace","path":"/spec/ports/0/targetPort","value":3}]"#;
    kubectl.run(&["patch", "service", "web", "--type=json", "-p", steps]);
    assert_eq!(target(&kubectl), "3");
}

#[tokio::test]
async fn watches() {
    let kubectl = Kubectl::start().await;
    let mut watch = kubectl
        .command(&["get", "services", "--watch-only", "-o", "name"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl runs");
    let output = BufReader::new(watch.stdout.take().expect("output"));
    let manifest = kubectl.file("web.yaml", WEB);

    // Whether the watch has begun cannot be seen from outside; objects are made until it shows one.
    let seen = AtomicBool::new(false);
    let first = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !seen.load(Ordering::Relaxed) {
                kubectl.run(&["apply", "-f", &manifest]);
                kubectl.run(&["delete", "-f", &manifest]);
            }
        });
        let first = output.lines().next().expect("a line").expect("text");
        seen.store(true, Ordering::Relaxed);
        first
    });
    watch.kill().expect("ended");
    watch.wait().expect("ended");

    assert_eq!(first, "service/web");
}

#[tokio::test]
async fn is_told_what_the_server_does_not_do() {
    let kubectl = Kubectl::start().await;
    let web = kubectl.file("web.yaml", WEB);

    if std::env::var_os("KUBEBUILDER_ASSETS").is_none() {
        let complaint = kubectl.complaint(&["apply", "--server-side", "-f", &web]);
        assert!(
            complaint.contains("Server-side apply not available"),
            "{complaint}"
        );
    }
}
