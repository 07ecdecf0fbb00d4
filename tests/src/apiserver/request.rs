//! A request for objects, parsed: which kind, where, and the options of the query.

use axum::http::{HeaderMap, Method};
use serde::Deserialize;

use super::authorization::{Permission, Wish};
use super::kinds::{self, Kind};
use super::object::Key;
use super::respond::View;
use super::selector::Selector;
use super::status::Status;

/// What a path names.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) kind: &'static Kind,
    /// The namespace; `None` for cluster-wide kinds and for all namespaces.
    pub(crate) namespace: Option<String>,
    /// One object, or all.
    pub(crate) name: Option<String>,
    /// Whether `/status` was asked for.
    pub(crate) status: bool,
}

/// The query of a request (`ListOptions`, `CreateOptions` and so on in one).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Parameters {
    pub(crate) watch: Option<String>,
    pub(crate) resource_version: Option<String>,
    pub(crate) resource_version_match: Option<String>,
    pub(crate) send_initial_events: Option<String>,
    pub(crate) allow_watch_bookmarks: Option<String>,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) label_selector: Option<String>,
    pub(crate) field_selector: Option<String>,
    pub(crate) limit: Option<usize>,
    #[serde(rename = "continue")]
    pub(crate) continue_token: Option<String>,
    pub(crate) dry_run: Option<String>,
    pub(crate) field_validation: Option<String>,
    pub(crate) include_object: Option<String>,
}

/// A request for objects.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) target: Target,
    pub(crate) parameters: Parameters,
    pub(crate) view: View,
}

impl Request {
    pub(crate) fn parse(path: &str, parameters: Parameters, headers: &HeaderMap) -> Result<Self, Status> {
        let target = Target::parse(path).ok_or_else(path_not_found)?;
        let view = View::accepted(headers, parameters.include_object.as_deref())?;
        Ok(Self {
            target,
            parameters,
            view,
        })
    }

    pub(crate) fn kind(&self) -> &'static Kind {
        self.target.kind
    }

    pub(crate) fn selector(&self) -> Result<Selector, Status> {
        let Parameters {
            label_selector,
            field_selector,
            ..
        } = &self.parameters;
        Selector::parse(
            self.target.kind,
            label_selector.as_deref(),
            field_selector.as_deref(),
        )
    }

    /// The key of an object of that name.
    pub(crate) fn key(&self, name: &str) -> Key {
        Key::new(
            self.target.kind,
            self.target.namespace.as_deref().unwrap_or_default(),
            name,
        )
    }

    /// What its user must be allowed to do.
    pub(crate) fn wish(&self, method: &Method) -> Wish<'_> {
        let Target {
            kind,
            namespace,
            name,
            status,
        } = &self.target;
        let verb = match (method.as_str(), name) {
            ("GET", _) if is_set(self.parameters.watch.as_deref()) => "watch",
            ("GET", Some(_)) => "get",
            ("GET", None) => "list",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", Some(_)) => "delete",
            ("DELETE", None) => "deletecollection",
            (other, _) => other,
        };
        let subresource = if *status { "/status" } else { "" };
        Wish {
            permission: Permission {
                group: kind.group.to_owned(),
                resource: format!("{}{subresource}", kind.plural),
                verb: verb.to_owned(),
            },
            namespace: namespace.as_deref(),
            name: name.as_deref(),
        }
    }

    /// Whether a write is only tried out.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.parameters.dry_run.as_deref() == Some("All")
    }
}

impl Target {
    fn parse(path: &str) -> Option<Self> {
        let mut parts = path.trim_matches('/').split('/');
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        let version = parts.next()?;
        let rest: Vec<_> = parts.collect();
        match rest[..] {
            // `namespaces` is a kind of its own as well; only a known kind behind it makes it a scope.
            ["namespaces", namespace, plural, ref rest @ ..] if plural != "status" => {
                let kind = kinds::by_path(group, version, plural).filter(|kind| kind.namespaced)?;
                Self::of(kind, Some(namespace), rest)
            }
            [plural, ref rest @ ..] => {
                let kind = kinds::by_path(group, version, plural)?;
                // Objects of namespaced kinds have no name outside their namespace.
                (rest.is_empty() || !kind.namespaced)
                    .then(|| Self::of(kind, None, rest))
                    .flatten()
            }
            [] => None,
        }
    }

    fn of(kind: &'static Kind, namespace: Option<&str>, rest: &[&str]) -> Option<Self> {
        let namespace = namespace.map(str::to_owned);
        let (name, status) = match *rest {
            [] => (None, false),
            [name] => (Some(name.to_owned()), false),
            [name, "status"] if kind.status => (Some(name.to_owned()), true),
            _ => return None,
        };
        Some(Self {
            kind,
            namespace,
            name,
            status,
        })
    }
}

/// Nothing is served under the path.
pub(crate) fn path_not_found() -> Status {
    Status::new(
        404,
        "NotFound",
        "the server could not find the requested resource",
    )
}

/// A flag of a query: present and not negated.
pub(crate) fn is_set(flag: Option<&str>) -> bool {
    flag.is_some_and(|value| !["false", "0"].contains(&value))
}
