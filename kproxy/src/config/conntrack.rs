//! What shall be set of the kernel's connection tracking (semantics 7.14 to 7.18). kproxy itself does not use it; other
//! things on the node do, and they had these settings while kube-proxy was there.

use std::time::Duration;

/// A setting that is `None` is left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conntrack {
    /// How many connections may be tracked.
    pub most: Option<MostConnections>,
    /// Timeout of established TCP connections.
    pub tcp_established_timeout: Option<Duration>,
    /// Timeout of half-closed TCP connections.
    pub tcp_close_wait_timeout: Option<Duration>,
    /// Whether packets out of the window are let through. `false` resets nothing.
    pub tcp_be_liberal: bool,
    /// Timeout of UDP that was not answered.
    pub udp_timeout: Option<Duration>,
    /// Timeout of UDP that was answered.
    pub udp_stream_timeout: Option<Duration>,
}

/// How many connections may be tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MostConnections {
    /// For each core. Never 0.
    pub per_core: u32,
    /// At least.
    pub least: u32,
}

/// What the scaled number never exceeds.
const CAP: u64 = 1_048_576;

impl MostConnections {
    /// The number for a machine (semantics 7.14). The cap is for what grows with cores: `least` is not cut by it, unless
    /// the scaled number is even more.
    #[must_use]
    pub fn on(self, cores: u32) -> u64 {
        let scaled = u64::from(self.per_core) * u64::from(cores);
        let least = u64::from(self.least);
        if scaled > least { scaled.min(CAP) } else { least }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_connections_scales_with_cores() {
        let rows = [
            ("7.14 at least", 32_768, 131_072, 2, 131_072),
            ("7.14 scaled", 32_768, 131_072, 16, 524_288),
            ("7.14 capped", 32_768, 131_072, 256, 1_048_576),
            ("7.14 at least, above the cap", 32_768, 2_097_152, 4, 2_097_152),
            ("7.14 scaled above both", 32_768, 2_097_152, 256, 1_048_576),
            ("7.14 no overflow", u32::MAX, 0, u32::MAX, 1_048_576),
        ];
        for (what, per_core, least, cores, expected) in rows {
            assert_eq!(MostConnections { per_core, least }.on(cores), expected, "{what}");
        }
    }
}
