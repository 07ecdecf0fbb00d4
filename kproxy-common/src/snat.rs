//! The search for source ports of the node's addresses, one for each destination.

use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Port, Protocol};

/// Whose source ports are one space: what leaves from one address of the node for one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct SnatKey {
    /// The node's address.
    pub source: Address,
    /// The backend's address.
    pub destination: Address,
    /// The backend's port.
    pub port: Port,
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// Always 0.
    pub padding: u32,
}

const _: () = assert!(size_of::<SnatKey>() == 40);

/// The value of `SNAT_PORTS`: where the search goes on, and how full the space was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PortSearch {
    /// The place in the order of the spare ports that is tried next, once chance has not found a free one.
    pub place: u32,
    /// How many of the ports that chance tried lately were taken, in parts of [`PortSearch::FULL`]: an estimate.
    pub fill: u32,
    /// Flows that found no port.
    pub failed: u64,
}

const _: () = assert!(size_of::<PortSearch>() == 16);

impl PortSearch {
    /// A [`PortSearch::fill`] of one.
    pub const FULL: u32 = 1 << 16;
    /// How many tries the estimate remembers, as a power of two.
    const MEMORY: u32 = 6;

    /// Notes what chance found at one port.
    #[inline(always)]
    pub const fn note(&mut self, taken: bool) {
        let found = if taken { Self::FULL } else { 0 };
        self.fill = self.fill - (self.fill >> Self::MEMORY) + (found >> Self::MEMORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_what_is_found() {
        for (taken_of_ten, low, high) in [(0, 0.0, 0.01), (5, 0.4, 0.6), (9, 0.8, 0.97), (10, 0.98, 1.0)] {
            let mut search = PortSearch::default();
            for round in 0..1_000 {
                search.note(round * 7 % 10 < taken_of_ten);
            }
            let fill = f64::from(search.fill) / f64::from(PortSearch::FULL);
            assert!((low..=high).contains(&fill), "{taken_of_ten}: {fill}");
        }
    }
}
