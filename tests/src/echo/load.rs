//! Load: many clients at once, a new connection per request, until told to stop.
//!
//! Every failure is reported as it happens; successes are only counted. The load is bounded: each worker waits for its
//! answer and then for the client's interval.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    client::{Client, Options},
    message::{Outcome, Report},
};

/// What a load came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests that ended, in whatever way.
    pub requests: u64,
    /// How they ended.
    pub results: BTreeMap<Outcome, u64>,
    /// Who answered them.
    pub pods: BTreeMap<String, u64>,
    /// The slowest request that was answered, in microseconds.
    pub slowest_micros: u64,
}

impl Totals {
    fn add(&mut self, report: &Report) {
        self.requests += 1;
        *self.results.entry(report.result).or_default() += 1;
        if let Some(pod) = report.pod() {
            *self.pods.entry(pod.to_owned()).or_default() += 1;
            self.slowest_micros = self.slowest_micros.max(report.micros);
        }
    }

    /// Requests that were not answered.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.requests - self.results.get(&Outcome::Ok).copied().unwrap_or(0)
    }
}

/// One line of a load's output.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// A request that was not answered.
    Failure(Box<Report>),
    /// What it came to so far, every [`PROGRESS`].
    Progress(Totals),
    /// What it came to.
    Totals(Totals),
}

/// How often [`Event::Progress`] is told.
pub const PROGRESS: Duration = Duration::from_millis(100);

/// Asks with `workers` clients until `stop` is set, and tells every event but the last one, which is returned.
/// `options.count` plays no role.
pub fn run(options: &Options, workers: usize, stop: &AtomicBool, tell: impl Fn(Event) + Sync) -> Totals {
    // Shared by the workers: each holds it for one addition per request, which is nothing beside the request.
    let totals = Mutex::new(Totals::default());
    let lock = || totals.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut client = Client::new(options);
                while !stop.load(Ordering::Relaxed) {
                    let report = client.ask();
                    lock().add(&report);
                    if report.result != Outcome::Ok {
                        tell(Event::Failure(Box::new(report)));
                    }
                    thread::sleep(options.interval);
                }
            });
        }
        let mut next = Instant::now() + PROGRESS;
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            next += PROGRESS;
            let so_far = lock().clone();
            tell(Event::Progress(so_far));
        }
    });
    lock().clone()
}
