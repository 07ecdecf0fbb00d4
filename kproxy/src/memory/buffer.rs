//! A packet in a vector.

use bytemuck::Pod;
use kproxy_ebpf::Packet;
use kproxy_ebpf::checksum::Difference;
use kproxy_ebpf::packet::ChecksumChange;

/// What fills the room that [`Packet::reshape`] opens: whoever forgets to write it is found out.
const UNDEFINED: u8 = 0xa5;

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
}

impl Buffer {
    /// A packet with a finished checksum.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            checksum: Checksum::Complete,
        }
    }

    /// A packet whose checksum field holds the sum of the pseudo header.
    #[must_use]
    pub fn partial(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            checksum: Checksum::Partial,
        }
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
    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        let bytes = self.bytes.get(offset..offset.checked_add(size_of::<T>())?)?;
        Some(bytemuck::pod_read_unaligned(bytes))
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

    fn reshape(&mut self, length: usize, room: usize) -> Option<()> {
        const ETHERNET: usize = 14;
        if length > self.bytes.len() || length < ETHERNET {
            return None;
        }
        self.bytes.truncate(length);
        self.bytes
            .splice(ETHERNET..ETHERNET, std::iter::repeat_n(UNDEFINED, room));
        Some(())
    }
}
