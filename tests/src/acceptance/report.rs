//! Playing all rows that fit a runner, and saying which failed.

use super::row::{Row, Runner};

/// Plays rows; the answer names every row that failed and why.
///
/// # Errors
/// One text for all failures.
pub fn run_all(
    rows: &[Row],
    runner: Runner,
    mut play: impl FnMut(&Row) -> anyhow::Result<()>,
) -> Result<usize, String> {
    let fitting: Vec<&Row> = rows.iter().filter(|row| row.fits(runner)).collect();
    let failures: Vec<String> = fitting
        .iter()
        .filter_map(|row| {
            play(row)
                .err()
                .map(|error| format!("FAILED {}: {error:#}", row.name))
        })
        .collect();
    if failures.is_empty() {
        Ok(fitting.len())
    } else {
        Err(format!(
            "{} of {} rows failed:\n{}",
            failures.len(),
            fitting.len(),
            failures.join("\n")
        ))
    }
}
