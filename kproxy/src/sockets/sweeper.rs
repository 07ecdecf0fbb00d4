//! When to look at the sockets: a thread that sweeps on request.

use std::collections::BTreeSet;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::namespaces::Sources;
use super::reasons::Change;
use super::sweep::{Report, sweep};
use crate::causes::one_line;
use crate::dataplane::StalePeers;
use crate::plan::{Endpoint, Plan};

/// How long after a sweep the sockets are looked at once more.
///
/// A process that is inside `connect` when its backend is retired has chosen the backend but is not listed as connected
/// yet. It will be within microseconds, or as soon as it is given a processor again; a tenth of a second is generous for
/// that, and twice that still leaves it most of the second in which it shall go on.
const SECOND_LOOK: Duration = Duration::from_millis(200);

/// The pause after a sweep, in sweeps: one service that changes all the time shall not cost a whole processor ...
const REST: u32 = 4;
/// ... and no socket shall wait for long.
const LONGEST_REST: Duration = Duration::from_millis(200);

/// What was done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Sweeps.
    pub sweeps: u64,
    /// Sockets that were ended.
    pub destroyed: u64,
    /// Things that went wrong, see [`Report::errors`].
    pub errors: u64,
    /// Time that all sweeps took.
    pub duration: Duration,
    /// Time that the last sweep took.
    pub last_duration: Duration,
    /// Network namespaces that the last sweep has looked at: none if no socket was stale.
    pub last_namespaces: usize,
}

/// Asks for sweeps; cheap to clone. The thread ends when every handle was dropped, after the sweep it is at.
#[derive(Clone, Debug)]
pub struct Sweeper {
    /// Each with the service addresses that lead to a backend now and did not before.
    requests: Sender<BTreeSet<Endpoint>>,
    /// Shared with the thread, which holds it for an addition per sweep.
    statistics: Arc<Mutex<Statistics>>,
}

impl Sweeper {
    /// Starts the thread, in the network namespace of this one, with a first sweep: backends may have gone while no
    /// agent ran, or right before the last one was killed. `told` hears of each sweep and how long it took.
    ///
    /// # Errors
    ///
    /// When no thread can be started.
    pub fn start(
        sources: Sources,
        peers: StalePeers,
        told: impl Fn(&Report, Duration) + Send + 'static,
    ) -> io::Result<Self> {
        Self::start_with(move |served| {
            let start = Instant::now();
            let report = sweep(&sources, &peers, served);
            told(&report, start.elapsed());
            report
        })
    }

    fn start_with(sweep: impl FnMut(&BTreeSet<Endpoint>) -> Report + Send + 'static) -> io::Result<Self> {
        let (requests, received) = channel();
        let sweeper = Self {
            requests,
            statistics: Arc::default(),
        };
        sweeper.request();
        let statistics = Arc::clone(&sweeper.statistics);
        thread::Builder::new()
            .name("sockets".to_owned())
            .spawn(move || serve(&received, sweep, &statistics))?;
        Ok(sweeper)
    }

    /// Has the sockets looked at soon, after what is in the maps now. Never waits; requests that come during a sweep
    /// become one.
    pub fn request(&self) {
        self.send(BTreeSet::new());
    }

    /// Has the sockets looked at if this plan, which was applied as far as it could be, is a reason to.
    pub fn follow(&self, plan: &Plan) {
        let change = Change::from(plan);
        if change.matters() {
            self.send(change.served);
        }
    }

    fn send(&self, served: BTreeSet<Endpoint>) {
        // Closed: the thread broke, which was told on its standard error.
        let _ = self.requests.send(served);
    }

    /// What was done so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        *lock(&self.statistics)
    }
}

fn serve(
    requests: &Receiver<BTreeSet<Endpoint>>,
    mut sweep: impl FnMut(&BTreeSet<Endpoint>) -> Report,
    statistics: &Mutex<Statistics>,
) {
    let mut log = Log::default();
    let mut served = BTreeSet::new();
    let mut look_again = false;
    loop {
        let request = if look_again {
            requests.recv_timeout(SECOND_LOOK)
        } else {
            requests.recv().map_err(RecvTimeoutError::from)
        };
        let requested = match request {
            Ok(addresses) => {
                served.extend(addresses);
                served.extend(requests.try_iter().flatten());
                true
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let start = Instant::now();
        let report = sweep(&served);
        let duration = start.elapsed();
        lock(statistics).add(&report, duration);
        log.tell(&report, duration);
        // Of two sockets with the same addresses (SO_REUSEPORT) the kernel finds one at a time.
        look_again = requested || report.destroyed > 0;
        if !requested {
            // Whoever asks for a service address after that does so by a way that the socket door never sees.
            served.clear();
        }
        thread::sleep((duration * REST).min(LONGEST_REST));
    }
}

impl Statistics {
    fn add(&mut self, report: &Report, duration: Duration) {
        let Report {
            stale: _,
            namespaces,
            denied: _,
            sockets: _,
            destroyed,
            destroyed_by_family: _,
            errors,
        } = report;
        self.sweeps += 1;
        self.destroyed += *destroyed as u64;
        self.errors += errors.len() as u64;
        self.duration += duration;
        self.last_duration = duration;
        self.last_namespaces = *namespaces;
    }
}

/// What was told already.
#[derive(Debug, Default)]
struct Log {
    denied: bool,
    failing: bool,
}

impl Log {
    fn tell(&mut self, report: &Report, duration: Duration) {
        let Report {
            stale,
            namespaces,
            denied,
            sockets,
            destroyed,
            destroyed_by_family: _,
            errors,
        } = report;
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if *destroyed > 0 {
            tracing::info!(
                stale,
                namespaces,
                sockets,
                destroyed,
                micros,
                "ended stale UDP sockets"
            );
        } else {
            tracing::debug!(stale, namespaces, sockets, micros, "no UDP sockets to end");
        }
        if *denied > 0 && !self.denied {
            tracing::warn!(
                denied,
                "kproxy may not enter other network namespaces: connected UDP sockets of pods are not told when their \
                 backend is gone, only those of this one; give it the capability SYS_ADMIN"
            );
            self.denied = true;
        }
        for error in errors {
            let error = one_line(error.as_ref());
            if self.failing {
                tracing::debug!("{error}");
            } else {
                tracing::warn!("{error}; connected UDP sockets there may stay with a backend that is gone");
            }
        }
        self.failing = !errors.is_empty();
    }
}

fn lock(statistics: &Mutex<Statistics>) -> MutexGuard<'_, Statistics> {
    statistics.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
