//! Followers against a server of a few lines that answers by script.

#![expect(
    clippy::needless_pass_by_value,
    reason = "rows of tables are literals that nobody needs afterwards"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::timeout;

use super::*;
use crate::model::Kind;
use crate::source::{Change, News};

/// One answer: status, body, and whether the connection stays open after it.
struct Answer(u16, String, bool);

/// Answers requests whose path and query contain a text, each answer once, in order; watches wait when nothing is left.
#[derive(Default)]
struct Script(Mutex<Vec<(&'static str, Answer)>>);

impl Script {
    fn add(self, what: &'static str, status: u16, body: impl Into<String>) -> Self {
        self.0
            .lock()
            .unwrap()
            .push((what, Answer(status, body.into(), false)));
        self
    }

    fn hold(self, what: &'static str, body: impl Into<String>) -> Self {
        self.0
            .lock()
            .unwrap()
            .push((what, Answer(200, body.into(), true)));
        self
    }

    fn answer(&self, target: &str) -> Answer {
        let mut answers = self.0.lock().unwrap();
        let kind = |target: &str| {
            target
                .split('?')
                .next()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        };
        let watch = target.contains("watch=true");
        let fits = |what: &str| {
            let (plural, rest) = what.split_once(' ').unwrap();
            kind(target) == plural && (rest == "watch") == watch
        };
        match answers.iter().position(|(what, _)| fits(what)) {
            Some(position) => answers.remove(position).1,
            None if watch => Answer(200, String::new(), true),
            None => Answer(200, list("1", &[]), false),
        }
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Script>, asked: Arc<Mutex<Vec<String>>>) {
    let mut lines = BufReader::new(&mut stream).lines();
    let request = lines.next_line().await.unwrap().unwrap_or_default();
    while lines
        .next_line()
        .await
        .unwrap()
        .is_some_and(|line| !line.is_empty())
    {}
    let target = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let Answer(status, body, hold) = script.answer(&target);
    asked.lock().unwrap().push(target);
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    if hold {
        tokio::time::sleep(Duration::from_mins(1)).await;
    }
}

/// Starts the server; gives how to reach it and what is asked for.
async fn listen(script: Script) -> (KubernetesOptions, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let master = Some(format!("http://{}", listener.local_addr().unwrap()));
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (script, log) = (Arc::new(script), asked.clone());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, script.clone(), log.clone()));
        }
    });
    let options = KubernetesOptions {
        kubeconfig: None,
        master,
        node_name: "here".into(),
    };
    (options, asked)
}

/// Starts server and source; gives the events and what was asked for.
async fn start(script: Script) -> (Receiver<Event>, Arc<Mutex<Vec<String>>>) {
    let (options, asked) = listen(script).await;
    let (sender, receiver) = mpsc::channel(64);
    tokio::spawn(kubernetes(options, sender).await.unwrap());
    (receiver, asked)
}

fn list(version: &str, items: &[Value]) -> String {
    json!({"metadata": {"resourceVersion": version}, "items": items}).to_string()
}

fn service(name: &str, port: Value) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "resourceVersion": "7"},
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": port}]},
    })
}

fn event(sort: &str, object: &Value) -> String {
    json!({"type": sort, "object": object}).to_string() + "\n"
}

/// The next news about services as text, `listed` for the end of a list.
async fn next_service(events: &mut Receiver<Event>) -> String {
    loop {
        let event = timeout(Duration::from_secs(10), events.recv())
            .await
            .expect("news in time")
            .unwrap();
        match event.news {
            News::Service(Change::Applied(parsed)) => return format!("+{}", parsed.name.name),
            News::Service(Change::Removed(name)) => return format!("-{}", name.name),
            News::Service(Change::Rejected(problem)) => return format!("!{problem}"),
            News::Listing(Kind::Service) => return "listing".into(),
            News::Listed(Kind::Service) => return "listed".into(),
            News::Slice(_)
            | News::Node(_)
            | News::ServiceCidr(_)
            | News::Unread(_)
            | News::Listing(_)
            | News::Listed(_) => {}
        }
    }
}

async fn expect_services(events: &mut Receiver<Event>, expected: &[&str]) {
    for line in expected {
        let got = next_service(events).await;
        assert!(got.starts_with(line), "got {got:?}, expected {line:?}");
    }
}

#[tokio::test]
async fn lists_in_pages_then_watches_from_there() {
    let first =
        json!({"metadata": {"resourceVersion": "5", "continue": "more"}, "items": [service("a", json!(80))]});
    let changes = event("ADDED", &service("c", json!(80)))
        + &event(
            "BOOKMARK",
            &json!({"kind": "Service", "metadata": {"resourceVersion": "9"}}),
        )
        + &event("DELETED", &service("a", json!(80)));
    let script = Script::default()
        .add("services list", 200, first.to_string())
        .add("services list", 200, list("5", &[service("b", json!(80))]))
        .hold("services watch", changes);
    let (mut events, asked) = start(script).await;
    expect_services(&mut events, &["listing", "+a", "+b", "listed", "+c", "-a"]).await;
    let asked = asked.lock().unwrap();
    let rows: [&[&str]; 6] = [
        &[
            "/api/v1/services?",
            "fieldSelector=spec.clusterIP%21%3DNone",
            "limit=500",
        ],
        &[
            "/api/v1/services?",
            "fieldSelector=spec.clusterIP%21%3DNone",
            "continue=more",
        ],
        &[
            "/api/v1/services?",
            "watch=true",
            "resourceVersion=5",
            "allowWatchBookmarks=true",
        ],
        &[
            "/apis/discovery.k8s.io/v1/endpointslices?",
            "labelSelector=%21service.kubernetes.io%2Fheadless",
        ],
        &["/api/v1/nodes?", "fieldSelector=metadata.name%3Dhere"],
        &["/apis/networking.k8s.io/v1/servicecidrs?"],
    ];
    for parts in rows {
        let found = asked
            .iter()
            .any(|target| parts.iter().all(|part| target.contains(part)));
        assert!(found, "1.02, 1.03, 1.04: {parts:?} in {asked:#?}");
    }
    let mut services = asked.iter().filter(|target| target.contains("/services?"));
    assert!(
        !services.any(|target| target.contains("labelSelector")),
        "1.01, 4.10 those of another proxy have ClusterIPs as well: {asked:#?}"
    );
}

#[tokio::test]
async fn an_object_that_can_not_be_read_does_not_hide_the_others() {
    let broken = service("bad", json!("eighty"));
    let script = Script::default()
        .add(
            "services list",
            200,
            list("5", &[broken.clone(), service("good", json!(80))]),
        )
        .hold(
            "services watch",
            event("MODIFIED", &broken) + &event("ADDED", &service("other", json!(80))),
        );
    let (mut events, _) = start(script).await;
    let named = "!Service default/bad, field spec.ports[0].port: invalid type: string \"eighty\"";
    expect_services(
        &mut events,
        &["listing", named, "+good", "listed", named, "+other"],
    )
    .await;
}

#[tokio::test]
async fn a_watch_that_ends_is_resumed_where_it_was() {
    let half = event("ADDED", &service("b", json!(80)));
    let script = Script::default()
        .add("services list", 200, list("5", &[]))
        .add(
            "services watch",
            200,
            event("ADDED", &service("a", json!(80))) + &half[..half.len() / 2],
        )
        .hold("services watch", half);
    let (mut events, asked) = start(script).await;
    expect_services(&mut events, &["listing", "listed", "+a", "+b"]).await;
    assert!(
        asked
            .lock()
            .unwrap()
            .iter()
            .any(|target| target.contains("resourceVersion=7"))
    );
}

#[tokio::test]
async fn a_busy_watch_is_an_answer() {
    let changes = event("ADDED", &service("a", json!(80))) + &event("ADDED", &service("b", json!(80)));
    let (options, _) = listen(Script::default().hold("services watch", changes)).await;
    let (client, server) = connect::connect(&options).await.unwrap();
    let (sender, mut events) = mpsc::channel(1);
    let reach = Arc::new(Reach::new(server));
    assert!(reach.failed(Kind::Service, "refused"));
    tokio::spawn(Follower::<Service>::new(&client, Selection::default(), &sender, &reach).run());
    expect_services(&mut events, &["listing", "listed", "+a", "+b"]).await;
    assert!(
        reach.failed(Kind::Service, "refused"),
        "a new outage, since the first one is over"
    );
}

#[tokio::test]
async fn after_gaps_and_nonsense_everything_is_listed_again() {
    let gone = event(
        "ERROR",
        &json!({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}),
    );
    let script = Script::default()
        .add("services list", 500, "<html>oops</html>")
        .add("services list", 200, "<html>welcome</html>")
        .add("services list", 200, "{}")
        .add("services list", 200, list("5", &[]))
        .add("services watch", 200, gone)
        .add("services list", 200, list("6", &[service("a", json!(80))]))
        .add("services watch", 200, "no event\n")
        .add("services list", 200, list("8", &[service("b", json!(80))]));
    let (mut events, _) = start(script).await;
    expect_services(
        &mut events,
        &[
            "listing", "listed", "listing", "+a", "listed", "listing", "+b", "listed",
        ],
    )
    .await;
}

#[tokio::test]
async fn an_old_server_without_service_cidrs_is_fine() {
    everything_is_listed(Script::default().add("servicecidrs list", 404, "404 page not found")).await;
}

#[tokio::test]
async fn a_refused_list_of_service_cidrs_keeps_nothing_waiting() {
    let forbidden = json!({
        "kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden",
        "message": "servicecidrs.networking.k8s.io is forbidden",
    });
    let script = Script::default().add("servicecidrs list", 403, forbidden.to_string());
    everything_is_listed(script.add("servicecidrs list", 403, forbidden.to_string())).await;
}

async fn everything_is_listed(script: Script) {
    let (mut events, asked) = start(script).await;
    let mut missing: Vec<Kind> = Kind::ALL.into();
    while !missing.is_empty() {
        let event = timeout(Duration::from_secs(10), events.recv())
            .await
            .expect("lists in time")
            .unwrap();
        if let News::Listed(kind) = event.news {
            missing.retain(|other| *other != kind);
        }
    }
    let asked = asked.lock().unwrap();
    let cidrs = asked.iter().filter(|target| target.contains("servicecidrs"));
    assert_eq!(cidrs.count(), 1, "and it is not asked for again at once");
}

#[tokio::test]
async fn a_follower_that_ends_early_is_an_error() {
    let (sender, receiver) = mpsc::channel(1);
    let mut ended = JoinSet::new();
    ended.spawn(async {});
    let error = supervise(ended, &sender).await.unwrap_err();
    assert!(error.to_string().contains("start kproxy again"), "{error}");

    let mut broken = JoinSet::new();
    broken.spawn(async { panic!("a mistake") });
    broken.spawn(std::future::pending());
    let error = supervise(broken, &sender).await.unwrap_err();
    assert!(error.0.is_some(), "{error}");

    let mut done = JoinSet::new();
    done.spawn(async {});
    drop(receiver);
    supervise(done, &sender).await.unwrap();
}

#[tokio::test]
async fn options_that_lead_nowhere_are_named() {
    let (sender, _receiver) = mpsc::channel(1);
    let rows = [
        (
            KubernetesOptions {
                kubeconfig: Some("/nowhere/config".into()),
                ..Default::default()
            },
            "/nowhere/config",
        ),
        (
            KubernetesOptions {
                master: Some("http://".into()),
                ..Default::default()
            },
            "\"http://\" is not the URL",
        ),
        (KubernetesOptions::default(), "not running in a Pod"),
    ];
    for (options, expected) in rows {
        let opened = kubernetes(options, sender.clone()).await;
        let error = opened.map(drop).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
