//! How many tests passed and failed, as their runners say.

use std::fmt;
use std::iter::Sum;

/// How many tests passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
}

/// Reads libtest's line `test result: ok. 12 passed; 0 failed; 1 ignored; …`.
pub(crate) fn parse(line: &str) -> Option<Totals> {
    let counts = line.trim_start().strip_prefix("test result: ")?;
    let count = |word| {
        let mut parts = counts.split([';', '.']);
        parts.find_map(|part| part.trim().strip_suffix(word)?.trim_end().parse().ok())
    };
    Some(Totals {
        passed: count("passed")?,
        failed: count("failed")?,
    })
}

impl Sum for Totals {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::default(), |sum, next| Self {
            passed: sum.passed + next.passed,
            failed: sum.failed + next.failed,
        })
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Totals, parse};

    #[test]
    fn the_counts_of_libtest_are_read() {
        let rows = [
            (
                "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s",
                Some(Totals {
                    passed: 12,
                    failed: 0,
                }),
            ),
            (
                "test result: FAILED. 7 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.25s",
                Some(Totals { passed: 7, failed: 2 }),
            ),
            ("test result: who knows", None),
            ("test plan::a_row ... ok", None),
            ("", None),
        ];
        for (line, expected) in rows {
            assert_eq!(parse(line), expected, "{line}");
        }
    }

    #[test]
    fn totals_add_up_and_read_like_the_last_line() {
        let rows = [
            Totals {
                passed: 12,
                failed: 0,
            },
            Totals { passed: 7, failed: 2 },
        ];
        assert_eq!(
            rows.into_iter().sum::<Totals>().to_string(),
            "19 passed, 2 failed"
        );
    }
}
