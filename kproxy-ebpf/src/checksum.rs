//! The Internet checksum (RFC 1071), corrected and never recomputed (RFC 1624).
//!
//! The sum of 16-bit words in one's complement has a property that saves all byte swapping: swapping the bytes of
//! every word swaps the bytes of the sum. So words are added as they lie in memory, and the result is stored as it
//! is. Longer words work as well, since 2^16 is 1 modulo 2^16 - 1: a 32-bit word adds the same as its two halves.

/// A partial sum, in the byte order of the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// Adds a word as it lies in memory.
    #[must_use]
    #[inline(always)]
    pub const fn add(self, word: u32) -> Self {
        Self(self.0 + word as u64)
    }

    /// Adds several words.
    #[must_use]
    #[inline(always)]
    pub const fn add_all<const N: usize>(mut self, words: [u32; N]) -> Self {
        let mut index = 0;
        while index < N {
            self = self.add(words[index]);
            index += 1;
        }
        self
    }

    /// The checksum field for data with this sum.
    #[must_use]
    #[inline(always)]
    pub const fn checksum(self) -> u16 {
        !fold(self.0)
    }
}

/// What a change of some bytes does to a sum: the new words minus the old ones, in one's complement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference(u64);

impl Difference {
    /// No change.
    pub const NONE: Self = Self(0);

    /// The difference that replacing `old` by `new` makes.
    #[must_use]
    #[inline(always)]
    pub const fn between<const N: usize>(old: [u32; N], new: [u32; N]) -> Self {
        let mut sum = 0;
        let mut index = 0;
        while index < N {
            sum += !old[index] as u64 + new[index] as u64;
            index += 1;
        }
        Self(sum)
    }

    /// Both changes.
    #[must_use]
    #[inline(always)]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    /// As the kernel's helpers take it: a 32-bit partial sum (`__wsum`).
    #[must_use]
    #[inline(always)]
    pub const fn wide(self) -> u32 {
        fold(self.0) as u32
    }

    /// Whether the change leaves every checksum as it is.
    #[must_use]
    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The checksum field after the change: `HC' = ~(~HC + ~m + m')` (RFC 1624, equation 3).
    #[must_use]
    #[inline(always)]
    pub const fn apply(self, checksum: u16) -> u16 {
        !fold(!checksum as u64 + self.0)
    }
}

/// Adds the carries back in until 16 bits are left. The sums here are below 2^38: 22 bits after the second step,
/// 17 after the third, 16 after the fourth.
#[inline(always)]
const fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn recomputed(words: &[u32]) -> u16 {
        words
            .iter()
            .fold(Sum::ZERO, |sum, &word| sum.add(word))
            .checksum()
    }

    #[test]
    fn the_example_of_rfc_1624() {
        // Section 4: a header whose checksum is 0xdd2f; the field 0x5555 becomes 0x3285.
        let swap = |value: u16| u32::from(value.to_be());
        let difference = Difference::between([swap(0x5555)], [swap(0x3285)]);
        assert_eq!(difference.apply(0xdd2f_u16.to_be()), 0x0000_u16.to_be());
    }

    proptest! {
        #[test]
        fn correction_equals_recomputation(mut words: [u32; 9], index in 0..9_usize, new: u32) {
            // A datagram of zeros alone has two representations of its sum; no packet is one.
            words[(index + 1) % 9] |= 1;
            let before = recomputed(&words);
            let difference = Difference::between([words[index]], [new]);
            words[index] = new;
            prop_assert_eq!(difference.apply(before), recomputed(&words));
        }

        #[test]
        fn differences_add_up(old: [u32; 4], new: [u32; 4], checksum: u16) {
            let one = Difference::between([old[0], old[1]], [new[0], new[1]]);
            let two = Difference::between([old[2], old[3]], [new[2], new[3]]);
            prop_assert_eq!(one.and(two).apply(checksum), Difference::between(old, new).apply(checksum));
        }
    }
}
