//! Whether the API server answers: one message for each change of state, however often it is tried.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{info, warn};

use crate::causes::one_line;
use crate::model::Kind;

/// What all followers know of the API server.
#[derive(Debug)]
pub(super) struct Reach {
    server: String,
    /// Shared by the followers, so that an outage is told once and not once for each kind. Held for an update only.
    outage: Mutex<Outage>,
}

#[derive(Debug, Default)]
struct Outage {
    failing: BTreeSet<Kind>,
    told: BTreeSet<String>,
}

impl Reach {
    pub(super) fn new(server: String) -> Self {
        Self {
            server,
            outage: Mutex::default(),
        }
    }

    /// A request has failed. Gives whether that was told: the same failure is told once until all is well again.
    pub(super) fn failed(&self, kind: Kind, error: &str) -> bool {
        let mut outage = self.outage();
        outage.failing.insert(kind);
        let new = outage.told.insert(error.to_owned());
        if new {
            warn!(
                server = self.server,
                %kind,
                error,
                "the API server does not answer as it should; services stay as they are and it is asked again; \
                 check that it runs, that this address is right, and that kproxy may list and watch this kind"
            );
        }
        new
    }

    /// A watch of this kind has been working for a while. Gives whether that ended an outage.
    pub(super) fn works(&self, kind: Kind) -> bool {
        let mut outage = self.outage();
        outage.failing.remove(&kind);
        let over = outage.failing.is_empty() && !outage.told.is_empty();
        if over {
            outage.told.clear();
            info!(server = self.server, "the API server answers again");
        }
        over
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What went wrong, in one line: the API server's own words, or the chain of causes.
pub(super) fn describe(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        // Behind a proxy the body may be a page of HTML.
        let message: String = status
            .message
            .lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect();
        return format!("it answered {} {}: {message}", status.code, status.reason);
    }
    one_line(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_state_is_told_once() {
        let reach = Reach::new("https://server".into());
        assert!(!reach.works(Kind::Service), "it never failed");
        assert!(reach.failed(Kind::Service, "refused"));
        assert!(!reach.failed(Kind::Service, "refused"), "a retry");
        assert!(
            !reach.failed(Kind::Node, "refused"),
            "another kind, the same outage"
        );
        assert!(reach.failed(Kind::Node, "forbidden"), "something else");
        assert!(!reach.failed(Kind::Node, "refused"), "known");
        assert!(!reach.works(Kind::Service), "the other one still fails");
        assert!(reach.works(Kind::Node));
        assert!(reach.failed(Kind::Service, "refused"), "a new outage");
    }
}
