//! A fingerprint of its key that a value carries.
//!
//! The kernel reuses an element of a hash map at once when it is deleted or replaced. A program that has looked one up
//! and is interrupted before it has copied the value (on a virtual machine, for long) may copy another key's value. It
//! tells by the fingerprint, and treats such a value as missing.

/// Odd and without pattern: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// The fingerprint of a key given as words. It depends on their order.
#[must_use]
#[inline(always)]
pub const fn check<const N: usize>(words: [u64; N]) -> u32 {
    let mut mixed = 0_u64;
    let mut index = 0;
    while index < N {
        mixed = (mixed ^ words[index]).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> 32;
        index += 1;
    }
    mixed as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_every_word_matter() {
        assert_ne!(check([1, 2, 3]), check([3, 2, 1]));
        assert_ne!(check([1, 2, 3]), check([1, 2, 4]));
        assert_ne!(check([0, 0, 0]), check([1, 0, 0]));
    }
}
