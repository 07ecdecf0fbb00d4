//! `Status`: how the API reports an error (and the success of a deletion), with a reason for programs, a message
//! for people, and for invalid objects the fields at fault.
//!
//! Shapes and texts follow `k8s.io/apimachinery/pkg/api/errors`, because clients match on them.

use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::kinds::Kind;
use super::respond;

/// A `Status` object on its way to a client.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) details: Option<Value>,
}

/// One field at fault.
#[derive(Debug)]
pub(crate) struct Cause {
    reason: &'static str,
    field: String,
    message: String,
}

impl Cause {
    /// The value of a field is wrong.
    pub(crate) fn invalid(
        field: impl Into<String>,
        value: &impl serde::Serialize,
        detail: impl AsRef<str>,
    ) -> Self {
        let value = json!(value);
        Self::new(
            "FieldValueInvalid",
            field,
            format!("Invalid value: {value}: {}", detail.as_ref()),
        )
    }

    /// A field is missing.
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let colon = if detail.is_empty() { "" } else { ": " };
        Self::new(
            "FieldValueRequired",
            field,
            format!("Required value{colon}{detail}"),
        )
    }

    /// A field names what is not there.
    pub(crate) fn not_found(field: impl Into<String>, value: &impl serde::Serialize) -> Self {
        Self::new(
            "FieldValueNotFound",
            field,
            format!("Not found: {}", json!(value)),
        )
    }

    /// A field repeats a value that must be unique.
    pub(crate) fn duplicate(field: impl Into<String>, value: &impl serde::Serialize) -> Self {
        Self::new(
            "FieldValueDuplicate",
            field,
            format!("Duplicate value: {}", json!(value)),
        )
    }

    /// A field's value is not one of a fixed set.
    pub(crate) fn unsupported(field: impl Into<String>, value: &str, supported: &[&str]) -> Self {
        let supported: Vec<_> = supported.iter().map(|value| format!("{value:?}")).collect();
        let message = format!(
            "Unsupported value: {value:?}: supported values: {}",
            supported.join(", ")
        );
        Self::new("FieldValueNotSupported", field, message)
    }

    /// A field may not be set here.
    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self::new("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }

    /// A list is too long.
    pub(crate) fn too_many(field: impl Into<String>, count: usize, most: usize) -> Self {
        let message = format!("Too many: {count}: must have at most {most} items");
        Self::new("FieldValueTooMany", field, message)
    }

    fn new(reason: &'static str, field: impl Into<String>, message: String) -> Self {
        Self {
            reason,
            field: field.into(),
            message,
        }
    }
}

impl Status {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", kind.resource())).about(kind, name)
    }

    pub(crate) fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", kind.resource());
        Self::new(409, "AlreadyExists", message).about(kind, name)
    }

    pub(crate) fn conflict(kind: &Kind, name: &str, detail: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {name:?}: {detail}",
            kind.resource()
        );
        Self::new(409, "Conflict", message).about(kind, name)
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// The object has fields that are wrong.
    pub(crate) fn invalid(kind: &Kind, name: &str, causes: &[Cause]) -> Self {
        let mut texts: Vec<_> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        let text = if texts.len() == 1 {
            texts.remove(0)
        } else {
            format!("[{}]", texts.join(", "))
        };
        let mut status = Self::new(
            422,
            "Invalid",
            format!("{} {name:?} is invalid: {text}", kind.name),
        );
        status.details = Some(json!({
            "name": name,
            "group": kind.group,
            "kind": kind.name,
            "causes": causes.iter().map(|Cause { reason, field, message }| {
                json!({"reason": reason, "field": field, "message": message})
            }).collect::<Vec<_>>(),
        }));
        status
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details = Some(json!({"name": name, "group": kind.group, "kind": kind.plural}));
        self
    }

    /// The object as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let Self {
            code,
            reason,
            message,
            details,
        } = self;
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        });
        if let Some(details) = details {
            object["details"] = details.clone();
        }
        object
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        respond::json(self.code, &self.to_json())
    }
}
