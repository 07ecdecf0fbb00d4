//! One device's door, by what the kernel says about it.
//!
//! A *pod* door is the host end of a pod's interface: a veth or netkit device whose other end lives in another
//! network namespace, or a tap that plugs a virtual machine into a bridge. An *uplink* door is every other device
//! that has an address, except loopback and a bridge that only joins pods (their packets pass pod doors already). So is
//! one that only carries an uplink's packets, with the tags of a VLAN (IEEE 802.1Q): XDP meets them there.
//!
//! A node that is itself a container has an uplink that looks just like a pod's host end: a veth whose other end is
//! elsewhere. What tells them apart is what the node does with the device. CNIs give a pod's host end no address, a
//! link-local one, or a gateway address of full length (`10.1.2.1/32`); a node's uplink joins the node to a network,
//! so it has an address with an on-link prefix, or the node's default route leaves by it. A veth that is an uplink
//! and a bridge port at once can not be told from a pod; `--uplink-devices` names it.

use std::net::IpAddr;

use kproxy_common::{DeviceIndex, Vlan};

use super::patterns::Rules;

/// Where packets of a device enter kproxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Door {
    /// The host end of a pod's interface.
    Pod,
    /// The way to other nodes and to clients outside.
    Uplink,
    /// The same, by packets without Ethernet headers.
    BareUplink,
    /// None: loopback, bridge ports that are no pods, devices without an address.
    None,
}

/// What kind of device it is, as far as that matters (`IFLA_INFO_KIND`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// One end of a virtual cable.
    Veth,
    /// The same, with programs instead of a queue. Minimum kernel version 6.7.
    Netkit,
    /// tun and tap.
    Tun,
    /// A Linux bridge.
    Bridge,
    /// Several NICs that are one. XDP runs in their drivers.
    Bond,
    /// NICs, VLANs, tunnels and all the rest.
    #[default]
    Other,
}

/// Where the other end of a virtual cable is (`IFLA_LINK`, `IFLA_LINK_NETNSID`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// No other end is known.
    #[default]
    Unknown,
    /// In this network namespace, with this interface index.
    Here(u32),
    /// In another network namespace.
    Elsewhere,
}

/// What begins a VLAN's tag (IEEE 802.1Q-2022 clause 9.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tag {
    /// 802.1Q: 0x8100.
    Customer,
    /// 802.1ad: 0x88a8.
    Service,
}

/// Which packets of another device are a VLAN's device's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The device that they come by, by its index in this network namespace.
    pub parent: u32,
    /// What begins their tag.
    pub tag: Tag,
    /// The VLAN that their tag says.
    pub id: u16,
}

impl Tagged {
    /// Where XDP finds their device: it knows no tags but 802.1Q's.
    pub(super) fn vlan(self) -> Option<Vlan> {
        (self.tag == Tag::Customer).then_some(Vlan {
            parent: DeviceIndex(self.parent),
            id: self.id.into(),
        })
    }
}

/// A network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index, unique in the network namespace for as long as it exists.
    pub index: u32,
    /// Its name, which can change.
    pub name: String,
    /// What kind of device it is.
    pub kind: Kind,
    /// Whether its ARP type is `ARPHRD_LOOPBACK`.
    pub loopback: bool,
    /// Whether its packets have no Ethernet header: its ARP type is another one than `ARPHRD_ETHER`.
    pub bare: bool,
    /// Its Ethernet address, or zeros.
    pub address: [u8; 6],
    /// Whether there is a driver of a device behind it, and no software alone (`IFLA_INFO_KIND` is missing).
    pub hardware: bool,
    /// The bridge, bond or switch it is a port of.
    pub master: Option<u32>,
    /// Where its other end is; of a VLAN's device it is the one that its packets come by.
    pub peer: Peer,
    /// If it is a VLAN's device, which packets of which device here are its own.
    pub vlan: Option<Tagged>,
}

/// An address of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    /// The address.
    pub address: IpAddr,
    /// How many of its bits are the network's.
    pub length: u8,
    /// Whether it is of use beyond the link (scope universe or site).
    pub global: bool,
    /// Whether the kernel would take it for what it sends of itself: neither secondary (another address of the same
    /// network came first, or it is temporary) nor deprecated, nor still looked for on the link (`IFA_FLAGS`).
    pub preferred: bool,
}

impl Prefix {
    /// Whether it is the same address of the same network, whatever else has changed about it.
    pub(super) fn is_same(self, other: Self) -> bool {
        (self.address, self.length) == (other.address, other.length)
    }

    fn joins_a_network(self) -> bool {
        let full = if self.address.is_ipv4() { 32 } else { 128 };
        self.global && self.length < full
    }
}

/// Everything that decides about one device.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The device.
    pub link: &'a Link,
    /// Its addresses.
    pub addresses: &'a [Prefix],
    /// Whether the node's default route, of either family, leaves by it.
    pub default_route: bool,
    /// Whether one of its ports is a pod door.
    pub joins_pods: bool,
    /// Whether the packets of an uplink door come by it, with the tags of a VLAN that XDP knows.
    pub carries_uplink: bool,
}

/// The door that a device is.
#[must_use]
pub fn classify(rules: &Rules, facts: Facts<'_>) -> Door {
    if facts.link.loopback {
        return Door::None;
    }
    if rules.pods.matches(&facts.link.name) {
        return Door::Pod;
    }
    if rules.uplinks.matches(&facts.link.name) {
        return uplink(facts.link);
    }
    if !rules.pods.is_given() && is_pod(facts) {
        return Door::Pod;
    }
    if !rules.uplinks.is_given() && is_uplink(facts) {
        return uplink(facts.link);
    }
    Door::None
}

fn uplink(link: &Link) -> Door {
    if link.bare { Door::BareUplink } else { Door::Uplink }
}

fn is_pod(
    Facts {
        link,
        addresses,
        default_route,
        joins_pods: _,
        carries_uplink: _,
    }: Facts<'_>,
) -> bool {
    match link.kind {
        Kind::Veth | Kind::Netkit => {
            link.peer == Peer::Elsewhere
                && !default_route
                && !addresses.iter().any(|prefix| prefix.joins_a_network())
        }
        Kind::Tun => link.master.is_some(),
        Kind::Bridge | Kind::Bond | Kind::Other => false,
    }
}

fn is_uplink(
    Facts {
        link,
        addresses,
        default_route,
        joins_pods,
        carries_uplink,
    }: Facts<'_>,
) -> bool {
    // What a port carries comes in by its bridge or bond as well.
    let carries_it_alone = carries_uplink && link.master.is_none();
    (!addresses.is_empty() || carries_it_alone) && (!joins_pods || default_route)
}

#[cfg(test)]
mod tests;
