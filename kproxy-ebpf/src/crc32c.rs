//! SCTP's checksum (RFC 9260 section 6.8, appendix A), corrected and never recomputed.
//!
//! `CRC32c` is linear: the checksums of two messages of one length differ by the checksum, without its initial and final
//! inversion, of the difference of the messages. Where only the ports change, that is four bytes and as many zeros as
//! follow; and appending n zero bytes is a multiplication by x^(8n) modulo the polynomial, which takes one step for each bit
//! of n. Addresses are not part of the checksum: SCTP has no pseudo header.

/// Castagnoli's polynomial, bits reflected: the coefficient of x^0 is the highest bit.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// Bits of a packet's length.
const LENGTH_BITS: usize = 16;

/// x^(8 * 2^k) modulo the polynomial.
const ZERO_BYTES: [u32; LENGTH_BITS] = {
    let mut powers = [0; LENGTH_BITS];
    // x^8
    powers[0] = 1 << (31 - 8);
    let mut index = 1;
    while index < LENGTH_BITS {
        powers[index] = multiply(powers[index - 1], powers[index - 1]);
        index += 1;
    }
    powers
};

/// What to exclusive-or to the checksum field of an SCTP packet of `length` bytes, whose first word, as it lies in
/// memory, changes by the bits in `changed`. Both the field and the result are as they lie in memory.
#[must_use]
#[inline(always)]
pub fn correction(changed: u32, length: u16) -> u32 {
    let mut difference = u32::from_le(changed);
    for (bit, power) in ZERO_BYTES.iter().enumerate() {
        if length >> bit & 1 != 0 {
            difference = multiply(difference, *power);
        }
    }
    difference.to_le()
}

/// The product of two polynomials modulo [`POLYNOMIAL`]. Without branches: the verifier would follow each of them.
#[inline(always)]
const fn multiply(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 32;
    while bit > 0 {
        bit -= 1;
        product ^= b & (a >> bit & 1).wrapping_neg();
        b = b >> 1 ^ (POLYNOMIAL & (b & 1).wrapping_neg());
    }
    product
}

#[cfg(test)]
mod tests {
    extern crate std;

    use crc::{CRC_32_ISCSI, Crc};
    use proptest::collection;
    use proptest::prelude::*;

    use super::*;

    fn checksum(bytes: &[u8]) -> u32 {
        Crc::<u32>::new(&CRC_32_ISCSI).checksum(bytes)
    }

    proptest! {
        #[test]
        fn a_corrected_checksum_is_the_one_of_the_changed_packet(
            mut bytes in collection::vec(any::<u8>(), 4..1_500),
            ports: [u8; 4],
        ) {
            let old = checksum(&bytes).to_le();
            let before = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            bytes[..4].copy_from_slice(&ports);
            let changed = before ^ u32::from_ne_bytes(ports);
            let length = u16::try_from(bytes.len()).unwrap();
            prop_assert_eq!(old ^ correction(changed, length), checksum(&bytes).to_le());
        }
    }

    #[test]
    fn the_longest_packet_is_no_exception() {
        let mut bytes = std::vec![0x5a_u8; usize::from(u16::MAX)];
        let old = checksum(&bytes).to_le();
        bytes[2] ^= 0x81;
        let changed = u32::from_ne_bytes([0, 0, 0x81, 0]);
        assert_eq!(old ^ correction(changed, u16::MAX), checksum(&bytes).to_le());
    }
}
