//! The keys of `SOURCE_RANGES`: prefixes as the kernel's trie takes them.

use bytemuck::{Pod, Zeroable};
use kproxy_common::{Address, Family, RangeSetId, SourceRange};

use crate::model::Cidr;

/// `struct bpf_lpm_trie_key`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Prefix {
    length: u32,
    range: SourceRange,
}

impl Prefix {
    /// The key of one range in a set.
    pub(super) fn new(set: RangeSetId, cidr: Cidr) -> Self {
        Self {
            length: SourceRange::prefix_length(cidr.family(), cidr.length),
            range: SourceRange::new(set, cidr.address),
        }
    }

    /// What [`Prefix::new`] made this key of; `None` for one that it never makes.
    pub(super) fn range(&self) -> Option<(RangeSetId, Cidr)> {
        let SourceRange { set, address } = self.range;
        let address = Address::from_words(address);
        let unused = SourceRange::prefix_length(address.family(), 0);
        let most = match address.family() {
            Family::V4 => 32,
            Family::V6 => 128,
        };
        let length = u8::try_from(self.length.checked_sub(unused)?).ok()?;
        (length <= most).then_some((set, Cidr { address, length }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::parse_cidr;

    #[test]
    fn a_range_comes_back_as_it_was() {
        for text in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "192.0.2.1/32",
            "fd00::/64",
            "::/0",
            "fd00::1/128",
        ] {
            let cidr = parse_cidr(text).expect("a range");
            let set = RangeSetId(7);
            assert_eq!(Prefix::new(set, cidr).range(), Some((set, cidr)), "{text}");
        }
    }

    #[test]
    fn other_keys_are_no_ranges() {
        let mut prefix = Prefix::new(RangeSetId(1), parse_cidr("10.0.0.0/8").expect("a range"));
        for length in [0, 31, 127, 161, u32::MAX] {
            prefix.length = length;
            assert_eq!(prefix.range(), None, "{length}");
        }
    }
}
