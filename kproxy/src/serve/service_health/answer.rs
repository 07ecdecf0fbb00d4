//! What a health-check node port says (semantics 3.52 to 3.55).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::super::respond;
use super::super::status::Status;
use crate::model::ObjectName;

/// How load balancers that know it spread their traffic.
const WEIGHT: &str = "x-load-balancing-endpoint-weight";

/// Whose port was asked.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) service: ObjectName,
    pub(super) local_endpoints: Arc<AtomicU32>,
    pub(super) status: Status,
}

/// Every path and every method is answered alike.
pub(super) fn router(asked: Asked) -> Router {
    Router::new().fallback(answer).with_state(asked)
}

async fn answer(State(asked): State<Asked>) -> Response {
    let endpoints = asked.local_endpoints.load(Ordering::Relaxed);
    // The proxy's health alone: a node that is about to go still serves.
    let healthy = asked.status.health().healthy;
    let code = if endpoints > 0 && healthy {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let ObjectName { namespace, name } = &asked.service;
    let body = json!({
        "service": {"namespace": &**namespace, "name": &**name},
        "localEndpoints": endpoints,
        "serviceProxyHealthy": healthy,
    });
    let mut response = respond::json(code, &body);
    response
        .headers_mut()
        .insert(WEIGHT, HeaderValue::from(endpoints));
    response
}
