//! One cargo command, watched while it runs.

use std::io::{BufRead as _, BufReader, PipeReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::totals::{self, Totals};
use crate::output::written;
use crate::workspace;

/// A cargo command with a name.
#[derive(Debug)]
pub(super) struct Step {
    name: &'static str,
    purpose: &'static str,
    command: Command,
}

/// How a step ended.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) name: &'static str,
    pub(super) time: Duration,
    /// What the test runners counted.
    pub(super) tests: Totals,
    /// The names of the tests that failed, as far as their runners told.
    pub(super) failures: Vec<String>,
    /// Why the step as a whole failed.
    pub(super) error: Option<String>,
}

/// How long a pipe that outlives its command may be silent. Whoever keeps it open is a leftover, found later.
const PATIENCE: Duration = Duration::from_secs(1);

impl Step {
    pub(super) fn new(
        name: &'static str,
        purpose: &'static str,
        arguments: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        let command = workspace::cargo(arguments.into_iter().map(Into::into));
        Self {
            name,
            purpose,
            command,
        }
    }

    /// The same with an environment variable set.
    pub(super) fn with(mut self, variable: &str, value: &str) -> Self {
        self.command.env(variable, value);
        self
    }

    /// Runs it as step `number` of `count`; what it prints appears at once.
    pub(super) fn run(mut self, number: usize, count: usize) -> Outcome {
        println!("\n==> {number}/{count} {}: {}", self.name, self.purpose);
        println!("    {}", written(&self.command));
        let start = Instant::now();
        let mut lines = Vec::new();
        let result = run(&mut self.command, &mut lines);
        Outcome {
            name: self.name,
            time: start.elapsed(),
            tests: lines.iter().filter_map(|line| totals::parse(line)).sum(),
            failures: lines
                .iter()
                .filter_map(|line| failed_test(line))
                .map(str::to_owned)
                .collect(),
            error: result.err().map(|error| format!("{error:#}")),
        }
    }
}

impl Outcome {
    /// A step that could not even start.
    pub(super) fn failed(name: &'static str, error: String) -> Self {
        let (time, tests, failures) = (Duration::ZERO, Totals::default(), Vec::new());
        Self {
            name,
            time,
            tests,
            failures,
            error: Some(error),
        }
    }

    /// A step that is no cargo command.
    pub(super) fn of_check(name: &'static str, start: Instant, result: Result<()>) -> Self {
        let (time, tests, failures) = (start.elapsed(), Totals::default(), Vec::new());
        Self {
            name,
            time,
            tests,
            failures,
            error: result.err().map(|error| format!("{error:#}")),
        }
    }

    /// What it adds to the totals of the run: a step that failed counts, also when no test of it did.
    pub(super) fn totals(&self) -> Totals {
        let failed = self.tests.failed.max(u32::from(self.error.is_some()));
        Totals {
            passed: self.tests.passed,
            failed,
        }
    }
}

fn run(command: &mut Command, lines: &mut Vec<String>) -> Result<()> {
    let (reader, writer) = std::io::pipe().context("making a pipe")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .spawn()
        .context("starting cargo")?;
    // The command holds the writing end, too: as long as it does, the reader never sees the end.
    command.stdout(Stdio::null());
    let printed = pass_on(reader);
    let status = child.wait().context("waiting for cargo")?;
    while let Ok(line) = printed.recv_timeout(PATIENCE) {
        lines.push(line);
    }
    if !status.success() {
        bail!("{} ended with {status}", written(command));
    }
    Ok(())
}

/// Prints every line and hands it on, without waiting for anybody.
fn pass_on(reader: PipeReader) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            println!("{line}");
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The name in libtest's line `test <name> ... FAILED`.
fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Outcome, Totals, failed_test};

    #[test]
    fn failed_tests_are_named() {
        assert_eq!(
            failed_test("test plan::tests::a_row ... FAILED"),
            Some("plan::tests::a_row")
        );
        assert_eq!(failed_test("test plan::tests::a_row ... ok"), None);
        assert_eq!(failed_test("test result: FAILED. 0 passed; 1 failed"), None);
    }

    #[test]
    fn a_failed_step_counts_once_at_least() {
        let outcome = |failed, error: Option<&str>| Outcome {
            name: "step",
            time: Duration::ZERO,
            tests: Totals { passed: 5, failed },
            failures: Vec::new(),
            error: error.map(str::to_owned),
        };
        assert_eq!(outcome(0, None).totals(), Totals { passed: 5, failed: 0 });
        assert_eq!(
            outcome(0, Some("does not compile")).totals(),
            Totals { passed: 5, failed: 1 }
        );
        assert_eq!(
            outcome(3, Some("tests failed")).totals(),
            Totals { passed: 5, failed: 3 }
        );
    }
}
