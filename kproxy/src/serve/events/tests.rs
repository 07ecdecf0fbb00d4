//! What arrives at an API server.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use kube::Config;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::notice::LONGEST_NOTE;
use super::*;
use crate::model::{Kind, ObjectName, Problem, Reason};
use crate::serve::tests::{Fixed, NEVER_LATE, anywhere, options};
use crate::serve::{Options, Reporter, Status, start};

type Request = (Method, String, Value);

/// An API server that takes events, or refuses them all.
#[derive(Clone)]
struct Server {
    requests: UnboundedSender<Request>,
    refuses: Arc<AtomicBool>,
}

async fn take(State(server): State<Server>, method: Method, uri: Uri, body: String) -> Response {
    let body: Value = serde_json::from_str(&body).expect("JSON");
    server
        .requests
        .send((method, uri.path().into(), body.clone()))
        .ok();
    if server.refuses.load(Ordering::Relaxed) {
        let status = json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "Forbidden", "code": 403});
        return (StatusCode::FORBIDDEN, status.to_string()).into_response();
    }
    (StatusCode::CREATED, body.to_string()).into_response()
}

async fn cluster(refuses: bool) -> (Events, UnboundedReceiver<Request>, Server) {
    let listener = tokio::net::TcpListener::bind(anywhere())
        .await
        .expect("an address");
    let address = listener.local_addr().expect("its address");
    let (requests, received) = unbounded_channel();
    let server = Server {
        requests,
        refuses: Arc::new(AtomicBool::new(refuses)),
    };
    let router = Router::new().fallback(take).with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let config = Config::new(format!("http://{address}").parse().expect("a URL"));
    let client = Client::try_from(config).expect("a client");
    (Events::of_cluster(client, "here"), received, server)
}

fn problem(kind: Kind, field: &str, reason: Reason) -> Problem {
    Problem::new(kind, &ObjectName::new("default", "web"), field, reason)
}

#[tokio::test]
async fn notices_become_events() {
    let service = ObjectName::new("default", "web");
    let claimed = Reason::Claimed {
        frontend: "10.96.0.1:80 TCP".into(),
        holder: Box::new(ObjectName::new("default", "older")),
    };
    let rows = [
        (
            "9.22",
            Notice::starting("here"),
            ("default", "Normal", "Starting", "StartKubeProxy"),
            ("Node", "here", "kproxy "),
        ),
        (
            "9.23",
            Notice::failed_to_start("here", "FailedToStartMetricServer").saying("no"),
            (
                "default",
                "Warning",
                "FailedToStartMetricServer",
                "StartKubeProxy",
            ),
            ("Node", "here", "no"),
        ),
        (
            "3.59, 9.24",
            Notice::failed_to_listen(&service, "taken".into()),
            ("default", "Warning", "FailedToStartServiceHealthcheck", "Listen"),
            ("Service", "web", "taken"),
        ),
        (
            "a bad field",
            Notice::of(&problem(
                Kind::Service,
                "spec.ports[0].port",
                Reason::Port(0, "the port"),
            )),
            ("default", "Warning", "InvalidService", "ReadObject"),
            (
                "Service",
                "web",
                "Service default/web, field spec.ports[0].port: 0 is not",
            ),
        ),
        (
            "a conflict",
            Notice::of(&problem(Kind::Service, "spec", claimed)),
            ("default", "Warning", "ConflictingFrontend", "ReadObject"),
            (
                "Service",
                "web",
                "Service default/web, field spec: 10.96.0.1:80 TCP belongs to",
            ),
        ),
        (
            "a bad slice",
            Notice::of(&problem(Kind::EndpointSlice, "endpoints", Reason::Missing)),
            ("default", "Warning", "InvalidEndpointSlice", "ReadObject"),
            ("EndpointSlice", "web", "EndpointSlice default/web"),
        ),
    ];
    let (events, mut requests, _) = cluster(false).await;
    for (row, notice, (namespace, kind, reason, action), (object, name, note)) in rows {
        events.send(notice);
        let (method, path, event) = requests.recv().await.expect("an event");
        let expected = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
        assert_eq!((method, path), (Method::POST, expected), "{row}");
        assert_eq!(event["reportingController"], "kube-proxy", "{row}");
        assert_eq!(event["reportingInstance"], "here", "{row}");
        assert_eq!(
            (&event["type"], &event["reason"], &event["action"]),
            (&json!(kind), &json!(reason), &json!(action)),
            "{row}"
        );
        assert_eq!(
            (&event["regarding"]["kind"], &event["regarding"]["name"]),
            (&json!(object), &json!(name)),
            "{row}"
        );
        let text = event["note"].as_str().expect("a note");
        assert!(text.starts_with(note), "{row}: {text}");
    }
    assert_eq!(events.lost(), 0);
}

#[tokio::test]
async fn what_happens_again_is_one_event_that_goes_on() {
    let (events, mut requests, _) = cluster(false).await;
    let bad = |field: &str| Notice::of(&problem(Kind::Service, field, Reason::Missing));
    let mut methods = vec![];
    for field in ["spec.a", "spec.a", "spec.b"] {
        events.send(bad(field));
        methods.push(requests.recv().await.expect("an event").0);
    }
    assert_eq!(methods, [Method::POST, Method::PATCH, Method::POST]);
}

#[tokio::test]
async fn what_can_not_be_written_is_counted_and_the_next_is_tried() {
    let (events, mut requests, server) = cluster(true).await;
    events.deliver(Notice::starting("here")).await;
    requests.recv().await.expect("a try");
    assert_eq!(events.lost(), 1);
    server.refuses.store(false, Ordering::Relaxed);
    events.deliver(Notice::starting("here")).await;
    requests.recv().await.expect("another");
    assert_eq!(events.lost(), 1);
}

#[tokio::test]
async fn too_many_at_once_are_dropped_and_counted() {
    let (events, _requests, _) = cluster(false).await;
    // The task has had no turn yet.
    for _ in 0..QUEUE + 3 {
        events.send(Notice::starting("here"));
    }
    assert_eq!(events.lost(), 3);
}

#[tokio::test]
async fn without_a_cluster_nothing_is_waited_for_or_lost() {
    let events = Events::none();
    for _ in 0..=QUEUE {
        events.send(Notice::starting("here"));
    }
    events.deliver(Notice::starting("here")).await;
    assert_eq!(events.lost(), 0);
}

#[test]
fn long_notes_are_cut_between_letters() {
    let note = "ü".repeat(LONGEST_NOTE);
    let cut = Notice::starting("here")
        .saying(&note)
        .event()
        .note
        .expect("a note");
    assert_eq!(cut.len(), LONGEST_NOTE);
    let cut = Notice::starting("here").saying(&format!("a{note}")).event().note;
    assert_eq!(cut.expect("a note").len(), LONGEST_NOTE - 1);
}

#[tokio::test]
async fn the_cluster_hears_of_the_start_and_of_its_end() {
    let (events, mut requests, _) = cluster(false).await;
    let taken = std::net::TcpListener::bind(anywhere()).expect("an address");
    let address = taken.local_addr().expect("its address");
    let health = Options {
        healthz: Some(address),
        ..options()
    };
    let metrics = Options {
        metrics: address,
        ..options()
    };
    let rows = [
        ("9.23, 9.12", "FailedToStartProxierHealthcheck", health),
        ("9.23, 9.18", "FailedToStartMetricServer", metrics),
    ];
    for (row, reason, options) in rows {
        let options = Options {
            hard_fail: true,
            ..options
        };
        let status = Status::new(NEVER_LATE, true, events.clone()).expect("metrics");
        start(options, &status, Arc::new(Fixed)).await.expect_err(row);
        let mut reasons = vec![];
        while let Ok((_, _, event)) = requests.try_recv() {
            reasons.push(event["reason"].as_str().expect("a reason").to_owned());
        }
        assert_eq!(
            reasons,
            ["Starting", reason],
            "9.22, {row}: both are there when the process ends"
        );
    }
}

#[tokio::test]
async fn a_problem_is_told_about_its_object() {
    let (events, mut requests, _) = cluster(false).await;
    let status = Status::new(NEVER_LATE, true, events).expect("metrics");
    Reporter::new(status).problem(&problem(Kind::Service, "spec", Reason::Missing));
    let (_, _, event) = requests.recv().await.expect("an event");
    assert_eq!(event["regarding"]["fieldPath"], "spec");
}
