//! A packet in a vector.

use std::rc::Rc;

use bytemuck::Pod;
use kproxy_common::{DeviceIndex, Nanoseconds, Tuple};
use kproxy_ebpf::checksum::Difference;
use kproxy_ebpf::packet::ChecksumChange;
use kproxy_ebpf::{NoWay, Packet, Way};

use super::routes::Routes;

/// What fills the room that [`Packet::reshape`] opens: whoever forgets to write it is found out.
const UNDEFINED: u8 = 0xa5;

/// Length of an Ethernet header.
const ETHERNET: usize = 14;
/// Offset of the protocol in it.
const ETHERTYPE: usize = 12;

/// How a packet keeps its transport checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It is there.
    Complete,
    /// The field holds the sum of the pseudo header, and the device adds the rest (`CHECKSUM_PARTIAL`).
    Partial,
}

/// A packet that starts with an Ethernet header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Its bytes.
    pub bytes: Vec<u8>,
    checksum: Checksum,
    segment_size: u32,
    device: DeviceIndex,
    of_node: bool,
    sockets: Vec<Tuple>,
    routes: Rc<Routes>,
    way: Way,
}

/// What no lookup has answered yet.
const NO_WAY: Way = Way {
    device: DeviceIndex(0),
    source: None,
    mtu: 0,
};

impl Buffer {
    /// A packet with a finished checksum.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            checksum: Checksum::Complete,
            segment_size: 0,
            device: DeviceIndex(1),
            of_node: false,
            sockets: Vec::new(),
            routes: Rc::new(Routes::Anywhere),
            way: NO_WAY,
        }
    }

    /// A packet whose checksum field holds the sum of the pseudo header.
    #[must_use]
    pub fn partial(bytes: Vec<u8>) -> Self {
        Self {
            checksum: Checksum::Partial,
            ..Self::new(bytes)
        }
    }

    /// Many packets in one, each with this much payload (GSO).
    #[must_use]
    pub fn in_segments_of(self, segment_size: u32) -> Self {
        Self { segment_size, ..self }
    }

    /// It came in by this device.
    #[must_use]
    pub fn by(self, device: DeviceIndex) -> Self {
        Self { device, ..self }
    }

    /// It was made on this machine.
    #[must_use]
    pub fn of_node(self) -> Self {
        Self {
            of_node: true,
            ..self
        }
    }

    /// On a machine with these routes.
    #[must_use]
    pub fn among(self, routes: Rc<Routes>) -> Self {
        Self { routes, ..self }
    }

    /// On a machine whose sockets take packets with these tuples.
    #[must_use]
    pub fn beside(self, sockets: Vec<Tuple>) -> Self {
        Self { sockets, ..self }
    }

    /// One step of `bpf_l4_csum_replace`.
    fn replace(&mut self, offset: usize, difference: Difference, zero_is_none: bool) -> Option<()> {
        let old: u16 = self.load(offset)?;
        if zero_is_none && old == 0 {
            return Some(());
        }
        let new = match self.checksum {
            Checksum::Complete => difference.apply(old),
            // Not the complement of a sum, but a sum.
            Checksum::Partial => !difference.apply(!old),
        };
        self.store(offset, if zero_is_none && new == 0 { u16::MAX } else { new })
    }
}

impl Packet for Buffer {
    const NETWORK: usize = ETHERNET;

    fn is_for_us(&self) -> bool {
        true
    }

    fn ethertype(&self) -> Option<u16> {
        self.load(ETHERTYPE)
    }

    fn turn_around(&mut self) -> Option<()> {
        let [destination, source]: [[u8; 6]; 2] = self.load(0)?;
        self.store(0, [source, destination])
    }

    fn length(&self) -> u32 {
        u32::try_from(self.bytes.len().saturating_sub(ETHERNET)).unwrap_or(u32::MAX)
    }

    fn segment_size(&self) -> u32 {
        self.segment_size
    }

    fn device(&self) -> DeviceIndex {
        self.device
    }

    fn is_of_node(&self) -> bool {
        self.of_node
    }

    fn find_way(&mut self, tuple: &Tuple, length: u32, _now: Option<Nanoseconds>) -> Result<(), NoWay> {
        let (way, fits) = self.routes.find(tuple, length);
        self.way = way;
        fits
    }

    fn way(&self) -> Way {
        self.way
    }

    fn has_socket(&self, tuple: &Tuple) -> bool {
        self.sockets.contains(tuple)
    }

    fn reach(&mut self, _offset: usize) {}

    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        let bytes = self.bytes.get(offset..offset.checked_add(size_of::<T>())?)?;
        Some(bytemuck::pod_read_unaligned(bytes))
    }

    fn fetch<T: Pod>(&self, offset: usize) -> Option<T> {
        self.load(offset)
    }

    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        let bytes = self.bytes.get_mut(offset..offset.checked_add(size_of::<T>())?)?;
        bytes.copy_from_slice(bytemuck::bytes_of(&value));
        Some(())
    }

    fn correct_checksum(&mut self, offset: usize, change: ChecksumChange) -> Option<()> {
        let ChecksumChange {
            addresses,
            ports,
            zero_is_none,
            // Concerns `CHECKSUM_COMPLETE`, a sum that a receiving device keeps beside the packet.
            bare_network_header: _,
        } = change;
        if !addresses.is_none() {
            self.replace(offset, addresses, zero_is_none)?;
        }
        if !ports.is_none() && self.checksum == Checksum::Complete {
            self.replace(offset, ports, zero_is_none)?;
        }
        Some(())
    }

    // No device has summed anything up.
    fn note_change(&mut self, _change: Difference) {}

    fn reshape(&mut self, length: usize, room: usize) -> Option<()> {
        if length > self.bytes.len() || length < ETHERNET {
            return None;
        }
        self.bytes.truncate(length);
        self.bytes
            .splice(ETHERNET..ETHERNET, std::iter::repeat_n(UNDEFINED, room));
        Some(())
    }
}
