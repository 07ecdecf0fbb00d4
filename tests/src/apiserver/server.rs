//! The in-repo server: what its requests share, and the way of a request.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Extension, Path, Query, Request as HttpRequest, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;

use super::authorization::{Permission, Record, Wish, authorize};
use super::faults::Plan;
use super::identity::{Tokens, User};
use super::patch::Patch;
use super::request::{Parameters, Request, is_set, path_not_found};
use super::status::Status;
use super::store::Store;
use super::{delete, discovery, openapi, read, respond, watch, write};

/// Objects may be this large, as in a real server (etcd's limit and some).
const LARGEST_BODY: usize = 3 << 20;

/// What requests share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) store: Arc<Store>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) tokens: Tokens,
    pub(crate) record: Record,
    pub(crate) bookmarks_every: Duration,
}

/// All paths.
pub(crate) fn router(server: Arc<Server>) -> Router {
    Router::new()
        .route("/healthz", get(async || respond::text("ok")))
        .route("/livez", get(async || respond::text("ok")))
        .route("/readyz", get(async || respond::text("ok")))
        .route(
            "/version",
            get(async || respond::json(200, &discovery::version())),
        )
        .route(
            "/api",
            get(async || respond::json(200, &discovery::core_versions())),
        )
        .route("/apis", get(async || respond::json(200, &discovery::groups())))
        .route(
            "/apis/{group}",
            get(async |Path(group): Path<String>| found(discovery::one_group(&group))),
        )
        .route(
            "/api/{version}",
            get(async |Path(version): Path<String>| found(discovery::resources("", &version))),
        )
        .route(
            "/apis/{group}/{version}",
            get(async |Path((group, version)): Path<(String, String)>| {
                found(discovery::resources(&group, &version))
            }),
        )
        .route("/openapi/v3", get(async || respond::json(200, &openapi::index())))
        .route(
            "/openapi/v3/api/{version}",
            get(async |Path(version): Path<String>| found(openapi::describe("", &version))),
        )
        .route(
            "/openapi/v3/apis/{group}/{version}",
            get(async |Path((group, version)): Path<(String, String)>| {
                found(openapi::describe(&group, &version))
            }),
        )
        .route(
            "/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            post(token),
        )
        .fallback(objects)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&server), authenticate))
        .with_state(server)
}

/// Only health checks are open to everybody.
async fn authenticate(State(server): State<Arc<Server>>, mut request: HttpRequest, next: Next) -> Response {
    let open = ["/healthz", "/livez", "/readyz", "/version"].contains(&request.uri().path());
    let identified = server
        .store
        .with(|contents| server.tokens.identify(request.headers(), contents));
    match identified {
        Ok(user) => {
            tracing::trace!(user = user.name, method = %request.method(), uri = %request.uri(), "request");
            request.extensions_mut().insert(user);
        }
        Err(_) if open => {}
        Err(status) => return status.into_response(),
    }
    next.run(request).await
}

/// A token for a service account, which is no object: nothing of it is stored.
async fn token(
    State(server): State<Arc<Server>>,
    Extension(user): Extension<User>,
    Path((namespace, name)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let wish = Wish {
        permission: Permission {
            group: String::new(),
            resource: "serviceaccounts/token".to_owned(),
            verb: "create".to_owned(),
        },
        namespace: Some(&namespace),
        name: Some(&name),
    };
    let given = server.store.with(|contents| {
        authorize(contents, &server.record, &user, wish)?;
        let request =
            serde_json::from_slice(&body).map_err(|error| Status::bad_request(error.to_string()))?;
        let given = server.tokens.give(contents, &namespace, &name, request)?;
        let mut answer = serde_json::to_value(given)
            .map_err(|error| Status::new(500, "InternalError", error.to_string()))?;
        answer["apiVersion"] = "authentication.k8s.io/v1".into();
        answer["kind"] = "TokenRequest".into();
        Ok(respond::json(201, &answer))
    });
    given.unwrap_or_else(|status: Status| status.into_response())
}

async fn objects(
    State(server): State<Arc<Server>>,
    Extension(user): Extension<User>,
    method: Method,
    uri: Uri,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let parameters = match parameters {
        Ok(Query(parameters)) => parameters,
        Err(rejection) => return Status::bad_request(rejection.body_text()).into_response(),
    };
    let request = match Request::parse(uri.path(), parameters, &headers) {
        Ok(request) => request,
        Err(status) => return status.into_response(),
    };
    if let Some(delay) = server.plan.delay() {
        tokio::time::sleep(delay).await;
    }
    let allowed = server
        .store
        .with(|contents| authorize(contents, &server.record, &user, request.wish(&method)));
    if let Err(status) = allowed {
        return status.into_response();
    }
    serve(&server, &method, &request, &headers, &body).unwrap_or_else(IntoResponse::into_response)
}

fn serve(
    server: &Server,
    method: &Method,
    request: &Request,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Status> {
    server.plan.check(request.kind().plural)?;
    let target = &request.target;
    match (method.as_str(), target.name.as_deref()) {
        ("GET", _) if is_set(request.parameters.watch.as_deref()) => watch::watch(server, request),
        ("GET", Some(name)) => read::get(server, request, name),
        ("GET", None) => read::list(server, request),
        ("POST", None) if target.namespace.is_some() || !target.kind.namespaced => {
            write::create(server, request, body)
        }
        ("PUT", Some(name)) => write::update(server, request, name, body),
        ("PATCH", Some(name)) => write::patch(server, request, name, &Patch::parse(headers, body)?),
        ("DELETE", Some(name)) if !target.status => delete::delete(server, request, name, body),
        ("DELETE", None) if target.namespace.is_some() || !target.kind.namespaced => {
            delete::delete_collection(server, request)
        }
        _ => {
            let message = "the server does not allow this method on the requested resource";
            Err(Status::new(405, "MethodNotAllowed", message))
        }
    }
}

fn found(document: Option<Value>) -> Response {
    document.map_or_else(
        || path_not_found().into_response(),
        |document| respond::json(200, &document),
    )
}
