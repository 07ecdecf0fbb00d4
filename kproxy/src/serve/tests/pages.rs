//! The metrics server.

use serde_json::json;

use super::super::fetch::{fetch, get};
use super::*;

async fn stage(change: impl FnOnce(&mut Options)) -> (SocketAddr, Servers) {
    let mut options = options();
    change(&mut options);
    let servers = servers(options, &status(NEVER_LATE)).await;
    (servers.metrics.expect("a server"), servers)
}

#[tokio::test]
async fn plain_pages() {
    let (address, _servers) = stage(|options| {
        options.mode = "nftables".into();
        options.flags = vec![("config".into(), "/etc/kproxy.yaml".into())];
    })
    .await;
    let rows = [
        ("9.14", "/healthz", "ok"),
        ("9.14", "/healthz/ping", "ok"),
        ("9.14", "/healthz?verbose", "[+]ping ok\nhealthz check passed\n"),
        ("9.14, 9.17 no end of line", "/proxyMode", "nftables"),
    ];
    for (row, path, body) in rows {
        for method in ["GET", "POST"] {
            let answer = fetch(address, method, path).await.expect("an answer");
            assert_eq!((answer.code, answer.body.as_str()), (200, body), "{row} {path}");
            let kind = answer.header("content-type").unwrap_or_default();
            assert!(kind.starts_with("text/plain"), "{row} {path}: {kind}");
            assert_eq!(
                answer.header("x-content-type-options"),
                Some("nosniff"),
                "{row} {path}"
            );
        }
    }
    let flags = get(address, "/flagz").await;
    assert!(
        flags.body.starts_with("\nkube-proxy flags\n"),
        "9.15 {}",
        flags.body
    );
    assert!(
        flags.body.ends_with("\nconfig=/etc/kproxy.yaml\n"),
        "9.15 {}",
        flags.body
    );
    let status = get(address, "/statusz").await.body;
    for part in [
        "kube-proxy statusz",
        "Started: ",
        "Up: 0 hr 00 min ",
        "Binary version: ",
        "/configz",
    ] {
        assert!(status.contains(part), "9.15 {part} in {status}");
    }
}

#[tokio::test]
async fn other_pages_are_not_there() {
    let (address, _servers) = stage(|_| {}).await;
    for path in [
        "/",
        "/livez",
        "/healthz/etcd",
        "/debug/pprof/",
        "/debug/pprof/heap",
        "/debug/flags/v",
    ] {
        assert_eq!(get(address, path).await.code, 404, "9.15 {path}");
    }
}

#[tokio::test]
async fn profiles_are_refused_with_a_reason() {
    let (address, _servers) = stage(|options| options.profiling = true).await;
    for path in [
        "/debug/pprof",
        "/debug/pprof/",
        "/debug/pprof/heap",
        "/debug/flags/v",
    ] {
        let answer = get(address, path).await;
        assert_eq!(answer.code, 501, "9.15 {path}");
        assert!(answer.body.contains("Rust"), "9.15 {path}: {}", answer.body);
    }
}

#[tokio::test]
async fn the_configuration_is_shown_as_it_was_given() {
    let given = json!({
        "kind": "KubeProxyConfiguration",
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "nodePortAddresses": ["primary"],
    });
    let (address, _servers) = stage(|options| options.config_document = given.clone()).await;
    let answer = get(address, "/configz").await;
    assert_eq!(answer.header("content-type"), Some("application/json"), "9.14");
    assert_eq!(
        answer.json(),
        json!({ "kubeproxy.config.k8s.io": given }),
        "9.14, 9.16"
    );
}

#[tokio::test]
async fn health_checks_of_the_process_have_their_own_page() {
    let (address, _servers) = stage(|_| {}).await;
    assert_eq!(
        get(address, "/metrics/slis").await.body,
        "",
        "9.14 before the first"
    );
    get(address, "/healthz").await;
    get(address, "/healthz/ping").await;
    let page = get(address, "/metrics/slis").await;
    for line in [
        r#"kubernetes_healthcheck{name="ping",type="healthz"} 1"#,
        r#"kubernetes_healthchecks_total{name="ping",status="success",type="healthz"} 2"#,
    ] {
        assert!(
            page.body.lines().any(|found| found == line),
            "9.19 {line} in {}",
            page.body
        );
    }
}
