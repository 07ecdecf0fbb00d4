//! What the data plane needs to know about a network device and the kernel does not tell it.

use bitflags::bitflags;
use bytemuck::{Pod, Zeroable};

use crate::address::{Address, Family};

/// An interface index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub struct DeviceIndex(pub u32);

bitflags! {
    /// What is special about a device.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
    #[repr(transparent)]
    pub struct DeviceFlags: u64 {
        /// The local-traffic detector takes what comes in by it for a pod's (semantics 5.15).
        const INSIDE = 1 << 0;
        /// Its driver sends what XDP redirects to it (`NETDEV_XDP_ACT_NDO_XMIT`); others drop it.
        const SENDS_XDP = 1 << 1;
    }
}

/// The key of `VLANS`: a VLAN of a device (IEEE 802.1Q). Its value is the interface index of the VLAN's own device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(C)]
pub struct Vlan {
    /// The device that its tagged packets come by.
    pub parent: DeviceIndex,
    /// What its tag says, without priorities: 1 to 4094.
    pub id: u32,
}

const _: () = assert!(size_of::<Vlan>() == 8);

/// The value of `DEVICES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Device {
    /// Its primary IPv4 address, or unspecified.
    pub v4: Address,
    /// Its primary IPv6 address of a scope beyond the link, or unspecified.
    pub v6: Address,
    /// What is special about it.
    pub flags: DeviceFlags,
    /// Its address on the link, or zeros if it has none.
    pub link_address: [u8; 6],
    /// Always 0.
    pub padding: u16,
}

const _: () = assert!(size_of::<Device>() == 48);

impl Device {
    /// Its primary address of a family.
    #[must_use]
    #[inline(always)]
    pub fn address(&self, family: Family) -> Option<Address> {
        let address = match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        };
        (!address.is_unspecified()).then_some(address)
    }
}
