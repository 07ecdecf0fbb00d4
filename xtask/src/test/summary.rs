//! The table at the end of a run.

use std::fmt::Write as _;

use super::step::Outcome;
use crate::output::seconds;

/// A line for every step, and below it what went wrong.
pub(super) fn table(outcomes: &[Outcome]) -> String {
    let width = outcomes
        .iter()
        .map(|outcome| outcome.name.len())
        .max()
        .unwrap_or_default();
    let mut table = String::from("Summary\n");
    for outcome in outcomes {
        let Outcome {
            name,
            time,
            tests,
            failures,
            error,
        } = outcome;
        let verdict = if error.is_some() { "FAILED" } else { "ok" };
        let counted = if tests.passed + tests.failed == 0 {
            String::new()
        } else {
            tests.to_string()
        };
        let row = format!("  {verdict:6}  {name:width$}  {:>8}  {counted}", seconds(*time));
        push(&mut table, row.trim_end());
        for failure in failures {
            push(&mut table, &format!("          {failure}"));
        }
        for line in error.iter().flat_map(|error| error.lines()) {
            push(&mut table, &format!("          {line}"));
        }
    }
    table
}

fn push(table: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(table, "{line}");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::totals::Totals;
    use super::{Outcome, table};

    #[test]
    fn failures_stand_below_their_step() {
        let outcomes = [
            Outcome {
                name: "unit tests",
                time: Duration::from_millis(1234),
                tests: Totals { passed: 3, failed: 1 },
                failures: vec!["plan::a_row".to_owned()],
                error: Some("cargo test ended with exit status: 101".to_owned()),
            },
            Outcome {
                name: "format",
                time: Duration::from_millis(100),
                tests: Totals::default(),
                failures: Vec::new(),
                error: None,
            },
        ];
        let expected = "\
Summary
  FAILED  unit tests     1.2 s  3 passed, 1 failed
          plan::a_row
          cargo test ended with exit status: 101
  ok      format         0.1 s
";
        assert_eq!(table(&outcomes), expected);
    }
}
