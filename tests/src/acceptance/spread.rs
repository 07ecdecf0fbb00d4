//! Whether chance treats all alike.

use std::collections::BTreeMap;

use anyhow::ensure;

/// Checks that counts could come from a fair choice, with Pearson's chi-squared test (1900). A fair choice fails with
/// a probability below 1e-9.
///
/// # Errors
/// Says what was counted.
pub fn check(pods: &[&str], counts: &BTreeMap<String, usize>) -> anyhow::Result<()> {
    let total: usize = counts.values().sum();
    let expected = number(total) / number(pods.len());
    ensure!(
        expected >= 20.0,
        "{total} requests are too few to say anything about {pods:?}"
    );
    let squares = pods.iter().map(|pod| {
        let seen = number(counts.get(*pod).copied().unwrap_or(0));
        (seen - expected).powi(2) / expected
    });
    let statistic: f64 = squares.sum();
    ensure!(
        statistic < bound(pods.len() - 1),
        "{counts:?} is no fair spread over {pods:?}: chi-squared is {statistic:.1}"
    );
    Ok(())
}

/// Above this lies less than 1e-9 of the distribution: `P(X >= d + 2 sqrt(d x) + 2 x) <= exp(-x)` (Laurent and Massart,
/// "Adaptive estimation of a quadratic functional by model selection", 2000, lemma 1), with exp(-21) < 1e-9.
fn bound(degrees: usize) -> f64 {
    const X: f64 = 21.0;
    let degrees = number(degrees);
    degrees + 2.0 * (degrees * X).sqrt() + 2.0 * X
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: [usize; 3]) -> BTreeMap<String, usize> {
        ["a", "b", "c"]
            .map(str::to_owned)
            .into_iter()
            .zip(counts)
            .collect()
    }

    #[test]
    fn chance_passes_and_bias_does_not() {
        let pods = ["a", "b", "c"];
        assert!(check(&pods, &counts([105, 92, 103])).is_ok());
        assert!(check(&pods, &counts([150, 150, 0])).is_err());
        assert!(check(&pods, &counts([1, 1, 1])).is_err(), "too few");
    }
}
