//! Percentiles and a histogram of durations.

use std::fmt::{self, Write};
use std::time::Duration;

/// Sorted durations.
#[derive(Debug)]
pub struct Distribution(Vec<Duration>);

impl Distribution {
    /// Of these durations, in any order.
    #[must_use]
    pub fn new(mut durations: Vec<Duration>) -> Self {
        durations.sort();
        Self(durations)
    }

    /// The duration that this many of a thousand do not exceed.
    fn per_mille(&self, share: usize) -> Duration {
        let rank = (self.0.len() * share).div_ceil(1000).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// One line per power of two of microseconds.
    #[must_use]
    pub fn histogram(&self) -> String {
        const WIDTH: usize = 60;
        let bucket = |duration: &Duration| duration.as_micros().max(1).ilog2();
        let mut lines = String::new();
        let largest = self
            .0
            .chunk_by(|a, b| bucket(a) == bucket(b))
            .map(<[_]>::len)
            .max()
            .unwrap_or(1);
        for chunk in self.0.chunk_by(|a, b| bucket(a) == bucket(b)) {
            let from = 1_u128 << bucket(&chunk[0]);
            let bar = "#".repeat((chunk.len() * WIDTH).div_ceil(largest));
            // Writing to a string can not fail.
            let _ = writeln!(
                lines,
                "  {from:>7} us .. {:>7} us {:>8}  {bar}",
                from * 2,
                chunk.len()
            );
        }
        lines
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, share) in [
            ("p50", 500),
            ("p90", 900),
            ("p99", 990),
            ("p99.9", 999),
            ("max", 1000),
        ] {
            write!(f, "{label} {:>7} us  ", self.per_mille(share).as_micros())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_values() {
        let distribution = Distribution::new((1..=1000).rev().map(Duration::from_micros).collect());
        assert_eq!(distribution.per_mille(500), Duration::from_micros(500));
        assert_eq!(distribution.per_mille(999), Duration::from_micros(999));
        assert_eq!(distribution.per_mille(1000), Duration::from_millis(1));
    }

    #[test]
    fn every_value_is_in_the_histogram() {
        let histogram = Distribution::new([0, 1, 2, 3, 900].map(Duration::from_micros).into()).histogram();
        assert_eq!(histogram.lines().count(), 3);
        assert!(
            histogram.contains("512 us ..    1024 us        1  "),
            "{histogram}"
        );
    }
}
