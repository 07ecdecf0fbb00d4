//! Playing all rows that fit a runner, and saying which failed.

use std::num::NonZero;
use std::thread;

use anyhow::{Context, ensure};

use super::beside;
use super::row::{Row, Runner};

/// Plays rows one after another; the answer names every row that failed and why.
///
/// # Errors
/// One text for all failures.
pub fn run_all(
    rows: &[Row],
    runner: Runner,
    mut play: impl FnMut(&Row) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let fitting = fitting(rows, runner)?;
    let results = fitting.iter().map(|row| play(row)).collect();
    report(rows, runner, &fitting, results)
}

/// Plays rows that have nothing in common, on every CPU.
///
/// # Errors
/// One text for all failures.
pub fn run_apart(
    rows: &[Row],
    runner: Runner,
    play: impl Fn(&Row) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    let fitting = fitting(rows, runner)?;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let results = beside::map(&fitting, threads, |row| play(row));
    report(rows, runner, &fitting, results)
}

/// Plays rows group by group: neighbours that are of the same kind are in one.
///
/// # Errors
/// One text for all failures.
pub fn run_groups(
    rows: &[Row],
    runner: Runner,
    same: impl Fn(&Row, &Row) -> bool,
    play: impl FnMut(&[&Row]) -> Vec<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let fitting = fitting(rows, runner)?;
    let groups = fitting.chunk_by(|one, other| same(one, other));
    let results = groups.flat_map(play).collect();
    report(rows, runner, &fitting, results)
}

fn fitting(rows: &[Row], runner: Runner) -> anyhow::Result<Vec<&Row>> {
    let fitting = rows.iter().filter(|row| row.fits(runner));
    Ok(fitting.step_by(every()?).collect())
}

fn report(
    rows: &[Row],
    runner: Runner,
    fitting: &[&Row],
    results: Vec<anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let failures: Vec<String> = fitting
        .iter()
        .zip(results)
        .filter_map(|(row, result)| {
            let error = result.err()?;
            Some(format!("FAILED {}: {error:#}", row.name))
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
        "{} of {} rows fit {runner:?}, and hold; {} others speak SCTP, which it has no sockets for",
        fitting.len(),
        rows.len(),
        rows.iter().filter(|row| row.is_left_out_for_sctp(runner)).count()
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
