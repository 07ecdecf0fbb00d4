//! What operators and users are told through the cluster: `events.k8s.io/v1` (semantics 9.22 to 9.24).
//!
//! Nobody waits for an event to be written: notices queue, one task writes them slowly, and what does not fit is
//! counted. RBAC: `create` and `patch` on `events` of `events.k8s.io`.

mod notice;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::causes::one_line;

pub use notice::Notice;

/// Who writes them; kube-proxy's name, since people search for it.
const CONTROLLER: &str = "kube-proxy";
/// How many may wait to be written.
const QUEUE: usize = 64;
/// Five a second: every node of a cluster may have the same to say.
const PAUSE: Duration = Duration::from_millis(200);
/// How long the API server may take for one, and a process that ends for its last.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where notices go. Clones lead to the same place.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// `None` where there is no cluster to tell.
    sender: Option<mpsc::Sender<Queued>>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Queued {
    notice: Notice,
    /// Dropped when the notice was written or given up.
    _done: Option<oneshot::Sender<()>>,
}

impl Events {
    /// Notices go nowhere: there is no cluster.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Notices become events of this cluster, written by a task that ends with the last clone.
    #[must_use]
    pub fn of_cluster(client: Client, node_name: &str) -> Self {
        let reporter = Reporter {
            controller: CONTROLLER.into(),
            instance: Some(node_name.into()),
        };
        let (sender, queue) = mpsc::channel(QUEUE);
        let lost = Arc::default();
        tokio::spawn(write_all(
            Recorder::new(client, reporter),
            queue,
            Arc::clone(&lost),
        ));
        Self {
            sender: Some(sender),
            lost,
        }
    }

    /// Queues a notice; never waits.
    pub fn send(&self, notice: Notice) {
        self.queue(Queued { notice, _done: None });
    }

    /// Queues a notice and waits until it is written, but not for long: for a process that is about to end.
    pub async fn deliver(&self, notice: Notice) {
        let (done, written) = oneshot::channel();
        self.queue(Queued {
            notice,
            _done: Some(done),
        });
        timeout(PATIENCE, written).await.ok();
    }

    /// How many notices were never written: too many at once, or the API server did not take them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn queue(&self, queued: Queued) {
        if let Some(sender) = &self.sender
            && sender.try_send(queued).is_err()
        {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn write_all(recorder: Recorder, mut queue: mpsc::Receiver<Queued>, lost: Arc<AtomicU64>) {
    let mut turns = interval(PAUSE);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    while let Some(Queued { notice, _done }) = queue.recv().await {
        turns.tick().await;
        let written = timeout(PATIENCE, recorder.publish(&notice.event(), notice.about())).await;
        let error = match written {
            Ok(Ok(())) => {
                failing = false;
                continue;
            }
            Ok(Err(error)) => one_line(&error),
            Err(_) => "no answer".to_owned(),
        };
        lost.fetch_add(1, Ordering::Relaxed);
        if failing {
            tracing::debug!("write an event: {error}");
        } else {
            tracing::warn!("write an event: {error}; further ones are tried, and kproxy goes on without");
        }
        failing = true;
    }
}
