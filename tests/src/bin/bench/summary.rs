//! Tables for a terminal.

use std::fmt::Write as _;

use crate::contender::ORDER;
use crate::results::Results;
use crate::samples::{Metric, Samples, Spread, per_mille};

/// With so many samples of each, three of a hundred pairs of equals would stand apart by chance (2 of 70 orders).
const ENOUGH: usize = 4;

/// Everything, as plain text.
pub(crate) fn text(results: &Results) -> String {
    let mut text = format!("{}\n{}\n", results.machine.words(), results.machine.versions());
    for metric in Metric::ALL {
        for size in results.samples.sizes(metric) {
            table(&mut text, &results.samples, metric, size);
        }
    }
    for left_out in &results.left_out {
        line(
            &mut text,
            &format!("\nLeft out: {}: {}", left_out.what, left_out.reason),
        );
    }
    bounds(&mut text, results);
    text
}

/// A contender with its figures, and what can be said of it beside the first of the table.
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    pub(crate) spread: Spread,
    pub(crate) beside: String,
}

/// Contenders in their order, then everything else by name.
pub(crate) fn rows(samples: &Samples, metric: Metric, size: u32) -> Vec<Row<'_>> {
    let mut found: Vec<_> = samples.at(metric, size).collect();
    let place = |name: &str| ORDER.iter().position(|it| *it == name).unwrap_or(ORDER.len());
    found.sort_by_key(|(name, _)| place(name));
    let first = found.first().copied();
    let is_enough = |name: &str| {
        let values = samples.of(metric, size, name);
        values.is_some_and(|values| values.len() >= ENOUGH)
    };
    let beside = |name: &str, spread: &Spread| match first {
        Some((first, _)) if first == name => String::new(),
        Some((first, _)) if !is_enough(first) || !is_enough(name) => "too few to compare".to_owned(),
        Some((first, of_first)) if !of_first.is_apart_from(spread) => {
            format!("not distinguishable from {first}")
        }
        Some((first, of_first)) => format!("{:.2} x {first}", spread.median / of_first.median),
        None => String::new(),
    };
    let rows = found.iter().map(|(name, spread)| Row {
        name,
        spread: *spread,
        beside: beside(name, spread),
    });
    rows.collect()
}

/// How many services, in words.
pub(crate) fn services(size: u32) -> String {
    match size {
        1 => "1 service".to_owned(),
        size => format!("{} services", grouped(size)),
    }
}

/// With commas between thousands.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut words = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            words.push(',');
        }
        words.push(digit);
    }
    words
}

/// A figure with about three digits.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e4 => format!("{:.1} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn table(text: &mut String, samples: &Samples, metric: Metric, size: u32) {
    let heading = format!("{}, {} ({})", metric.title(), services(size), metric.unit());
    line(
        text,
        &format!("\n{heading:<46}{:>10}{:>10}{:>10}", "median", "least", "most"),
    );
    for Row { name, spread, beside } in rows(samples, metric, size) {
        let [median, least, most] = [spread.median, spread.least, spread.most].map(figure);
        let tail = tail(samples, metric, size, name);
        line(
            text,
            &format!("  {name:<44}{median:>10}{least:>10}{most:>10}  {beside}{tail}"),
        );
    }
}

/// The percentiles of what has a long tail.
pub(crate) fn tail(samples: &Samples, metric: Metric, size: u32, name: &str) -> String {
    let values = samples.of(metric, size, name).unwrap_or_default();
    if metric != Metric::Change || values.len() < 100 {
        return String::new();
    }
    let [p50, p99, p999] = [500, 990, 999].map(|share| figure(per_mille(values, share)));
    format!("  p50 {p50}, p99 {p99}, p99.9 {p999}")
}

fn bounds(text: &mut String, results: &Results) {
    line(
        text,
        &format!("\n{:<68}{:<34}{:<42}{}", "what", "must be", "measured", "holds?"),
    );
    for bound in &results.bounds {
        line(
            text,
            &format!(
                "{:<68}{:<34}{:<42}{}",
                bound.what,
                bound.must,
                bound.measured,
                bound.verdict.words()
            ),
        );
    }
}

fn line(text: &mut String, words: &str) {
    // Writing to a string can not fail.
    let _ = writeln!(text, "{}", words.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let shown = [2_745_656.0, 22_051.7, 682.4, 17.06, 0.307].map(figure);
        assert_eq!(shown, ["2.75 M", "22.1 k", "682", "17.1", "0.31"]);
        assert_eq!(services(10_000), "10,000 services");
    }

    #[test]
    fn noise_is_not_called_a_difference() {
        let mut samples = Samples::default();
        for (name, values) in [
            ("direct", [10.0, 12.0, 10.0, 11.0]),
            ("iptables", [11.0, 13.0, 12.0, 12.0]),
            ("nftables", [5.0, 6.0, 5.0, 6.0]),
        ] {
            for value in values {
                samples.add(Metric::Connections, 1, name, value);
            }
        }
        let words: Vec<_> = rows(&samples, Metric::Connections, 1)
            .into_iter()
            .map(|row| row.beside)
            .collect();
        assert_eq!(words, ["", "not distinguishable from direct", "0.52 x direct"]);
    }

    #[test]
    fn a_few_samples_are_no_difference() {
        let mut samples = Samples::default();
        samples.add(Metric::Connections, 1, "direct", 10.0);
        samples.add(Metric::Connections, 1, "iptables", 1.0);
        assert_eq!(
            rows(&samples, Metric::Connections, 1)[1].beside,
            "too few to compare"
        );
    }
}
