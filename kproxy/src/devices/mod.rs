//! Which network devices are doors, when they come and go, and which addresses this network namespace has.
//!
//! * [`patterns`]: the device names that an operator gave
//! * [`mod@classify`]: one device's door, by what the kernel says about it
//! * [`table`]: everything known about this network namespace's devices, and what changed
//! * [`message`]: netlink messages as that table wants them
//! * [`mod@features`]: what drivers do for XDP, which has a netlink of its own
//! * `offloads`: what they do with VLANs' tags, which has another one; `untagging`: what that means for XDP
//! * [`mod@follow`]: the netlink sockets, and `generic` those of generic netlink
//!
//! Attaching programs is not done here: whoever owns the data plane acts on the [`Event`]s and [`Addresses`].

use std::collections::{BTreeMap, BTreeSet};

use kproxy_common::{Address, Vlan};

pub mod classify;
pub mod features;
pub mod follow;
mod generic;
mod listing;
pub mod message;
mod offloads;
pub mod patterns;
pub mod table;
mod untagging;

pub use classify::{Door, Kind, Link, Peer, Prefix, Tag, Tagged};
pub use follow::follow;
pub use patterns::{PatternError, Patterns, Rules};
pub use table::{Change, Device};
pub use untagging::Untagging;

/// The addresses of this network namespace, as of now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Every address that is bound to a device.
    pub bound: BTreeSet<Address>,
    /// The devices that are no pods', by interface index.
    pub devices: BTreeMap<u32, Named>,
}

/// A device by its name, and the addresses that the kernel would send from by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: String,
    /// Its primary IPv4 address.
    pub v4: Option<Address>,
    /// Its primary IPv6 address.
    pub v6: Option<Address>,
    /// Its address on the link, or zeros if it has no Ethernet address.
    pub link_address: [u8; 6],
    /// Whether its driver sends what XDP programs of other devices redirect to it.
    pub sends_xdp: bool,
    /// If it is an uplink and a VLAN's device: where XDP meets its packets.
    pub vlan: Option<Vlan>,
}

/// What [`fn@follow`] tells the owner of the data plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A door opened or closed.
    Changed(Change),
    /// Every device that exists has been told: at the start, and again after events were lost. Programs on any
    /// other are left over.
    Listed,
}
