//! Durations as Go writes them: `30s`, `1h0m0s`, `1.5ms` (semantics 10.03; Go's `time.ParseDuration`).
//!
//! `kube::core::Duration` reads them too, but panics at `1s-5s` and at numbers that do not fit, and prints a day as
//! `86400s`; both matter for a file that people write and compare.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000 * MICROSECOND;
const SECOND: i64 = 1_000 * MILLISECOND;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A signed number of nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(i64);

/// Not a duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a duration; write it like 30s, 15m or 1h30m")]
pub struct DurationError(String);

impl GoDuration {
    /// None at all, which mostly means the default.
    pub const ZERO: Self = Self(0);

    /// So many whole seconds.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(SECOND))
    }

    /// So many nanoseconds.
    #[must_use]
    pub const fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    /// As the standard library has it, unless it is negative.
    #[must_use]
    pub fn positive(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse(text)
            .map(Self)
            .ok_or_else(|| DurationError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<i64> {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let is_number = |character: char| character.is_ascii_digit() || character == '.';
    let mut total = 0_i128;
    while !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find(|character| !is_number(character))?);
        let (unit, tail) = tail.split_at(tail.find(is_number).unwrap_or(tail.len()));
        total += amount(number, unit)?;
        rest = tail;
    }
    if text.starts_with('-') {
        total = -total;
    }
    i64::try_from(total).ok()
}

fn amount(number: &str, unit: &str) -> Option<i128> {
    let unit = i128::from(match unit {
        "ns" => 1,
        // The micro sign and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => MICROSECOND,
        "ms" => MILLISECOND,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    });
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    // Further digits are less than a nanosecond of any unit.
    let fraction = fraction.get(..15).unwrap_or(fraction);
    let digits = |digits: &str| {
        if digits.is_empty() {
            Some(0)
        } else {
            digits.parse::<i64>().ok()
        }
    };
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    Some(i128::from(digits(whole)?) * unit + i128::from(digits(fraction)?) * unit / scale)
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let duration = Duration::from_nanos(self.0.unsigned_abs());
        if self.0 < 0 {
            f.write_str("-")?;
        }
        let seconds = duration.as_secs();
        if seconds == 0 && self.0 != 0 {
            // The standard library chooses the unit as Go does.
            return write!(f, "{duration:?}");
        }
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        let rest = Duration::new(seconds % 60, duration.subsec_nanos());
        if rest.as_secs() > 0 {
            return write!(f, "{rest:?}");
        }
        // Less than a second is written in seconds behind minutes.
        match format!("{:09}", rest.subsec_nanos()).trim_end_matches('0') {
            "" => f.write_str("0s"),
            fraction => write!(f, "0.{fraction}s"),
        }
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of Go's own tests, and what a person may write by mistake.
    #[test]
    fn go_durations_10_03() {
        let rows = [
            ("0", Some("0s")),
            ("0s", Some("0s")),
            ("30s", Some("30s")),
            ("1478s", Some("24m38s")),
            ("-5s", Some("-5s")),
            ("+5s", Some("5s")),
            ("5.6s", Some("5.6s")),
            (".5s", Some("500ms")),
            ("5.s", Some("5s")),
            ("60.5s", Some("1m0.5s")),
            ("1h0m0s", Some("1h0m0s")),
            ("24h", Some("24h0m0s")),
            ("15m", Some("15m0s")),
            ("10.5s4m", Some("4m10.5s")),
            ("1h2m3s4ms5us6ns", Some("1h2m3.004005006s")),
            ("12\u{b5}s", Some("12\u{b5}s")),
            ("12\u{3bc}s", Some("12\u{b5}s")),
            ("1100us", Some("1.1ms")),
            ("0.3333333333333333333h", Some("20m0s")),
            ("9223372036854775807ns", Some("2562047h47m16.854775807s")),
            ("9223372036854775808ns", None),
            ("99999999999999999999h", None),
            ("1s-5s", None),
            ("--5s", None),
            ("", None),
            ("-", None),
            ("30", None),
            (".s", None),
            ("1.2.3s", None),
            ("1d", None),
            ("s", None),
            ("30 s", None),
        ];
        for (text, printed) in rows {
            let parsed = text.parse::<GoDuration>();
            let again = parsed.as_ref().ok().map(ToString::to_string);
            match printed {
                // Go rounds as well, but by another nanosecond.
                Some("20m0s") => assert!(again.expect("a duration").starts_with("19m59.99999")),
                _ => assert_eq!(again.as_deref(), printed, "{text}"),
            }
            if let Ok(parsed) = parsed {
                assert_eq!(parsed.to_string().parse(), Ok(parsed), "{text}");
            }
        }
    }
}
