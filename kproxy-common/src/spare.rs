//! Source ports that nobody else on the node uses.

use core::ops::RangeInclusive;

use bytemuck::{Pod, Zeroable};

/// How many runs of ports there can be: two holes, for `NodePorts` and for the node's own connections, leave three.
const RUNS: usize = 3;

/// The first port that is given away.
const FIRST: u16 = 1024;

/// A run of neighbouring ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
struct Run {
    first: u16,
    count: u16,
}

/// A set of ports, in an order that visits each once before it comes back to the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SparePorts {
    runs: [Run; RUNS],
    total: u16,
    /// Without a common divisor with `total`: steps of this size visit every port.
    stride: u16,
}

const _: () = assert!(size_of::<SparePorts>() == 16);

impl SparePorts {
    /// Without Linux's default ephemeral ports (`net.ipv4.ip_local_port_range`) and Kubernetes' default `NodePorts`.
    pub const DEFAULT: Self = Self::without(30_000..=32_767, 32_768..=60_999);

    /// All ports from 1024 on that are in neither range.
    #[must_use]
    pub const fn without(node_ports: RangeInclusive<u16>, ephemeral: RangeInclusive<u16>) -> Self {
        let mut ports = Self {
            runs: [Run { first: 0, count: 0 }; RUNS],
            total: 0,
            stride: 1,
        };
        let (mut run, mut port) = (0, FIRST as u32);
        while port <= u16::MAX as u32 {
            if contains(&node_ports, port) || contains(&ephemeral, port) {
                run += if run < RUNS && ports.runs[run].count > 0 {
                    1
                } else {
                    0
                };
            } else {
                if ports.runs[run].count == 0 {
                    ports.runs[run].first = port as u16;
                }
                ports.runs[run].count += 1;
                ports.total += 1;
            }
            port += 1;
        }
        // Far apart, so that what is learned at one place says little about the next: the golden section.
        ports.stride = (ports.total as u32 * 618 / 1000) as u16 | 1;
        while greatest_common_divisor(ports.stride, ports.total) > 1 {
            ports.stride += 1;
        }
        ports
    }

    /// How many they are.
    #[must_use]
    #[inline(always)]
    pub const fn len(&self) -> u16 {
        self.total
    }

    /// Whether there are none.
    #[must_use]
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The port at a place of the order; places beyond the last begin anew. 0 if there are none.
    #[must_use]
    #[inline(always)]
    pub const fn at(&self, place: u32) -> u16 {
        if self.total == 0 {
            return 0;
        }
        let total = self.total as u32;
        let mut left = (place % total * self.stride as u32 % total) as u16;
        let [a, b, c] = self.runs;
        if left < a.count {
            return a.first + left;
        }
        left -= a.count;
        if left < b.count {
            return b.first + left;
        }
        c.first + (left - b.count)
    }
}

const fn contains(range: &RangeInclusive<u16>, port: u32) -> bool {
    *range.start() as u32 <= port && port <= *range.end() as u32
}

const fn greatest_common_divisor(a: u16, b: u16) -> u16 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_port_comes_once_and_none_that_is_excluded() {
        let rows: [(RangeInclusive<u16>, RangeInclusive<u16>, usize); 5] = [
            (30_000..=32_767, 32_768..=60_999, 33_512),
            (30_000..=32_767, 40_000..=50_000, 51_743),
            (40_000..=50_000, 30_000..=32_767, 51_743),
            (1..=2_000, 60_000..=65_535, 57_999),
            (1..=65_535, 1..=65_535, 0),
        ];
        for (node_ports, ephemeral, count) in rows {
            let ports = SparePorts::without(node_ports.clone(), ephemeral.clone());
            assert_eq!(usize::from(ports.len()), count, "{node_ports:?} {ephemeral:?}");
            let seen: BTreeSet<u16> = (0..u32::from(ports.len())).map(|place| ports.at(place)).collect();
            assert_eq!(seen.len(), count, "{node_ports:?} {ephemeral:?}");
            let allowed =
                |port: &u16| *port >= FIRST && !node_ports.contains(port) && !ephemeral.contains(port);
            assert!(seen.iter().all(allowed), "{node_ports:?} {ephemeral:?}");
        }
    }
}
