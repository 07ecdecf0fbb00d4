//! Faults on demand: what an API server may do to its clients, at the moment a test wants it.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

use super::listen::Listening;
use super::status::Status;
use super::store::Store;

/// What goes wrong with a request or a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A list or a watch is answered with 410 Gone: its resource version is too old.
    Expired,
    /// A request is answered with 500.
    InternalError,
    /// A watch breaks off in the middle of the next event it sends.
    BrokenEvent,
}

/// Injects faults into a running server.
#[derive(Debug)]
pub struct Faults {
    plan: Arc<Plan>,
    store: Arc<Store>,
    listening: Arc<Listening>,
}

/// What requests ask before they are served.
#[derive(Debug)]
pub(crate) struct Plan {
    /// A lock: requests take faults from the list that the test puts into it.
    rules: Mutex<Rules>,
    /// Counts how often all watches were dropped.
    drops: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Rules {
    waiting: Vec<Rule>,
    delay: Option<Duration>,
}

#[derive(Debug)]
struct Rule {
    resource: Option<String>,
    fault: Fault,
    left: usize,
}

impl Faults {
    pub(crate) fn new(plan: Arc<Plan>, store: Arc<Store>, listening: Arc<Listening>) -> Self {
        Self {
            plan,
            store,
            listening,
        }
    }

    /// The next `count` requests (or watch events) have this fault, whatever their resource.
    pub fn inject(&self, fault: Fault, count: usize) {
        self.plan.rules().waiting.push(Rule {
            resource: None,
            fault,
            left: count,
        });
    }

    /// The next `count` requests (or watch events) for a resource, like `services`, have this fault.
    pub fn inject_on(&self, resource: &str, fault: Fault, count: usize) {
        self.plan.rules().waiting.push(Rule {
            resource: Some(resource.to_owned()),
            fault,
            left: count,
        });
    }

    /// Every request waits this long before it is served, until [`Faults::clear`].
    pub fn delay(&self, delay: Duration) {
        self.plan.rules().delay = Some(delay);
    }

    /// Withdraws the delay and the faults that have not struck yet.
    pub fn clear(&self) {
        *self.plan.rules() = Rules::default();
    }

    /// Breaks off all open watches, without a farewell.
    pub fn drop_watches(&self) {
        self.plan.drops.send_modify(|drops| *drops += 1);
    }

    /// Forgets the history: watches from an older resource version, and the rest of paged lists, are answered
    /// with 410 Gone.
    pub fn compact_history(&self) {
        self.store.with(super::store::Contents::compact);
    }

    /// Takes the server down: connections are closed, new ones refused.
    pub fn stop_listening(&self) {
        self.listening.stop();
    }

    /// Brings the server back on the same address.
    ///
    /// # Errors
    /// The address was taken in the meantime.
    pub fn start_listening(&self) -> anyhow::Result<()> {
        self.listening.start()
    }
}

impl Plan {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            rules: Mutex::default(),
            drops: watch::Sender::new(0),
        })
    }

    /// How long a request has to wait.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.rules().delay
    }

    /// Whether a fault strikes now; it is then used up.
    pub(crate) fn strikes(&self, fault: Fault, resource: &str) -> bool {
        let mut rules = self.rules();
        let applies = |rule: &Rule| {
            rule.fault == fault && rule.resource.as_deref().is_none_or(|wanted| wanted == resource)
        };
        let Some(position) = rules.waiting.iter().position(applies) else {
            return false;
        };
        let rule = &mut rules.waiting[position];
        let strikes = rule.left > 0;
        rule.left = rule.left.saturating_sub(1);
        if rule.left == 0 {
            rules.waiting.remove(position);
        }
        strikes
    }

    /// Fails a request if it is to fail.
    pub(crate) fn check(&self, resource: &str) -> Result<(), Status> {
        if self.strikes(Fault::InternalError, resource) {
            return Err(Status::new(
                500,
                "InternalError",
                "Internal error occurred: injected by the test",
            ));
        }
        Ok(())
    }

    /// A receiver that is woken when watches are to be dropped.
    pub(crate) fn drops(&self) -> watch::Receiver<u64> {
        self.drops.subscribe()
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules
            .lock()
            .expect("nothing panics while it holds the faults")
    }
}
