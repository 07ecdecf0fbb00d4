//! Access to one packet.

use bytemuck::Pod;
use kproxy_common::{Address, DeviceIndex, Nanoseconds, Tuple};

use crate::checksum::Difference;

/// What [`Packet::segment_size`] is for packets that were put together as their sender had cut them (`GSO_BY_FRAGS`, of SCTP): each
/// is as long as it was, and the kernel alone knows how long.
pub const BY_FRAGS: u32 = 0xffff;

/// A packet, with or without an Ethernet header (tun, `WireGuard`). Offsets count from its start.
///
/// Fields are loaded and stored by value; nothing keeps a reference into the packet.
pub trait Packet {
    /// Where the network header starts.
    const NETWORK: usize;

    /// Whether another hook decides on this packet again (XDP, before TC). Then what does not leave the node from here is
    /// left to it, untouched and uncounted.
    const EARLY: bool = false;

    /// Whether it is addressed to this machine, on the link.
    fn is_for_us(&self) -> bool;

    /// The protocol of the network header, in wire order.
    fn ethertype(&self) -> Option<u16>;

    /// How many bytes there are, from the network header on.
    fn length(&self) -> u32;

    /// Whether there are so many bytes, from the network header on.
    #[inline(always)]
    fn has(&self, length: u32) -> bool {
        length <= self.length()
    }

    /// How many bytes of payload each packet on the wire will have, if this one is many (GSO), and 0 if it is one. For
    /// [`BY_FRAGS`] nobody knows.
    fn segment_size(&self) -> u32;

    /// The device it came in by.
    fn device(&self) -> DeviceIndex;

    /// Whether it was made on this machine, and no device has brought it.
    fn is_of_node(&self) -> bool;

    /// Asks the routes for the way of a packet with this tuple and of this length, and remembers it for
    /// [`Packet::way`]. An unspecified source address asks for a source address as well. A length of 0 is not known. Whoever
    /// says what time it is may be given what was found a moment ago.
    fn find_way(&mut self, tuple: &Tuple, length: u32, now: Option<Nanoseconds>) -> Result<(), NoWay>;

    /// The way that was found last.
    fn way(&self) -> Way;

    /// Whether a socket of the node would be given a packet with this tuple.
    fn has_socket(&self, tuple: &Tuple) -> bool;

    /// Makes everything up to this offset readable, as far as the packet goes; without it only the first headers are.
    fn reach(&mut self, offset: usize);

    /// Loads a value, in wire order, or `None` beyond the end of what is readable.
    fn load<T: Pod>(&self, offset: usize) -> Option<T>;

    /// Loads a value from wherever it is in the packet, at a higher price than [`Packet::load`].
    fn fetch<T: Pod>(&self, offset: usize) -> Option<T>;

    /// Stores a value, in wire order. `None` beyond the end.
    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()>;

    /// Corrects the transport checksum at `offset` for changed addresses (part of the pseudo header) and for changed
    /// bytes of the transport header itself. The two differ for a packet whose checksum the device shall complete:
    /// its field holds the sum of the pseudo header only.
    fn correct_checksum(&mut self, offset: usize, change: ChecksumChange) -> Option<()>;

    /// Tells of a change of bytes that no checksum within the packet makes up for: a device may have summed it up
    /// (`CHECKSUM_COMPLETE`).
    fn note_change(&mut self, change: Difference);

    /// What [`crc32c::correction`](crate::crc32c::correction) says, for those who call it in another way.
    #[must_use]
    #[inline(always)]
    fn sctp_correction(changed: u32, length: u16) -> u32 {
        crate::crc32c::correction(changed, length)
    }

    /// Cuts the packet to `length` bytes, then opens `room` bytes in front of the network header. The content of the room
    /// is undefined.
    fn reshape(&mut self, length: usize, room: usize) -> Option<()>;

    /// Addresses the packet to where it came from, on the link.
    fn turn_around(&mut self) -> Option<()>;
}

/// What a rewrite did to the bytes that a transport checksum covers.
#[derive(Clone, Copy, Debug)]
pub struct ChecksumChange {
    /// Change of the addresses.
    pub addresses: Difference,
    /// Change of the ports, or of whatever else the transport protocol carries.
    pub ports: Difference,
    /// A checksum of zero means "none" and stays (UDP over IPv4, RFC 768).
    pub zero_is_none: bool,
    /// The network header has no checksum that would cancel the change of the addresses (IPv6).
    pub bare_network_header: bool,
}

/// Where a packet goes by the routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// By which device.
    pub device: DeviceIndex,
    /// With which source address, if that was asked and the kernel can tell.
    pub source: Option<Address>,
    /// The longest packet that fits, after [`NoWay::TooBig`].
    pub mtu: u32,
}

/// Why there is no way for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWay {
    /// There is no route, it says no, it leads to the node itself, or it can not be taken from here.
    Unreachable,
    /// The machine does not forward what comes in by this device.
    NotForwarding,
    /// It is longer than what fits.
    TooBig,
    /// It can not be taken from here, but by another hook: the neighbour is not known, or the device not one that this hook sends by.
    NotFromHere,
}
