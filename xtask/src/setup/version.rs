//! Versions of programs, as they print them.

use std::fmt;

/// Runs of digits, the more important first; compares as versions do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(Vec<u32>);

impl Version {
    /// The first version in `text`: digits, joined by dots, at least two runs of them.
    pub(super) fn find(text: &str) -> Option<Self> {
        text.split(|character: char| !character.is_ascii_digit() && character != '.')
            .filter_map(|word| {
                word.trim_matches('.')
                    .split('.')
                    .map(|run| run.parse().ok())
                    .collect()
            })
            .map(Self)
            .find(|version| version.0.len() > 1)
    }

    /// Whether this is `least` or newer.
    pub(super) fn is_at_least(&self, least: &[u32]) -> bool {
        self.0.as_slice() >= least
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs: Vec<_> = self.0.iter().map(u32::to_string).collect();
        formatter.write_str(&runs.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn versions_are_found_in_what_programs_print() {
        let rows = [
            ("bpf-linker 0.13.0\n", Some(vec![0, 13, 0])),
            (
                "Client Version: v1.32.4-dispatcher\nKustomize Version: v5.5.0\n",
                Some(vec![1, 32, 4]),
            ),
            (
                "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)",
                Some(vec![1, 96, 0]),
            ),
            ("error: command 7 not found.", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(Version::find(text).map(|version| version.0), expected, "{text}");
        }
    }

    #[test]
    fn numbers_compare_as_numbers() {
        let version = |text| Version::find(text).expect("a version");
        assert!(version("1.32.3").is_at_least(&[1, 32]));
        assert!(version("1.100.0").is_at_least(&[1, 32]));
        assert!(version("1.32").is_at_least(&[1, 32]));
        assert!(!version("1.9.9").is_at_least(&[1, 32]));
    }
}
