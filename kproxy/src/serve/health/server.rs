//! `/healthz` and `/livez` (semantics 9.01 to 9.03, 9.08, 9.11).

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::any;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::super::respond::json;
use super::super::status::Status;
use super::{FamilyReport, Report};

/// What Go's zero time looks like: nothing was ever updated.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(in super::super) fn router(status: Status) -> Router {
    // Other paths are 404, any method is fine (9.11).
    Router::new()
        .route("/healthz", any(healthz))
        .route("/livez", any(livez))
        .with_state(status)
}

/// May load balancers send to this node?
async fn healthz(State(status): State<Status>) -> Response {
    let report = status.health();
    let fine = report.healthy && report.node_eligible;
    let code = code(fine);
    status.counted().healthz(code.as_u16());
    json(code, &Body::of(&report, fine, Some(report.node_eligible)))
}

/// Does the proxy keep up?
async fn livez(State(status): State<Status>) -> Response {
    let report = status.health();
    let code = code(report.healthy);
    status.counted().livez(code.as_u16());
    json(code, &Body::of(&report, report.healthy, None))
}

fn code(fine: bool) -> StatusCode {
    if fine {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    last_updated: String,
    current_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_eligible: Option<bool>,
    healthy: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    status: BTreeMap<String, FamilyBody>,
}

impl Body {
    fn of(report: &Report, fine: bool, node_eligible: Option<bool>) -> Self {
        let families = report.families.iter().map(|(family, report)| {
            let FamilyReport {
                last_updated,
                healthy,
            } = *report;
            let body = FamilyBody {
                last_updated: text(last_updated),
                healthy,
            };
            (family.to_string(), body)
        });
        let last_updated = if fine {
            Some(report.now)
        } else {
            report.last_updated
        };
        Self {
            last_updated: last_updated.map_or_else(|| NEVER.into(), text),
            current_time: text(report.now),
            node_eligible,
            healthy: report.healthy,
            status: families.collect(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FamilyBody {
    last_updated: String,
    healthy: bool,
}

/// RFC 3339 with nine digits of fraction (9.02).
fn text(time: Timestamp) -> String {
    format!("{time:.9}")
}
