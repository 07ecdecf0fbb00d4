//! Playing all rows that fit a runner, and saying which failed.

use anyhow::{Context, ensure};

use super::row::{Row, Runner};

/// Plays rows; the answer names every row that failed and why.
///
/// # Errors
/// One text for all failures.
pub fn run_all(
    rows: &[Row],
    runner: Runner,
    mut play: impl FnMut(&Row) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let fitting: Vec<&Row> = rows
        .iter()
        .filter(|row| row.fits(runner))
        .step_by(every()?)
        .collect();
    let failures: Vec<String> = fitting
        .iter()
        .filter_map(|row| {
            play(row)
                .err()
                .map(|error| format!("FAILED {}: {error:#}", row.name))
        })
        .collect();
    ensure!(
        failures.is_empty(),
        "{} of {} rows failed:\n{}",
        failures.len(),
        fitting.len(),
        failures.join("\n")
    );
    println!(
        "{} of {} rows fit {runner:?}, and hold",
        fitting.len(),
        rows.len()
    );
    Ok(())
}

/// `KPROXY_ACCEPTANCE_EVERY=N` plays every Nth row, for machines that are slow.
fn every() -> anyhow::Result<usize> {
    match std::env::var("KPROXY_ACCEPTANCE_EVERY") {
        Ok(number) => number
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .with_context(|| format!("KPROXY_ACCEPTANCE_EVERY={number} is no number of rows")),
        Err(_) => Ok(1),
    }
}
