//! Keeps one kind in sync: list, then watch from there, for ever.
//!
//! A watch that ends is resumed at the last version seen. Only when that version is too old, or when something came
//! that can not be understood and may have been a change, everything is listed again.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures::AsyncBufReadExt;
use kube::Client;
use kube::core::Request;
use kube::core::params::{ListParams, WatchParams};
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::super::kind::Object;
use super::super::{Event, News};
use super::decode::{self, Line};
use super::reach::{Reach, describe};

/// Objects asked for at a time: what client-go uses.
const PAGE: u32 = 500;
/// How long the API server shall keep a watch open, in seconds. It has to be below five minutes: some load balancers
/// cut connections then.
const WATCH_SECONDS: u32 = 290;
/// A connection that is silent for longer than the watch was to last is dead.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 5);
/// How long the API server may take for an answer to begin, or for a page.
const PATIENCE: Duration = Duration::from_mins(1);
/// A watch that lasts this long works.
const SETTLED: Duration = Duration::from_secs(1);
/// How often to look for a kind that the server does not have: it may be upgraded.
const ABSENT_AGAIN: Duration = Duration::from_mins(1);

/// Which objects of a kind to follow.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    pub(super) labels: Option<String>,
    pub(super) fields: Option<String>,
    /// A server that does not have the kind, or does not show it, is fine: nothing is kept waiting for it.
    pub(super) optional: bool,
}

pub(super) struct Follower<K> {
    client: Client,
    request: Request,
    selection: Selection,
    sender: Sender<Event>,
    reach: Arc<Reach>,
    backoff: ExponentialBackoff,
    /// The last watch worked for a while.
    settled: bool,
    /// It was told that the server refuses this kind.
    denied: bool,
    kind: PhantomData<fn() -> K>,
}

/// Why a list or a watch is over.
enum End {
    /// Nobody listens any more.
    ReceiverGone,
    /// The server does not have the kind, or refuses to show it, and that is fine.
    Absent(Option<String>),
    /// A watch that has come to its end.
    Over,
    /// Changes may have been missed without anything being wrong.
    TooOld,
    /// The server can not be reached, or is busy: it is asked again for the same.
    Unreachable(String),
    /// It refused, or said something that can not be understood: changes may have been missed.
    Refused(String),
}

impl<K: Object> Follower<K> {
    pub(super) fn new(
        client: &Client,
        selection: Selection,
        sender: &Sender<Event>,
        reach: &Arc<Reach>,
    ) -> Self {
        Self {
            client: client.clone(),
            request: Request::new(K::url_path(&(), None)),
            selection,
            sender: sender.clone(),
            reach: reach.clone(),
            backoff: backoff(),
            settled: false,
            denied: false,
            kind: PhantomData,
        }
    }

    /// Follows until the receiver is gone.
    pub(super) async fn run(mut self) {
        let mut version = None;
        loop {
            let end = match &mut version {
                None => match self.list().await {
                    Ok(listed) => {
                        version = Some(listed);
                        continue;
                    }
                    Err(end) => end,
                },
                Some(version) => self.watch(version).await,
            };
            match end {
                End::ReceiverGone => return,
                End::Over => {}
                End::Absent(refusal) => {
                    self.tell_absent(refusal);
                    sleep(ABSENT_AGAIN).await;
                    continue;
                }
                End::TooOld => version = None,
                End::Unreachable(error) => {
                    self.reach.failed(K::OF, &error);
                }
                End::Refused(error) => {
                    self.reach.failed(K::OF, &error);
                    version = None;
                }
            }
            // The usual end of a watch costs no time, while a server that fails at once is not run over.
            if !std::mem::take(&mut self.settled) {
                sleep(self.backoff.next().unwrap_or(PATIENCE)).await;
            }
        }
    }

    fn tell_absent(&mut self, refusal: Option<String>) {
        let Some(error) = refusal else {
            debug!(kind = %K::OF, "the API server does not have this kind");
            return;
        };
        if !std::mem::replace(&mut self.denied, true) {
            warn!(
                kind = %K::OF,
                error,
                "the API server does not let kproxy list and watch this kind, so kproxy goes on without it; allow both \
                 in the ClusterRole of its service account"
            );
        }
    }

    /// Sends everything there is; gives the version it shows.
    async fn list(&mut self) -> Result<String, End> {
        let mut next = None;
        let mut begun = false;
        loop {
            let page = match self.page(next.take()).await {
                Err(End::Absent(refusal)) => {
                    self.announce(&mut begun).await?;
                    self.send(Instant::now(), News::Listed(K::OF)).await?;
                    self.reach.works(K::OF);
                    return Err(End::Absent(refusal));
                }
                page => page?,
            };
            self.announce(&mut begun).await?;
            let arrived = Instant::now();
            for news in page.news {
                self.send(arrived, news).await?;
            }
            next = page.next;
            if next.is_none() {
                self.send(arrived, News::Listed(K::OF)).await?;
                return Ok(page.version);
            }
        }
    }

    async fn announce(&self, begun: &mut bool) -> Result<(), End> {
        if !std::mem::replace(begun, true) {
            self.send(Instant::now(), News::Listing(K::OF)).await?;
        }
        Ok(())
    }

    async fn page(&self, next: Option<String>) -> Result<decode::Page, End> {
        let parameters = ListParams {
            label_selector: self.selection.labels.clone(),
            field_selector: self.selection.fields.clone(),
            limit: Some(PAGE),
            continue_token: next,
            ..ListParams::default()
        };
        let request = self
            .request
            .list(&parameters)
            .map_err(|error| End::Unreachable(error.to_string()))?;
        let text = match timeout(PATIENCE, self.client.request_text(request)).await {
            Err(_) => return Err(too_slow()),
            Ok(text) => text.map_err(|error| self.end_of(&error))?,
        };
        decode::page::<K>(&text)
            .map_err(|error| End::Refused(format!("its answer is no list of objects: {error}")))
    }

    /// Sends changes; keeps `version` at the last one sent.
    async fn watch(&mut self, version: &mut String) -> End {
        let parameters = WatchParams {
            label_selector: self.selection.labels.clone(),
            field_selector: self.selection.fields.clone(),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            send_initial_events: false,
        };
        let request = match self.request.watch(&parameters, version) {
            Ok(request) => request,
            Err(error) => return End::Unreachable(error.to_string()),
        };
        let stream = match timeout(PATIENCE, self.client.request_stream(request)).await {
            Err(_) => return too_slow(),
            Ok(Err(error)) => return self.end_of(&error),
            Ok(Ok(stream)) => stream,
        };
        let mut stream = std::pin::pin!(stream);
        let mut bytes = Vec::new();
        let begun = Instant::now();
        let mut answered = false;
        loop {
            let patience = if self.settled {
                SILENCE
            } else {
                SETTLED.saturating_sub(begun.elapsed())
            };
            match timeout(patience, stream.read_until(b'\n', &mut bytes)).await {
                // What has been read of a line stays in `bytes`.
                Err(_) if !self.settled => {
                    self.settle();
                    continue;
                }
                Err(_) => return End::Over,
                Ok(Err(error)) => {
                    debug!(kind = %K::OF, %error, "the watch was cut off");
                    return End::Over;
                }
                // Half a line at the end was never finished; it comes again.
                Ok(Ok(_)) if bytes.last() != Some(&b'\n') => return End::Over,
                Ok(Ok(_)) => {}
            }
            if let Err(end) = self.take(&bytes, version).await {
                return end;
            }
            bytes.clear();
            // A busy watch is never silent.
            if !std::mem::replace(&mut answered, true) {
                self.reach.works(K::OF);
            }
            if !self.settled && begun.elapsed() >= SETTLED {
                self.settle();
            }
        }
    }

    fn settle(&mut self) {
        self.settled = true;
        self.reach.works(K::OF);
        self.backoff = backoff();
    }

    async fn take(&self, bytes: &[u8], version: &mut String) -> Result<(), End> {
        let arrived = Instant::now();
        match decode::line::<K>(bytes) {
            Ok(Line::News(news, newer)) => {
                self.send(arrived, news).await?;
                *version = newer.unwrap_or_else(|| std::mem::take(version));
                Ok(())
            }
            Ok(Line::Bookmark(newer)) => {
                *version = newer;
                Ok(())
            }
            Ok(Line::Failed(status)) => Err(self.end_of(&kube::Error::Api(status))),
            Err(error) => Err(End::Refused(format!(
                "its watch sent something that is no event: {error}"
            ))),
        }
    }

    fn end_of(&self, error: &kube::Error) -> End {
        let kube::Error::Api(status) = error else {
            return End::Unreachable(describe(error));
        };
        match status.code {
            410 => End::TooOld,
            404 if self.selection.optional => End::Absent(None),
            403 if self.selection.optional => End::Absent(Some(describe(error))),
            429 => End::Unreachable(describe(error)),
            _ => End::Refused(describe(error)),
        }
    }

    async fn send(&self, arrived: Instant, news: News) -> Result<(), End> {
        let sent = self.sender.send(Event { arrived, news }).await;
        sent.map_err(|_returned| End::ReceiverGone)
    }
}

fn too_slow() -> End {
    End::Unreachable(format!("it does not answer within {} s", PATIENCE.as_secs()))
}

/// Pauses between attempts: with jitter, because a server that comes back has all nodes of the cluster to serve.
fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(15))
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}
