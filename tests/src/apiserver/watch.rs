//! `watch`: a stream of changes, one JSON object a line.
//!
//! A watch holds no queue. It remembers the revision it has sent and reads on in the store's history when the store
//! wakes it; a watch that is slower than the history is long is told 410, as by a real API server.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::faults::{Fault, Plan};
use super::kinds::Kind;
use super::object::Object;
use super::read::parse_version;
use super::request::{Request, is_set};
use super::respond::{self, View};
use super::selector::Selector;
use super::server::Server;
use super::status::Status;
use super::store::{Change, Store};

/// Tells a client of a streaming list that it has the whole list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// A real server ends watches too, after 30 to 60 minutes; tests do not run that long.
const LONGEST: Duration = Duration::from_hours(1);

struct Watch {
    store: Arc<Store>,
    plan: Arc<Plan>,
    kind: &'static Kind,
    namespace: Option<String>,
    selector: Selector,
    view: View,
    /// Everything up to this revision is sent.
    position: u64,
    newest: Receiver<u64>,
    drops: Receiver<u64>,
    end: Instant,
    bookmarks: Option<Interval>,
    first: Vec<u8>,
    next: Next,
}

/// What a watch does when it is polled next.
enum Next {
    Wait,
    BreakOff,
    End,
}

/// Starts a watch.
pub(crate) fn watch(server: &Server, request: &Request) -> Result<Response, Status> {
    let kind = request.kind();
    let parameters = &request.parameters;
    let length = parameters.timeout_seconds.map_or(LONGEST, Duration::from_secs);
    let bookmarks = is_set(parameters.allow_watch_bookmarks.as_deref()).then(|| {
        let mut interval = interval_at(Instant::now() + server.bookmarks_every, server.bookmarks_every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    });
    let mut watch = Watch {
        store: Arc::clone(&server.store),
        plan: Arc::clone(&server.plan),
        kind,
        namespace: request.target.namespace.clone(),
        selector: request.selector()?,
        view: request.view,
        position: 0,
        newest: server.store.subscribe(),
        drops: server.plan.drops(),
        end: Instant::now() + length,
        bookmarks,
        first: Vec::new(),
        next: Next::Wait,
    };
    watch.begin(request)?;
    let events = stream::unfold(watch, async |mut watch| {
        watch.step().await.map(|item| (item, watch))
    });
    Ok(respond::bytes(200, Body::from_stream(events)))
}

impl Watch {
    /// Finds the position to start from, and what to send at once.
    fn begin(&mut self, request: &Request) -> Result<(), Status> {
        let version = request.parameters.resource_version.as_deref().unwrap_or_default();
        let version = if version.is_empty() {
            0
        } else {
            parse_version(version)?
        };
        let streamed = match request.parameters.send_initial_events.as_deref() {
            flag @ Some(_) => Some(is_set(flag)),
            None => None,
        };
        if streamed.is_some() && request.parameters.resource_version_match.as_deref() != Some("NotOlderThan")
        {
            let message = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            return Err(Status::new(
                422,
                "Invalid",
                format!("ListOptions.meta.k8s.io \"\" is invalid: {message}"),
            ));
        }
        if self.plan.strikes(Fault::Expired, self.kind.plural) {
            let expired = Status::expired(format!(
                "too old resource version: {version} (injected by the test)"
            ));
            self.fail(&expired);
            return Ok(());
        }
        if version != 0 && streamed != Some(true) {
            self.position = version;
            return Ok(());
        }
        let (revision, objects) = self.store.with(|contents| {
            let objects: Vec<_> = contents
                .list(self.kind.plural, self.namespace.as_deref())
                .map(|(_, object)| Arc::clone(object))
                .collect();
            (contents.revision, objects)
        });
        self.position = revision;
        if streamed == Some(false) {
            return Ok(());
        }
        for object in objects
            .iter()
            .filter(|object| self.selector.matches(&object.value))
        {
            let event = line("ADDED", &self.view.object(self.kind, object));
            self.first.extend_from_slice(&event);
        }
        if streamed == Some(true) && self.bookmarks.is_some() {
            let bookmark = self.bookmark(json!({INITIAL_EVENTS_END: "true"}));
            self.first.extend_from_slice(&bookmark);
        }
        Ok(())
    }

    /// The next piece of the answer. An error breaks the connection off.
    async fn step(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        if !self.first.is_empty() {
            return Some(Ok(std::mem::take(&mut self.first).into()));
        }
        loop {
            match self.next {
                Next::Wait => {}
                Next::End => return None,
                Next::BreakOff => {
                    // Time for what was sent before to leave the machine's buffers.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    return Some(Err(std::io::Error::other("broken off on purpose")));
                }
            }
            // Marked before reading, so that a write between reading and waiting wakes us again.
            self.newest.mark_unchanged();
            let events = self.read_on();
            if !events.is_empty() {
                return Some(Ok(events));
            }
            tokio::select! {
                _ = self.newest.changed() => {}
                _ = self.drops.changed() => self.next = Next::BreakOff,
                () = sleep_until(self.end) => {
                    self.next = Next::End;
                    if self.bookmarks.is_some() {
                        return Some(Ok(self.bookmark(json!(null)).into()));
                    }
                }
                () = tick(self.bookmarks.as_mut()) => return Some(Ok(self.bookmark(json!(null)).into())),
            }
        }
    }

    /// Events for what has changed since the position.
    fn read_on(&mut self) -> Bytes {
        let changes = self.store.with(|contents| {
            let changes = contents.changes_after(self.position)?;
            Ok((contents.revision, changes.cloned().collect::<Vec<_>>()))
        });
        let (revision, changes) = match changes {
            Ok(changes) => changes,
            Err(expired) => {
                self.fail(&expired);
                return std::mem::take(&mut self.first).into();
            }
        };
        let mut events = Vec::new();
        for change in &changes {
            let Some(event) = self.event(change) else { continue };
            if self.plan.strikes(Fault::BrokenEvent, self.kind.plural) {
                events.extend_from_slice(&event[..event.len() / 2]);
                self.next = Next::BreakOff;
                break;
            }
            events.extend_from_slice(&event);
        }
        self.position = self.position.max(revision);
        events.into()
    }

    fn event(&self, change: &Change) -> Option<Vec<u8>> {
        let Change {
            revision,
            key,
            before,
            after,
        } = change;
        let in_namespace = self
            .namespace
            .as_ref()
            .is_none_or(|namespace| *namespace == key.namespace);
        if key.resource != self.kind.plural || !in_namespace {
            return None;
        }
        let selected = |object: &&Arc<Object>| self.selector.matches(&object.value);
        match (before.as_ref().filter(selected), after.as_ref().filter(selected)) {
            (None, Some(after)) => Some(line("ADDED", &self.view.object(self.kind, after))),
            (Some(_), Some(after)) => Some(line("MODIFIED", &self.view.object(self.kind, after))),
            (Some(before), None) => {
                // The last state the client could see, under the revision of its end.
                let last = Object::new(before.at_revision(*revision));
                Some(line("DELETED", &self.view.object(self.kind, &last)))
            }
            (None, None) => None,
        }
    }

    fn bookmark(&self, annotations: Value) -> Vec<u8> {
        let mut metadata = json!({"resourceVersion": self.position.to_string(), "creationTimestamp": null});
        if !annotations.is_null() {
            metadata["annotations"] = annotations;
        }
        line(
            "BOOKMARK",
            self.view.bookmark(self.kind, &metadata).to_string().as_bytes(),
        )
    }

    /// Sends an error as the last event.
    fn fail(&mut self, status: &Status) {
        self.first = line("ERROR", status.to_json().to_string().as_bytes());
        self.next = Next::End;
    }
}

async fn tick(interval: Option<&mut Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

fn line(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut line = Vec::with_capacity(object.len() + 64);
    line.extend_from_slice(format!(r#"{{"type":"{kind}","object":"#).as_bytes());
    line.extend_from_slice(object);
    line.extend_from_slice(b"}\n");
    line
}
