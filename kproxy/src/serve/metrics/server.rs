//! The pages of the metrics server (semantics 9.14 to 9.17).

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::any;
use k8s_openapi::jiff::Timestamp;
use prometheus::TEXT_FORMAT;
use serde_json::{Value, json};

use super::super::Options;
use super::super::gauges::Gauges;
use super::super::respond;
use super::super::status::Status;
use super::page::Page;
use super::slis::Slis;

/// What `/flagz` and `/statusz` say first, as those of Kubernetes' components do.
const FOR_PEOPLE: &str = "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility \
     guarantees and is for debugging purposes only.";

const NO_PPROF: &str = "kproxy is a Rust program: there is no runtime that /debug/pprof could profile and no klog level \
     to set. Use perf on the process, and $RUST_LOG for what is logged.\n";

const PATHS: [&str; 7] = [
    "/configz",
    "/flagz",
    "/healthz",
    "/metrics",
    "/metrics/slis",
    "/proxyMode",
    "/statusz",
];

#[derive(Clone)]
struct Pages(Arc<Content>);

struct Content {
    metrics: Page,
    slis: Slis,
    mode: String,
    config: Value,
    flags: Vec<(String, String)>,
    started: (Timestamp, Instant),
}

/// All pages.
///
/// # Errors
/// A metric's definition is wrong, which tests find.
pub(in super::super) fn router(
    options: &Options,
    status: &Status,
    gauges: &Arc<dyn Gauges>,
) -> Result<Router> {
    let pages = Pages(Arc::new(Content {
        metrics: Page::new(status, gauges).context("define metrics")?,
        slis: Slis::new().context("define metrics of health checks")?,
        mode: options.mode.clone(),
        config: json!({ "kubeproxy.config.k8s.io": options.config_document }),
        flags: options.flags.clone(),
        started: (Timestamp::now(), Instant::now()),
    }));
    let mut router = Router::new()
        .route("/metrics", any(metrics))
        .route("/metrics/slis", any(slis))
        .route("/healthz", any(healthz))
        .route("/healthz/{check}", any(healthz_check))
        .route("/proxyMode", any(proxy_mode))
        .route("/configz", any(configz))
        .route("/flagz", any(flagz))
        .route("/statusz", any(statusz));
    if options.profiling {
        for path in [
            "/debug/pprof",
            "/debug/pprof/",
            "/debug/pprof/{*rest}",
            "/debug/flags/v",
        ] {
            router = router.route(path, any(no_pprof));
        }
    }
    Ok(router.with_state(pages))
}

/// Reading the kernel's tables takes a while, so it is done where that holds up nobody.
async fn metrics(State(pages): State<Pages>) -> Response {
    match tokio::task::spawn_blocking(move || pages.0.metrics.text()).await {
        Ok(Ok(text)) => respond::typed(StatusCode::OK, TEXT_FORMAT, text),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

async fn slis(State(pages): State<Pages>) -> Response {
    match pages.0.slis.text() {
        Ok(text) => respond::typed(StatusCode::OK, TEXT_FORMAT, text),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> Response {
    respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
}

/// That this process answers, nothing else.
async fn healthz(State(pages): State<Pages>, RawQuery(query): RawQuery) -> Response {
    pages.0.slis.ping();
    let verbose = query.is_some_and(|query| {
        query
            .split('&')
            .any(|part| part.split('=').next() == Some("verbose"))
    });
    respond::text(
        StatusCode::OK,
        if verbose {
            "[+]ping ok\nhealthz check passed\n"
        } else {
            "ok"
        },
    )
}

async fn healthz_check(State(pages): State<Pages>, Path(check): Path<String>) -> Response {
    if check != "ping" {
        return respond::text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    pages.0.slis.ping();
    respond::text(StatusCode::OK, "ok")
}

/// Without an end of line: readers compare the whole answer.
async fn proxy_mode(State(pages): State<Pages>) -> Response {
    respond::text(StatusCode::OK, pages.0.mode.clone())
}

async fn configz(State(pages): State<Pages>) -> Response {
    respond::json(StatusCode::OK, &pages.0.config)
}

async fn flagz(State(pages): State<Pages>) -> Response {
    let flags = pages.0.flags.iter();
    let lines: Vec<_> = flags.map(|(name, value)| format!("{name}={value}\n")).collect();
    for_people("flags", &lines.concat())
}

async fn statusz(State(pages): State<Pages>) -> Response {
    let (since, started) = pages.0.started;
    let up = started.elapsed().as_secs();
    let lines = format!(
        "Started: {since:.0}\nUp: {} hr {:02} min {:02} sec\nBinary version: {}\n\nPaths: {}\n",
        up / 3_600,
        up / 60 % 60,
        up % 60,
        env!("CARGO_PKG_VERSION"),
        PATHS.join(" "),
    );
    for_people("statusz", &lines)
}

fn for_people(what: &str, lines: &str) -> Response {
    respond::text(
        StatusCode::OK,
        format!("\nkube-proxy {what}\n{FOR_PEOPLE}\n\n{lines}"),
    )
}

async fn no_pprof() -> Response {
    respond::text(StatusCode::NOT_IMPLEMENTED, NO_PPROF)
}
