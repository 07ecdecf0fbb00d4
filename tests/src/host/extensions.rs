//! Extension headers of IPv6 (RFC 8200 section 4), put into packets that were built without.

const ETHERNET: usize = 14;
const NETWORK: usize = 40;

/// A header: its number, and its bytes, of which the first is overwritten.
pub type Extension = (u8, Vec<u8>);

/// Every kind that says nothing of where a packet goes: a router alert (RFC 2711), a tunnel's limit (RFC 2473), segments that
/// were all visited (RFC 8754), and padding.
#[must_use]
pub fn harmless() -> Vec<Extension> {
    let segments = [&[0, 2, 4, 0, 0, 0, 0, 0][..], &[0xfd; 16]].concat();
    vec![
        (0, vec![0, 0, 5, 2, 0, 0, 1, 0]),
        (60, vec![0, 0, 4, 1, 4, 1, 1, 0]),
        (43, segments),
        (60, vec![0, 0, 1, 4, 0, 0, 0, 0]),
    ]
}

/// Puts headers in this order behind the network header. What is no IPv6 packet stays as it is.
pub fn insert(bytes: &mut Vec<u8>, extensions: &[Extension]) {
    if bytes.len() < ETHERNET + NETWORK || bytes[12..ETHERNET] != [0x86, 0xdd] {
        return;
    }
    for (kind, header) in extensions.iter().rev() {
        let mut header = header.clone();
        header[0] = std::mem::replace(&mut bytes[ETHERNET + 6], *kind);
        let length = u16::from_be_bytes([bytes[ETHERNET + 4], bytes[ETHERNET + 5]]);
        let length = length.saturating_add(u16::try_from(header.len()).unwrap_or(u16::MAX));
        bytes[ETHERNET + 4..ETHERNET + 6].copy_from_slice(&length.to_be_bytes());
        bytes.splice(ETHERNET + NETWORK..ETHERNET + NETWORK, header);
    }
}
