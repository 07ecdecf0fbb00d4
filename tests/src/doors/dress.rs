//! What may stand between a packet's first header and its transport protocol.

use arbitrary::{Result, Unstructured};

use super::ETHERNET;
use crate::host::extensions;

/// Hop-by-hop options, routing with and without places left, destination options, an authentication header.
const EXTENSIONS: [(u8, [u8; 8]); 6] = [
    (0, [0, 0, 5, 2, 0, 0, 1, 0]),
    (43, [0, 0, 4, 0, 0, 0, 0, 0]),
    (43, [0, 0, 4, 1, 0, 0, 0, 0]),
    (60, [0, 0, 1, 4, 0, 0, 0, 0]),
    (60, [0, 1, 1, 4, 0, 0, 0, 0]),
    (51, [0, 0, 0, 0, 0, 0, 0, 0]),
];

/// Puts extension headers behind an IPv6 header, or a VLAN tag where there is none.
pub(super) fn extend(input: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    if !is_v6(bytes) {
        if bytes.len() >= ETHERNET {
            bytes.splice(12..12, [0x81, 0, 0, 7]);
        }
        return Ok(());
    }
    for _ in 0..input.int_in_range(1..=4_u8)? {
        let (kind, header) = *input.choose(&EXTENSIONS)?;
        let mut header = header.to_vec();
        header.resize(8 * (usize::from(header[1]) + 1), 0);
        extensions::insert(bytes, &[(kind, header)]);
    }
    Ok(())
}

/// Makes it a fragment, without taking anything from it.
pub(super) fn fragment(input: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    let offset = *input.choose(&[0, 0, 2_u16])?;
    let more = u16::from(input.ratio(3_u8, 4)?);
    let identification = input.int_in_range(1..=2_u8)?;
    if is_v6(bytes) {
        let [high, low] = (offset << 3 | more).to_be_bytes();
        extensions::insert(bytes, &[(44, vec![0, 0, high, low, 0, 0, 0, identification])]);
    } else if bytes.len() >= ETHERNET + 20 && bytes[12..ETHERNET] == [8, 0] {
        let [high, low] = (more << 13 | offset).to_be_bytes();
        bytes[18..22].copy_from_slice(&[0, identification, high, low]);
    }
    Ok(())
}

fn is_v6(bytes: &[u8]) -> bool {
    bytes.len() >= ETHERNET + 40 && bytes[12..ETHERNET] == [0x86, 0xdd]
}
