//! Answers: plain JSON, metadata only, or tables for `kubectl get`.

mod table;
mod view;

use axum::body::{Body, Bytes};
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::Value;

pub(crate) use view::{View, served as view_served};

/// A JSON answer.
pub(crate) fn json(code: u16, value: &Value) -> Response {
    bytes(code, serde_json::to_vec(value).expect("a JSON value serializes"))
}

/// An answer that is JSON already.
pub(crate) fn bytes(code: u16, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// A text answer, for health checks.
pub(crate) fn text(body: &'static str) -> Response {
    Response::new(Bytes::from_static(body.as_bytes()).into())
}
