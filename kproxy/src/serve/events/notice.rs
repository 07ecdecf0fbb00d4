//! What is worth telling people in the cluster.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType};

use crate::model::{Kind, ObjectName, Problem, Reason};

/// The API server's limit for a note (`NoteLengthLimit`).
pub(super) const LONGEST_NOTE: usize = 1_024;

/// Something to tell about an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    warning: bool,
    reason: &'static str,
    action: &'static str,
    about: ObjectReference,
    note: String,
}

impl Notice {
    /// The proxy starts.
    #[must_use]
    pub fn starting(node_name: &str) -> Self {
        Self {
            warning: false,
            reason: "Starting",
            action: "StartKubeProxy",
            about: node(node_name),
            note: format!("kproxy {} is starting", env!("CARGO_PKG_VERSION")),
        }
    }

    /// The proxy can not start.
    pub(in super::super) fn failed_to_start(node_name: &str, reason: &'static str) -> Self {
        Self {
            warning: true,
            reason,
            ..Self::starting(node_name)
        }
    }

    /// A Service's health-check node port can not be opened.
    pub(in super::super) fn failed_to_listen(service: &ObjectName, note: String) -> Self {
        Self {
            warning: true,
            reason: "FailedToStartServiceHealthcheck",
            action: "Listen",
            about: reference(Kind::Service, service),
            note,
        }
    }

    /// Something is wrong with a user's object.
    #[must_use]
    pub fn of(problem: &Problem) -> Self {
        let reason = match (problem.kind, &problem.reason) {
            (_, Reason::Claimed { .. }) => "ConflictingFrontend",
            (Kind::Service, _) => "InvalidService",
            (Kind::EndpointSlice, _) => "InvalidEndpointSlice",
            (Kind::Node, _) => "InvalidNode",
            (Kind::ServiceCidr, _) => "InvalidServiceCIDR",
        };
        let mut about = reference(problem.kind, &problem.name);
        // Two problems with one object are two events, not one that happened twice.
        about.field_path = Some(problem.field.to_string());
        Self {
            warning: true,
            reason,
            action: "ReadObject",
            about,
            note: problem.to_string(),
        }
    }

    /// The same with this note.
    pub(in super::super) fn saying(self, note: &str) -> Self {
        Self {
            note: note.to_owned(),
            ..self
        }
    }

    /// The object, as events refer to it.
    pub(super) fn about(&self) -> &ObjectReference {
        &self.about
    }

    /// The event, but for who writes it.
    pub(super) fn event(&self) -> Event {
        let end = self.note.floor_char_boundary(LONGEST_NOTE);
        Event {
            type_: if self.warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: self.reason.into(),
            action: self.action.into(),
            note: Some(self.note[..end].to_owned()),
            secondary: None,
        }
    }
}

/// `kubectl describe node` looks for events whose `uid` is the node's name.
fn node(name: &str) -> ObjectReference {
    ObjectReference {
        uid: Some(name.into()),
        ..reference(Kind::Node, &ObjectName::new("", name))
    }
}

fn reference(kind: Kind, name: &ObjectName) -> ObjectReference {
    let version = match kind {
        Kind::Service | Kind::Node => "v1",
        Kind::EndpointSlice => "discovery.k8s.io/v1",
        Kind::ServiceCidr => "networking.k8s.io/v1",
    };
    ObjectReference {
        api_version: Some(version.into()),
        kind: Some(kind.to_string()),
        name: Some(name.name.to_string()),
        namespace: Some(name.namespace.to_string()).filter(|namespace| !namespace.is_empty()),
        ..ObjectReference::default()
    }
}
