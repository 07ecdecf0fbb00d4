//! The ports that this network namespace gives to connections of its own.

use std::fs;
use std::ops::RangeInclusive;

const FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Linux's default.
const DEFAULT: RangeInclusive<u16> = 32_768..=60_999;

/// Both families' (`net.ipv4.ip_local_port_range`), as they are now.
#[must_use]
pub fn ports() -> RangeInclusive<u16> {
    let read = fs::read_to_string(FILE);
    read.as_deref().ok().and_then(parse).unwrap_or_else(|| {
        tracing::warn!("{FILE} says no range of ports; taking the default, {DEFAULT:?}");
        DEFAULT
    })
}

fn parse(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.trim().split_once(char::is_whitespace)?;
    Some(first.parse().ok()?..=last.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_two_numbers() {
        assert_eq!(parse("32768\t60999\n"), Some(32_768..=60_999));
        for text in ["", "1024\n", "1024 x", "-1 5"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
