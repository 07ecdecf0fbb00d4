//! What addresses and ports may be to the data plane, by a byte for each hash: what spares most packets every lookup.
//!
//! A byte says who can be passed over, not who is there: several addresses may share it, and while the agent runs nothing is taken
//! back. It is written before what it announces.

use bitflags::bitflags;
use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Family, Port, Protocol};
use crate::check::check;
use crate::frontend::{AddressRole, FrontendKey};
use crate::range::AddressRange;

/// Places of [`Sign`]s.
pub const PLACES: u32 = 1 << 18;
/// Elements of `GATE`: a `u64` holds eight signs, in the order of memory.
pub const WORDS: u32 = PLACES / SIGNS;
/// Signs in an element.
const SIGNS: u32 = size_of::<u64>() as u32;
/// Of a range that lies in more [blocks](Place::of_block) than these, each place is marked.
const MOST_BLOCKS: u64 = 1 << 16;

bitflags! {
    /// What may be at a place.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
    #[repr(transparent)]
    pub struct Sign: u8 {
        /// Something stands on an address here that is not the node itself: a service, or a ClusterIP of somebody else's.
        const SERVICE = 1 << 0;
        /// One of the node's own addresses.
        const OWN = 1 << 1;
        /// ClusterIPs are given out in a block of addresses here.
        const CLUSTER_IPS = 1 << 2;
        /// A NodePort.
        const NODE_PORT = 1 << 3;
    }
}

impl Sign {
    /// What announces an address with this role.
    #[must_use]
    pub fn of(role: AddressRole) -> Self {
        let own = AddressRole::NODE.union(AddressRole::OWN);
        let mut sign = Self::empty();
        sign.set(Self::OWN, role.intersects(own));
        sign.set(Self::SERVICE, !role.difference(own).is_empty());
        sign
    }
}

/// Where a [`Sign`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u32);

impl Place {
    /// Of an address.
    #[must_use]
    #[inline(always)]
    pub const fn of_address(address: &Address) -> Self {
        Self::of_hash(check(address.halves()))
    }

    /// Of the block of addresses that an address is in: its `/16`, or `/64` of IPv6.
    #[must_use]
    #[inline(always)]
    pub const fn of_block(address: &Address) -> Self {
        match address.family() {
            Family::V4 => {
                let [a, b, ..] = address.v4_word().to_ne_bytes();
                Self(u16::from_be_bytes([a, b]) as u32)
            }
            Family::V6 => Self::of_hash(check([address.halves()[0]])),
        }
    }

    /// Of a port of the node: one for each port and protocol that kproxy knows.
    #[must_use]
    #[inline(always)]
    pub const fn of_port(port: Port, protocol: Protocol) -> Self {
        // 2 for TCP, 1 for UDP, 0 for SCTP.
        Self((protocol.number() as u32 & 3) << 16 | port.wire() as u32)
    }

    /// Every place.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..PLACES).map(Self)
    }

    /// The element of `GATE`.
    #[must_use]
    #[inline(always)]
    pub const fn word(self) -> u32 {
        self.0 / SIGNS
    }

    /// Which of the element's bytes.
    #[must_use]
    #[inline(always)]
    pub const fn byte(self) -> usize {
        (self.0 % SIGNS) as usize
    }

    #[inline(always)]
    const fn of_hash(hash: u32) -> Self {
        Self((hash >> 14 ^ hash) % PLACES)
    }
}

/// What announces a frontend: a NodePort stands on no address of its own.
#[must_use]
pub fn of_frontend(key: &FrontendKey) -> Option<Place> {
    key.address
        .is_unspecified()
        .then(|| Place::of_port(key.port, key.protocol))
}

/// What announces a range of ClusterIPs: the place of each block that it is in, or every one.
pub fn of_range(range: &AddressRange) -> impl Iterator<Item = Place> {
    let start = range.first();
    let (length, first, block) = match start.family() {
        Family::V4 => (16_u32, u64::from(u32::from_be(start.v4_word())), 1 << 16),
        Family::V6 => (64, u64::from_be(start.halves()[0]), 1),
    };
    let blocks = 1_u64.checked_shl(length.saturating_sub(range.length()));
    let blocks = blocks.filter(|blocks| *blocks <= MOST_BLOCKS);
    let family = start.family();
    let some = (0..blocks.unwrap_or_default()).map(move |number| {
        let block = first.wrapping_add(number * block);
        Place::of_block(&match family {
            Family::V4 => Address::from_v4_word((block as u32).to_be()),
            Family::V6 => {
                let [high, low]: [u32; 2] = bytemuck::cast(block.to_be());
                Address::from_words([high, low, 0, 1])
            }
        })
    });
    let every = (blocks.is_none() && !range.is_unset()).then(Place::all);
    some.chain(every.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use alloc::collections::BTreeSet;
    use core::net::IpAddr;

    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_range_is_announced_at_the_block_of_each_of_its_addresses() {
        let rows = [
            (
                "10.96.0.0",
                12,
                16,
                &["10.96.0.0", "10.96.0.1", "10.111.255.255", "10.100.7.7"][..],
            ),
            ("10.96.0.0", 16, 1, &["10.96.0.0", "10.96.255.255"]),
            ("10.96.128.0", 24, 1, &["10.96.128.0", "10.96.128.255"]),
            ("0.0.0.0", 0, 65_536, &["0.0.0.1", "127.0.0.1", "255.255.255.255"]),
            ("fd00:10::", 108, 1, &["fd00:10::", "fd00:10::f:ffff"]),
            ("fd00:10::", 64, 1, &["fd00:10::", "fd00:10::ffff:ffff:ffff:ffff"]),
            (
                "fd00:10::",
                62,
                4,
                &["fd00:10::1", "fd00:10:0:3::1", "fd00:10:0:3:ffff:ffff:ffff:ffff"],
            ),
            ("fd00::", 8, PLACES as usize, &["fd00::1", "fdff:ffff::1"]),
            ("10.111.255.255", 12, 16, &["10.96.0.0", "10.111.0.0"]),
        ];
        for (start, length, most, inside) in rows {
            let places: BTreeSet<_> = of_range(&AddressRange::new(address(start), length)).collect();
            assert!(
                places.len() <= most && places.len() * 100 > most * 99,
                "{start}/{length}: {}",
                places.len()
            );
            for inside in inside {
                let place = Place::of_block(&address(inside));
                assert!(places.contains(&place), "{start}/{length}: {inside}");
            }
        }
    }

    #[test]
    fn no_range_is_nowhere() {
        assert_eq!(of_range(&AddressRange::UNSET).count(), 0);
    }

    #[test]
    fn other_blocks_have_other_places() {
        let cluster_ips: BTreeSet<_> = of_range(&AddressRange::new(address("10.96.0.0"), 12)).collect();
        for outside in ["10.95.255.255", "10.112.0.0", "10.244.1.2", "96.10.0.1"] {
            assert!(
                !cluster_ips.contains(&Place::of_block(&address(outside))),
                "{outside}"
            );
        }
    }

    #[test]
    fn addresses_spread_over_the_places() {
        let places: BTreeSet<_> = (0..30_000_u32)
            .map(|number| Place::of_address(&Address::from_v4_word((0x0a60_0000 + number).to_be())))
            .collect();
        // 30,000 thrown into 262,144 places share about 1,650.
        assert!(places.len() > 28_000, "{} places", places.len());
        assert!(places.iter().all(|place| place.word() < WORDS));
        let places: BTreeSet<_> = (0..30_000_u32)
            .map(|number| Place::of_address(&Address::from_words([0xfd_u32, 0, 0, number.to_be()])))
            .collect();
        assert!(places.len() > 28_000, "{} places of IPv6", places.len());
    }

    #[test]
    fn every_port_has_a_place_of_its_own() {
        let mut places = BTreeSet::new();
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP] {
            places.extend((0..=u16::MAX).map(|port| Place::of_port(Port::new(port), protocol)));
        }
        assert_eq!(places.len(), 3 * 65_536);
        assert!(places.iter().all(|place| place.word() < WORDS));
    }

    #[test]
    fn only_the_node_itself_is_no_service() {
        let rows = [
            (AddressRole::OWN, Sign::OWN),
            (AddressRole::OWN | AddressRole::NODE, Sign::OWN),
            (AddressRole::SERVICE, Sign::SERVICE),
            (AddressRole::CLUSTER_IP, Sign::SERVICE),
            (AddressRole::EXEMPT, Sign::SERVICE),
            (AddressRole::OWN | AddressRole::SERVICE, Sign::OWN | Sign::SERVICE),
            (AddressRole::empty(), Sign::empty()),
        ];
        for (role, sign) in rows {
            assert_eq!(Sign::of(role), sign, "{role:?}");
        }
        for role in AddressRole::all().iter() {
            assert!(!Sign::of(role).is_empty(), "{role:?}");
        }
    }
}
