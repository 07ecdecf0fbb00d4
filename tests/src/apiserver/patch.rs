//! The three kinds of patch the server applies, told apart by content type. Server-side apply is refused, as by a
//! server without the feature; `kubectl apply` then uses strategic merge.

use axum::http::HeaderMap;
use serde_json::Value;

use super::kinds::Kind;
use super::status::Status;
use super::strategic;

const SUPPORTED: &str =
    "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json";

/// Applies a patch to an object in its served form.
pub(crate) fn apply(kind: &Kind, headers: &HeaderMap, body: &[u8], object: &mut Value) -> Result<(), Status> {
    let header = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let content_type = header.split(';').next().unwrap_or_default().trim();
    match content_type {
        "application/json-patch+json" => {
            let patch: json_patch::Patch = parse(body)?;
            json_patch::patch(object, &patch).map_err(|error| {
                let message =
                    format!("the server rejected our request due to an error in our request: {error}");
                Status::new(422, "Invalid", message)
            })
        }
        "application/merge-patch+json" => {
            json_patch::merge(object, &parse_object(body)?);
            Ok(())
        }
        "application/strategic-merge-patch+json" => {
            strategic::merge(object, &parse_object(body)?, kind.merges).map_err(Status::bad_request)
        }
        other => {
            let message = format!(
                "the body of the request was in an unknown format - accepted media types include: {SUPPORTED} (not {other:?})"
            );
            Err(Status::new(415, "UnsupportedMediaType", message))
        }
    }
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(body)
        .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))
}

fn parse_object(body: &[u8]) -> Result<Value, Status> {
    let patch: Value = parse(body)?;
    if patch.is_object() {
        Ok(patch)
    } else {
        Err(Status::bad_request("error decoding patch: it is not an object"))
    }
}
