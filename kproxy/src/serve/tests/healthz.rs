//! `/healthz` and `/livez`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::fetch::{fetch, get};
use super::*;
use crate::model::samples;

const PATHS: [&str; 2] = ["/healthz", "/livez"];

struct Stage {
    status: Status,
    reporter: Reporter,
    servers: Servers,
}

impl Stage {
    /// A node that is known and eligible, where nothing has happened but the loop's start.
    async fn new(period: Duration) -> Self {
        let status = status(period);
        let reporter = Reporter::new(status.clone());
        reporter.node(Some(&samples::node(serde_json::json!({}))));
        let servers = servers(options(), &status).await;
        Self {
            status,
            reporter,
            servers,
        }
    }

    fn address(&self) -> SocketAddr {
        self.servers.healthz.expect("a server")
    }

    async fn code(&self, path: &str) -> u16 {
        get(self.address(), path).await.code
    }
}

#[tokio::test]
async fn headers_fields_and_codes() {
    let stage = Stage::new(ALWAYS_LATE).await;
    for path in PATHS {
        let answer = get(stage.address(), path).await;
        assert_eq!(answer.code, 200, "9.01 {path}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "9.01 {path}"
        );
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "9.01 {path}"
        );
        let body = answer.json();
        assert_eq!(body["healthy"], true, "9.02 {path}");
        let eligible = body.get("nodeEligible").and_then(Value::as_bool);
        assert_eq!(eligible, (path == "/healthz").then_some(true), "9.02 {path}");
        assert_eq!(body["lastUpdated"], body["currentTime"], "9.03 {path}");
        for family in ["IPv4", "IPv6"] {
            assert_eq!(body["status"][family]["healthy"], true, "9.02 {path} {family}");
            let updated = body["status"][family]["lastUpdated"].as_str().expect("a time");
            assert!(updated.contains('.') && updated.ends_with('Z'), "9.02 {updated}");
        }
    }
}

#[tokio::test]
async fn a_late_family_fails_both_until_it_is_updated() {
    let mut stage = Stage::new(ALWAYS_LATE).await;
    queue(&stage.status, Family::V6);
    for path in PATHS {
        let answer = get(stage.address(), path).await;
        let body = answer.json();
        assert_eq!(answer.code, 503, "9.06 {path}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "9.01 {path}"
        );
        assert_eq!(body["healthy"], false, "9.02 {path}");
        assert_eq!(body["status"]["IPv4"]["healthy"], true, "9.06 {path}");
        assert_eq!(body["status"]["IPv6"]["healthy"], false, "9.06 {path}");
        let newest = &body["status"]["IPv6"]["lastUpdated"];
        assert_eq!(&body["lastUpdated"], newest, "9.03 {path}");
    }
    let sync = stage
        .reporter
        .begin(Extent::Full, &BTreeMap::new(), Moment::now().instant);
    stage.reporter.ended(sync, false);
    assert_eq!(stage.code("/livez").await, 503, "9.07");
    let sync = stage
        .reporter
        .begin(Extent::Full, &BTreeMap::new(), Moment::now().instant);
    stage.reporter.ended(sync, true);
    for path in PATHS {
        assert_eq!(stage.code(path).await, 200, "9.04 {path}");
    }
}

#[tokio::test]
async fn a_node_that_is_about_to_go_fails_healthz_alone() {
    let stage = Stage::new(NEVER_LATE).await;
    let taint = serde_json::json!([{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]);
    let node = samples::node(serde_json::json!({"spec": {"taints": taint}}));
    stage.reporter.node(Some(&node));
    let answer = get(stage.address(), "/healthz").await;
    assert_eq!(answer.code, 503, "9.08");
    assert_eq!(answer.json()["nodeEligible"], false, "9.09");
    assert_eq!(answer.json()["healthy"], true, "9.09");
    assert_eq!(stage.code("/livez").await, 200, "9.08");
    stage.reporter.node(None);
    assert_eq!(stage.code("/healthz").await, 503, "9.10 the last word holds");
}

#[tokio::test]
async fn nothing_known_is_no_time_and_no_status() {
    let status = status(NEVER_LATE);
    let servers = servers(options(), &status).await;
    let answer = get(servers.healthz.expect("a server"), "/healthz").await;
    assert_eq!(answer.code, 503, "9.09 the node is not known");
    let body = answer.json();
    assert_eq!(body["lastUpdated"], "0001-01-01T00:00:00Z", "9.03");
    assert_eq!(body.get("status"), None, "9.02");
}

#[tokio::test]
async fn any_method_and_no_other_path() {
    let stage = Stage::new(NEVER_LATE).await;
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] {
        for path in PATHS {
            let answer = fetch(stage.address(), method, path).await.expect("an answer");
            assert_eq!(answer.code, 200, "9.11 {method} {path}");
        }
    }
    for path in ["/", "/readyz", "/healthz/", "/healthz/ping", "/metrics"] {
        assert_eq!(stage.code(path).await, 404, "9.01, 9.11 {path}");
    }
}

#[tokio::test]
async fn answers_are_counted() {
    let stage = Stage::new(ALWAYS_LATE).await;
    let count = async |name: &str, code: &str| {
        let text = get(stage.servers.metrics.expect("a server"), "/metrics")
            .await
            .body;
        let series = format!("kubeproxy_proxy_{name}_total{{code=\"{code}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(series.as_str()));
        value.expect("a series").to_owned()
    };
    stage.code("/healthz").await;
    stage.code("/livez").await;
    queue(&stage.status, Family::V4);
    stage.code("/livez").await;
    stage.code("/livez").await;
    assert_eq!(count("healthz", "200").await, "1");
    assert_eq!(count("healthz", "503").await, "0");
    assert_eq!(count("livez", "200").await, "1");
    assert_eq!(count("livez", "503").await, "2");
}
