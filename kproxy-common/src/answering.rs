//! Who may answer translated flows, which ports of the node were asked, and which pods ask by packet: what spares every other packet
//! that leaves the node, or is for the node itself or a pod, a lookup among them.

use crate::address::{Address, Port, Protocol};
use crate::check::check;

/// Places in [`Answering`].
pub const PLACES: usize = 1 << 16;

/// The value of `ANSWERING`: not 0 at the [`place`] of each backend, and of each port of the node or of an external
/// address, that a flow was recorded for since the map was made. Several may share a place, and none is ever taken back: it says who can be passed
/// over, not who is there.
pub type Answering = [u8; PLACES];

/// The value of `ASKING`: not 0 at the [`place_of_client`] of each pod that a flow was recorded for at its door, in the same way.
pub type Asking = [u8; PLACES];

/// The place of a pod that asks.
#[must_use]
#[inline(always)]
pub const fn place_of_client(address: &Address) -> u16 {
    let mixed = check(address.halves());
    (mixed >> 16 ^ mixed) as u16
}

/// The place of an address and port.
#[must_use]
#[inline(always)]
pub const fn place(address: &Address, port: Port, protocol: Protocol) -> u16 {
    let [a, b] = address.halves();
    let mixed = check([a, b, (port.wire() as u64) << 8 | protocol.number() as u64]);
    (mixed >> 16 ^ mixed) as u16
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    #[test]
    fn backends_spread_over_the_places() {
        let mut taken = [0_u64; PLACES / 64];
        for pod in 0..1_000_u32 {
            let address = Address::from(Ipv4Addr::from(0x0af4_0000 + pod));
            for port in [53, 8080] {
                let place = place(&address, Port::new(port), Protocol::UDP);
                taken[usize::from(place / 64)] |= 1 << (place % 64);
            }
        }
        // 2,000 thrown into 65,536 places share about 30.
        let places: u32 = taken.iter().map(|word| word.count_ones()).sum();
        assert!(places > 1_930, "{places} places");
    }

    #[test]
    fn the_protocol_matters() {
        let address = Address::from(Ipv4Addr::new(10, 244, 0, 7));
        let [tcp, udp] =
            [Protocol::TCP, Protocol::UDP].map(|protocol| place(&address, Port::new(53), protocol));
        assert_ne!(tcp, udp);
    }
}
