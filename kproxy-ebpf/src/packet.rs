//! Access to one packet.

use bytemuck::Pod;

use crate::checksum::Difference;

/// A packet that starts with an Ethernet header. Offsets count from there.
///
/// Fields are loaded and stored by value; nothing keeps a reference into the packet.
pub trait Packet {
    /// Loads a value, in wire order, or `None` beyond the end of what is readable.
    fn load<T: Pod>(&self, offset: usize) -> Option<T>;

    /// Stores a value, in wire order. `None` beyond the end.
    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()>;

    /// Corrects the transport checksum at `offset` for changed addresses (part of the pseudo header) and for changed
    /// bytes of the transport header itself. The two differ for a packet whose checksum the device shall complete:
    /// its field holds the sum of the pseudo header only.
    fn correct_checksum(&mut self, offset: usize, change: ChecksumChange) -> Option<()>;

    /// Cuts the packet to `length` bytes, then opens `room` bytes between the Ethernet and the network header. The
    /// content of the room is undefined.
    fn reshape(&mut self, length: usize, room: usize) -> Option<()>;

    /// Swaps source and destination of the Ethernet header, to send the packet back where it came from.
    #[inline(always)]
    fn turn_around(&mut self) -> Option<()> {
        let [d0, d1, d2, s0, s1, s2]: [u16; 6] = self.load(0)?;
        self.store(0, [s0, s1, s2, d0, d1, d2])
    }
}

/// What a rewrite did to the bytes that a transport checksum covers.
#[derive(Clone, Copy, Debug)]
pub struct ChecksumChange {
    /// Change of the addresses.
    pub addresses: Difference,
    /// Change of the ports.
    pub ports: Difference,
    /// A checksum of zero means "none" and stays (UDP over IPv4, RFC 768).
    pub zero_is_none: bool,
    /// The network header has no checksum that would cancel the change of the addresses (IPv6).
    pub bare_network_header: bool,
}
