//! Lookup tables of Maglev hashing (Eisenbud et al., NSDI 2016, section 3.4).
//!
//! A table depends on the addresses and ports of its endpoints and on nothing else, so that every node has the same one.
//! Every endpoint has a permutation of the slots; in turns, each takes the first slot of its own that is free. So no two
//! endpoints differ by more than one slot, and when one goes, few slots of the others change hands.

use kproxy_common::maglev::{halves, hash, place};

use super::wanted::Endpoint;

/// The sizes of tables: primes, so that every step through a table visits all of it. Far apart, because a table of another
/// size has little in common with the former one.
const SIZES: [u32; 4] = [1_021, 4_093, 16_381, 65_521];

/// How many slots an endpoint has at least, unless there are too many for the largest table. Shares differ by one slot, so
/// by 1.6 % at most.
const SLOTS_PER_ENDPOINT: u32 = 64;

/// How many slots the table of so many endpoints has. `None` for those that need no table, and for more than fit any.
#[must_use]
pub fn size(endpoints: usize) -> Option<u32> {
    let endpoints = u32::try_from(endpoints).ok().filter(|count| *count > 1)?;
    let enough = |size: &&u32| endpoints.saturating_mul(SLOTS_PER_ENDPOINT) <= **size;
    let [.., largest] = SIZES;
    let fitting = SIZES.iter().find(enough).copied();
    fitting.or((endpoints < largest).then_some(largest))
}

/// Whether it may be the size of a table.
pub(super) fn is_size(slots: u32) -> bool {
    SIZES.contains(&slots)
}

/// Whose each slot is, as a position in `endpoints`, which are sorted.
#[must_use]
pub fn table(endpoints: impl IntoIterator<Item = Endpoint>, size: u32) -> Vec<u32> {
    const FREE: u32 = u32::MAX;
    let mut walks: Vec<Walk> = endpoints
        .into_iter()
        .map(|endpoint| Walk::of(endpoint, size))
        .collect();
    let mut slots = vec![FREE; size as usize];
    let mut left = slots.len();
    while left > 0 && !walks.is_empty() {
        for (owner, walk) in (0..).zip(&mut walks).take(left) {
            while slots[walk.slot as usize] != FREE {
                walk.go_on(size);
            }
            slots[walk.slot as usize] = owner;
        }
        left = left.saturating_sub(walks.len());
    }
    slots
}

/// An endpoint's way through all slots.
struct Walk {
    slot: u32,
    step: u32,
}

impl Walk {
    fn of(endpoint: Endpoint, size: u32) -> Self {
        let [a, b] = endpoint.address.halves();
        let [first, second] = halves(hash([a, b, endpoint.port.wire().into()]));
        Self {
            slot: place(first, size),
            step: 1 + place(second, size - 1),
        }
    }

    fn go_on(&mut self, size: u32) {
        self.slot = (self.slot + self.step) % size;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::net::{Ipv4Addr, Ipv6Addr};

    use kproxy_common::{Address, Port};

    use super::*;

    fn endpoints(count: u16) -> Vec<Endpoint> {
        let of = |number: u16| {
            let [high, low] = number.to_be_bytes();
            let address = Address::from(Ipv4Addr::new(10, 244, high, low));
            Endpoint {
                address,
                port: Port::new(8080),
            }
        };
        (2..2 + count).map(of).collect()
    }

    fn owners(endpoints: &[Endpoint]) -> Vec<Endpoint> {
        let size = size(endpoints.len()).expect("a table");
        let slots = table(endpoints.iter().copied(), size);
        slots.iter().map(|owner| endpoints[*owner as usize]).collect()
    }

    /// The slots of the most and of the least popular endpoint.
    fn most_and_least(endpoints: &[Endpoint]) -> (u32, u32) {
        let mut counts: BTreeMap<Endpoint, u32> = endpoints.iter().map(|endpoint| (*endpoint, 0)).collect();
        for owner in owners(endpoints) {
            *counts.entry(owner).or_default() += 1;
        }
        let most = counts.values().max().copied();
        let least = counts.values().min().copied();
        (most.unwrap_or_default(), least.unwrap_or_default())
    }

    #[test]
    fn every_walk_visits_all_slots() {
        for size in SIZES {
            for endpoint in endpoints(3) {
                let mut walk = Walk::of(endpoint, size);
                let mut visited = BTreeSet::new();
                for _ in 0..size {
                    assert!(walk.slot < size);
                    visited.insert(walk.slot);
                    walk.go_on(size);
                }
                assert_eq!(visited.len(), size as usize, "{endpoint} of {size}");
            }
        }
    }

    #[test]
    fn a_table_follows_the_number_of_endpoints() {
        let rows = [
            (0, None),
            (1, None),
            (2, Some(1_021)),
            (15, Some(1_021)),
            (16, Some(4_093)),
            (63, Some(4_093)),
            (64, Some(16_381)),
            (255, Some(16_381)),
            (256, Some(65_521)),
            (1_023, Some(65_521)),
            (65_520, Some(65_521)),
            (65_521, None),
        ];
        for (endpoints, expected) in rows {
            assert_eq!(size(endpoints), expected, "{endpoints}");
        }
    }

    #[test]
    fn endpoints_have_the_same_share_to_within_a_slot() {
        // The least that an endpoint has, where there are most endpoints to a table of each size.
        let rows = [
            (2, 510),
            (3, 340),
            (10, 102),
            (15, 68),
            (16, 255),
            (63, 64),
            (64, 255),
            (255, 64),
            (256, 255),
            (1_023, 64),
            (3_000, 21),
        ];
        for (count, expected) in rows {
            let (most, least) = most_and_least(&endpoints(count));
            assert_eq!((most - least, least), (1, expected), "{count}");
        }
    }

    /// Measured: 0.3 % with 3 endpoints, 2.2 % with 10, 3.1 % with 15 on average, 3.9 % at most.
    #[test]
    fn when_an_endpoint_goes_few_of_the_others_slots_change_hands() {
        for count in [3, 5, 10, 15, 50, 200] {
            let before = endpoints(count);
            let owners_before = owners(&before);
            for gone in 0..usize::from(count) {
                let mut after = before.clone();
                after.remove(gone);
                let owners_after = owners(&after);
                assert_eq!(owners_before.len(), owners_after.len());
                let pairs = owners_before.iter().zip(&owners_after);
                let moved = pairs.filter(|(had, has)| **had != before[gone] && had != has);
                let moved = moved.count();
                assert!(
                    moved * 25 <= owners_before.len(),
                    "{moved} of the others' {} slots moved when {gone} of {count} went",
                    owners_before.len()
                );
            }
        }
    }

    #[test]
    fn what_is_the_same_for_every_node_never_changes() {
        // Nodes of different builds must agree.
        let address = Address::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
        let mut all = endpoints(3);
        all.push(Endpoint {
            address,
            port: Port::new(53),
        });
        all.sort();
        let first: Vec<u32> = table(all, 1_021).into_iter().take(16).collect();
        assert_eq!(first, [1, 2, 3, 3, 2, 2, 1, 0, 3, 1, 1, 3, 2, 3, 0, 2]);
    }
}
