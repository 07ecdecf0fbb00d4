//! When to try again what has failed.

use std::time::{Duration, Instant};

/// Pauses that double from one failure to the next.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    /// When to try next and how long the pause before it was; `None` after a success.
    next: Option<(Instant, Duration)>,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: None,
        }
    }

    /// When to try next, if there is anything to try.
    pub(super) fn at(&self) -> Option<Instant> {
        self.next.map(|(at, _)| at)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.at().is_some_and(|at| at <= now)
    }

    /// True for the first failure after a success. After one that comes before the next try is due, only the first pause
    /// has to pass.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        if let Some((at, _)) = self.next.as_mut().filter(|(at, _)| *at > now) {
            *at = (*at).max(now + self.first);
            return false;
        }
        let pause = self
            .next
            .map_or(self.first, |(_, pause)| (pause * 2).min(self.longest));
        self.next.replace((now + pause, pause)).is_none()
    }

    pub(super) fn succeeded(&mut self) {
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let second = Duration::from_secs(1);
        let mut now = Instant::now();
        let mut backoff = Backoff::new(second, 3 * second);
        let mut pauses = vec![];
        for _ in 0..4 {
            backoff.failed(now);
            let at = backoff.at().expect("a next time");
            pauses.push(at - now);
            assert!(!backoff.is_due(now) && backoff.is_due(at));
            now = at;
        }
        assert_eq!(pauses, [second, 2 * second, 3 * second, 3 * second]);
        backoff.succeeded();
        assert_eq!(backoff.at(), None);
        assert!(backoff.failed(now) && !backoff.failed(now));
    }

    #[test]
    fn the_next_try_comes_no_sooner_than_the_first_pause_after_the_last_failure() {
        let second = Duration::from_secs(1);
        let now = Instant::now();
        let mut backoff = Backoff::new(second, 30 * second);
        backoff.failed(now);
        for tenths in 1..10 {
            assert!(!backoff.failed(now + tenths * second / 10));
        }
        assert_eq!(backoff.at(), Some(now + 9 * second / 10 + second));
        backoff.failed(now + 2 * second);
        assert!(!backoff.failed(now + 5 * second / 2));
        assert_eq!(
            backoff.at(),
            Some(now + 4 * second),
            "the second pause is longer than that"
        );
    }
}
