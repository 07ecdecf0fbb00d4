//! The three kinds of patch the server applies, told apart by content type. Server-side apply is refused, as by a
//! server without the feature; `kubectl apply` without flags uses strategic merge.

use axum::http::HeaderMap;
use serde_json::Value;

use super::kinds::Kind;
use super::status::Status;
use super::strategic;

const SUPPORTED: &str =
    "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json";

/// A change to an object.
#[derive(Debug)]
pub(crate) enum Patch {
    /// Steps (RFC 6902).
    Json(json_patch::Patch),
    /// Fields to set and, by `null`, to remove (RFC 7386).
    Merge(Value),
    /// The same, with some lists merged.
    Strategic(Value),
}

impl Patch {
    /// Reads a patch of the kind its content type says.
    pub(crate) fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Self, Status> {
        let header = headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        match header.split(';').next().unwrap_or_default().trim() {
            "application/json-patch+json" => Ok(Self::Json(parse(body)?)),
            "application/merge-patch+json" => Ok(Self::Merge(parse_object(body)?)),
            "application/strategic-merge-patch+json" => Ok(Self::Strategic(parse_object(body)?)),
            other => {
                let message = format!(
                    "the body of the request was in an unknown format - accepted media types include: {SUPPORTED} (not {other:?})"
                );
                Err(Status::new(415, "UnsupportedMediaType", message))
            }
        }
    }

    /// Changes an object in its served form.
    pub(crate) fn apply(&self, kind: &Kind, object: &mut Value) -> Result<(), Status> {
        match self {
            Self::Json(patch) => json_patch::patch(object, patch).map_err(|error| {
                let message =
                    format!("the server rejected our request due to an error in our request: {error}");
                Status::new(422, "Invalid", message)
            }),
            Self::Merge(patch) => {
                json_patch::merge(object, patch);
                Ok(())
            }
            Self::Strategic(patch) => {
                strategic::merge(object, patch, kind.merges).map_err(Status::bad_request)
            }
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
