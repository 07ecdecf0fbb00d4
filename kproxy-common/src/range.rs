//! Ranges of addresses: who may ask a service, and where ClusterIPs come from.

use core::fmt;

use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Family};

/// Identifies one immutable set of source ranges. 0 stands for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct RangeSetId(pub u32);

impl RangeSetId {
    /// No restriction.
    pub const EVERYBODY: Self = Self(0);
}

/// What the trie `SOURCE_RANGES` matches, after the 32 bits of its prefix length (`struct bpf_lpm_trie_key`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct SourceRange {
    /// The set, always matched whole.
    pub set: RangeSetId,
    /// [`Address::words`] of the range's address.
    pub address: [u32; 4],
}

const _: () = assert!(size_of::<SourceRange>() == 20);

impl SourceRange {
    /// The prefix length that a lookup uses: the whole key.
    pub const WHOLE: u32 = 32 + 128;

    /// What to look up, or to store with [`SourceRange::prefix_length`].
    #[must_use]
    #[inline(always)]
    pub const fn new(set: RangeSetId, address: Address) -> Self {
        Self {
            set,
            address: address.words(),
        }
    }

    /// The prefix length to store a range with that has `length` bits in its own family.
    #[must_use]
    pub const fn prefix_length(family: Family, length: u8) -> u32 {
        32 + mapped_length(family, length)
    }
}

/// The length of a prefix once its address is stored as 16 bytes, IPv4-mapped.
#[must_use]
pub const fn mapped_length(family: Family, length: u8) -> u32 {
    match family {
        Family::V4 => 96 + length as u32,
        Family::V6 => length as u32,
    }
}

/// A prefix as address and mask: an element of `SERVICE_CIDRS`, whose first unset element ends the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct AddressRange {
    address: Address,
    mask: Address,
}

const _: () = assert!(size_of::<AddressRange>() == 32);

impl AddressRange {
    /// Contains nothing.
    pub const UNSET: Self = Self {
        address: Address::from_words([0; 4]),
        mask: Address::from_words([0; 4]),
    };

    /// The prefix of an address that has `length` bits in its own family.
    #[must_use]
    pub fn new(address: Address, length: u8) -> Self {
        let bits = mapped_length(address.family(), length).min(128);
        let ones = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        Self {
            address,
            mask: Address::from_words(bytemuck::cast(ones.to_be_bytes())),
        }
    }

    /// Its first address.
    #[must_use]
    pub fn first(&self) -> Address {
        let (address, mask) = (self.address.words(), self.mask.words());
        Address::from_words(core::array::from_fn(|word| address[word] & mask[word]))
    }

    /// How many bits its prefix has, in its own family.
    #[must_use]
    pub const fn length(&self) -> u32 {
        let [high, low] = self.mask.halves();
        let length = high.count_ones() + low.count_ones();
        length.saturating_sub(mapped_length(self.address.family(), 0))
    }

    /// Whether it contains nothing.
    #[must_use]
    #[inline(always)]
    pub const fn is_unset(&self) -> bool {
        let [high, low] = self.mask.halves();
        high | low == 0
    }

    /// Whether an address is in the range.
    #[must_use]
    #[inline(always)]
    pub const fn contains(&self, address: &Address) -> bool {
        let (asked, own, mask) = (address.halves(), self.address.halves(), self.mask.halves());
        !self.is_unset() && ((asked[0] ^ own[0]) & mask[0]) | ((asked[1] ^ own[1]) & mask[1]) == 0
    }
}

/// As a prefix of its own family: `10.96.0.0/12`.
impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length())
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;

    use core::net::IpAddr;

    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_range_contains_its_own_family_only() {
        let rows = [
            ("10.96.0.0", 12, "10.96.0.1", true),
            ("10.96.0.0", 12, "10.111.255.255", true),
            ("10.96.0.0", 12, "10.112.0.0", false),
            ("0.0.0.0", 0, "255.1.2.3", true),
            ("0.0.0.0", 0, "::1", false),
            ("10.96.0.7", 32, "10.96.0.7", true),
            ("10.96.0.7", 32, "10.96.0.6", false),
            ("fd00:10::", 108, "fd00:10::f:ffff", true),
            ("fd00:10::", 108, "fd00:10::10:0", false),
            ("fd00:10::", 108, "10.96.0.1", false),
        ];
        for (prefix, length, asked, contained) in rows {
            let range = AddressRange::new(address(prefix), length);
            assert_eq!(
                range.contains(&address(asked)),
                contained,
                "{prefix}/{length} {asked}"
            );
        }
        for (start, length, text) in [
            ("10.96.0.0", 12, "10.96.0.0/12"),
            ("fd00:10::", 108, "fd00:10::/108"),
        ] {
            assert_eq!(
                alloc::format!("{}", AddressRange::new(address(start), length)),
                text
            );
        }
        assert!(!AddressRange::UNSET.contains(&address("::")));
    }
}
