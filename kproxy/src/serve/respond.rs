//! Answers that all servers give in the same shape.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

const NO_SNIFFING: (HeaderName, HeaderValue) = (
    header::X_CONTENT_TYPE_OPTIONS,
    HeaderValue::from_static("nosniff"),
);

/// JSON that nobody takes for anything else.
pub(super) fn json(code: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => typed(code, "application/json", bytes),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Plain text that nobody takes for anything else.
pub(super) fn text(code: StatusCode, text: impl Into<Body>) -> Response {
    typed(code, "text/plain; charset=utf-8", text)
}

/// A body of some type that nobody takes for anything else.
pub(super) fn typed(code: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(kind));
    (code, [kind, NO_SNIFFING], body.into()).into_response()
}
