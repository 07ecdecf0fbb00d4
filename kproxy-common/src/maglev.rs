//! Where a client's hash falls in a run of slots, the same at every node.
//!
//! A frontend with [`MAGLEV`](crate::FrontendFlags::MAGLEV) is balanced for clients outside by the consistent hashing of
//! Maglev (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, section 3.4): the run
//! is a lookup table, and the client's hash is the place in it. The agent fills the table, by the same hash.

use crate::address::{Address, Port, Protocol};

/// Hashes words, in their order, to 64 well mixed bits: one round of splitmix64 for each (Steele et al., "Fast Splittable
/// Pseudorandom Number Generators", OOPSLA 2014), whose finalizer lets every bit of a word flip each bit of the result with
/// a probability of a half. No seed: every node must find the same.
#[must_use]
#[inline(always)]
pub const fn hash<const N: usize>(words: [u64; N]) -> u64 {
    let mut mixed = 0_u64;
    let mut index = 0;
    while index < N {
        mixed = (mixed ^ words[index]).wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        index += 1;
    }
    mixed
}

/// Two hashes from one: the upper half and the lower.
#[must_use]
#[inline(always)]
pub const fn halves(hash: u64) -> [u32; 2] {
    [(hash >> 32) as u32, hash as u32]
}

/// The hash of a client that begins a flow from this port to this port of a service. The service's address is left out:
/// at another node the same `NodePort` has another one.
#[must_use]
#[inline(always)]
pub const fn flow_hash(client: &Address, from: Port, to: Port, protocol: Protocol) -> u32 {
    let [a, b] = client.halves();
    let ports = (from.wire() as u64) << 32 | (to.wire() as u64) << 16;
    hash([a, b, ports | protocol.number() as u64]) as u32
}

/// The hash of a client that is to stay with its backend, whatever it asks.
#[must_use]
#[inline(always)]
pub const fn client_hash(client: &Address) -> u32 {
    let [a, b] = client.halves();
    hash([a, b, 0]) as u32
}

/// The place of a hash, or of chance, in a run of this length: the high half of the product is uniform to within
/// count / 2^32, without a division.
#[must_use]
#[inline(always)]
pub const fn place(hash: u32, count: u32) -> u32 {
    ((hash as u64 * count as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        // Nodes of different builds must agree. The first is splitmix64's first number for the seed 0.
        assert_eq!(hash([0]), 0xe220_a839_7b1d_cdaf);
        let client = Address::from(core::net::Ipv4Addr::new(192, 0, 2, 1));
        let [from, to] = [40_000, 443].map(Port::new);
        assert_eq!(flow_hash(&client, from, to, Protocol::TCP), 158_659_801);
        assert_eq!(client_hash(&client), 2_570_083_711);
    }

    #[test]
    fn everything_that_is_hashed_matters() {
        let [one, other] = [1, 2].map(|last| Address::from(core::net::Ipv4Addr::new(192, 0, 2, last)));
        let [a, b] = [1, 256].map(Port::new);
        let hashes = [
            flow_hash(&one, a, b, Protocol::TCP),
            flow_hash(&other, a, b, Protocol::TCP),
            flow_hash(&one, b, b, Protocol::TCP),
            flow_hash(&one, a, a, Protocol::TCP),
            flow_hash(&one, b, a, Protocol::TCP),
            flow_hash(&one, a, b, Protocol::UDP),
            client_hash(&one),
        ];
        for (position, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..position].contains(hash), "{position}");
        }
    }

    #[test]
    fn a_place_is_in_its_run() {
        assert_eq!([0, u32::MAX].map(|hash| place(hash, 1021)), [0, 1020]);
        assert_eq!(place(u32::MAX, 1), 0);
    }
}
