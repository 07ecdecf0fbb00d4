//! A range of ports, written as the API server's flag `--service-node-port-range` is.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use thiserror::Error;

/// At least one port, and never port 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a text is no range of ports.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PortRangeError {
    /// It is written in another way.
    #[error("{0:?} is no range of ports from 1 to 65535; write it like 30000-32767")]
    Text(String),
    /// It ends before it begins.
    #[error("{0:?} ends before it begins; write it like 30000-32767")]
    Empty(String),
}

impl PortRange {
    /// Where an API server gives NodePorts out that is not told otherwise.
    pub const NODE_PORTS: Self = Self {
        first: 30_000,
        last: 32_767,
    };

    /// The ports.
    #[must_use]
    pub const fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    /// First and last port (`30000-32767`), the first and how many more (`30000+2767`), or one alone.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unreadable = || PortRangeError::Text(text.to_owned());
        let port = |number: &str| number.parse().ok().filter(|port: &u16| *port != 0);
        let (first, last) = match text.trim().split_once(['-', '+']) {
            Some((first, last)) if text.contains('-') => (port(first), port(last)),
            Some((first, more)) => {
                let first = port(first);
                let last = first.zip(more.parse().ok());
                (
                    first,
                    last.and_then(|(first, more): (u16, u16)| first.checked_add(more)),
                )
            }
            None => (port(text.trim()), port(text.trim())),
        };
        let (first, last) = first.zip(last).ok_or_else(unreadable)?;
        if last < first {
            return Err(PortRangeError::Empty(text.to_owned()));
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_api_server_reads_them() {
        for (text, first, last) in [
            ("30000-32767", 30_000, 32_767),
            ("30000+2767", 30_000, 32_767),
            (" 1-65535 ", 1, 65_535),
            ("8080", 8_080, 8_080),
            ("80+0", 80, 80),
        ] {
            let range: PortRange = text.parse().expect(text);
            assert_eq!(range.ports(), first..=last, "{text}");
        }
        assert_eq!("30000-32767".parse(), Ok(PortRange::NODE_PORTS));
        assert_eq!(PortRange::NODE_PORTS.to_string(), "30000-32767");
    }

    #[test]
    fn what_is_no_range_says_how_to_write_one() {
        for text in [
            "",
            "x",
            "0-5",
            "0",
            "1-65536",
            "65535+1",
            "1-2-3",
            "1-",
            "-1",
            "1+-2",
            "30000:32767",
        ] {
            let error = text.parse::<PortRange>().expect_err(text);
            assert_eq!(error, PortRangeError::Text(text.into()), "{text}");
        }
        let error = "32767-30000".parse::<PortRange>().expect_err("it is empty");
        assert_eq!(
            error.to_string(),
            "\"32767-30000\" ends before it begins; write it like 30000-32767"
        );
    }
}
