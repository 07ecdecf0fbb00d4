//! Device names as an operator gives them: `--pod-devices` and `--uplink-devices`.

use std::fmt;

use glob_match::glob_match;

/// The longest name a device can have (`IFNAMSIZ` without the final zero, linux/if.h).
const LONGEST_NAME: usize = 15;

/// Why a pattern can not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The pattern alone is wrong.
    #[error("{option} {pattern:?}: {problem}")]
    Unusable {
        /// The command line option.
        option: &'static str,
        /// As it was given.
        pattern: String,
        /// What is wrong and what to write instead.
        problem: &'static str,
    },
    /// A device can not be both.
    #[error(
        "{0:?} is given to both --pod-devices and --uplink-devices: a device is one or the other, remove it from one"
    )]
    Both(String),
}

/// Patterns of one option. Empty means that the option was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<String>);

impl Patterns {
    /// Checks patterns once, so that none of them can silently match nothing.
    ///
    /// # Errors
    ///
    /// Names the first pattern that no device could ever match or that means something else than it seems.
    pub fn parse(option: &'static str, patterns: &[String]) -> Result<Self, PatternError> {
        for pattern in patterns {
            if let Some(problem) = problem(pattern) {
                return Err(PatternError::Unusable {
                    option,
                    pattern: pattern.clone(),
                    problem,
                });
            }
        }
        Ok(Self(patterns.to_vec()))
    }

    /// Whether the option was given.
    #[must_use]
    pub fn is_given(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether one of the patterns matches a device's name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| glob_match(pattern, name))
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// What the operator decided about devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// When given, exactly these devices are pod doors.
    pub pods: Patterns,
    /// When given, exactly these devices are uplink doors.
    pub uplinks: Patterns,
}

impl Rules {
    /// Checks both options, each alone and against the other.
    ///
    /// # Errors
    ///
    /// Names the pattern that is at fault.
    pub fn parse(pods: &[String], uplinks: &[String]) -> Result<Self, PatternError> {
        if let Some(both) = pods.iter().find(|pattern| uplinks.contains(pattern)) {
            return Err(PatternError::Both(both.clone()));
        }
        Ok(Self {
            pods: Patterns::parse("--pod-devices", pods)?,
            uplinks: Patterns::parse("--uplink-devices", uplinks)?,
        })
    }
}

fn problem(pattern: &str) -> Option<&'static str> {
    if pattern.is_empty() {
        return Some("an empty pattern matches no device; write a name or a pattern such as veth*");
    }
    if pattern.starts_with('!') {
        return Some("a pattern can not be negated; name the devices that are meant");
    }
    if pattern.contains(['{', '}']) {
        return Some(
            "braces can not be used, because the comma separates patterns; write one pattern for each alternative",
        );
    }
    if pattern.contains(|character: char| character == '/' || character == ':' || character.is_whitespace()) {
        return Some("no device name contains a slash, a colon or white space");
    }
    let Some(shortest) = shortest_match(pattern) else {
        return Some("the pattern ends inside a [...] set or after a backslash");
    };
    (shortest > LONGEST_NAME)
        .then_some("it only matches names longer than 15 characters, which no device can have")
}

/// The bytes of the shortest name the pattern could match; `None` when the pattern is not complete.
fn shortest_match(pattern: &str) -> Option<usize> {
    let mut shortest = 0;
    let mut bytes = pattern.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' => continue,
            b'\\' => drop(bytes.next()?),
            b'[' => skip_set(&mut bytes)?,
            _ => {}
        }
        shortest += 1;
    }
    Some(shortest)
}

/// A set ends at its first `]`, but one that stands first (after the negation) is a member.
fn skip_set(bytes: &mut std::str::Bytes<'_>) -> Option<()> {
    let mut first = bytes.next()?;
    if first == b'!' || first == b'^' {
        first = bytes.next()?;
    }
    let mut byte = if first == b']' { bytes.next()? } else { first };
    while byte != b']' {
        byte = bytes.next()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn usable_patterns_match_whole_names() {
        let rows = [
            ("pod*", "pod1", true),
            ("pod*", "mypod1", false),
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth?", "eth1", true),
            ("cali[0-9a-f]*", "cali1b2c", true),
            ("cali[!0-9]*", "cali1b2c", false),
            ("*", "anything", true),
        ];
        for (pattern, name, expected) in rows {
            let patterns = Patterns::parse("--pod-devices", &strings(&[pattern])).expect(pattern);
            assert_eq!(patterns.matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn unusable_patterns_are_named() {
        for pattern in [
            "",
            "!eth0",
            "veth{a",
            "a b",
            "a/b",
            "veth[0-9",
            "veth\\",
            "averyveryverylongname*",
            "[",
            "[!",
        ] {
            let error = Patterns::parse("--pod-devices", &strings(&["veth*", pattern])).expect_err(pattern);
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("--pod-devices {pattern:?}: ")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_pattern_in_both_lists_is_refused() {
        let error = Rules::parse(&strings(&["veth*", "eth0"]), &strings(&["eth0"])).expect_err("both");
        assert_eq!(error, PatternError::Both("eth0".into()));
    }

    #[test]
    fn options_that_were_not_given_match_nothing() {
        let rules = Rules::parse(&[], &[]).expect("empty lists");
        assert!(!rules.pods.is_given() && !rules.pods.matches("eth0"));
    }
}
