//! Playing all rows that fit a runner, and saying which failed.

use anyhow::ensure;

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
    let fitting: Vec<&Row> = rows.iter().filter(|row| row.fits(runner)).collect();
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
