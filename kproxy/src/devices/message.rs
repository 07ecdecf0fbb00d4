//! Netlink messages (rtnetlink(7)) as [`super::table`] wants them.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink has hundreds of messages and attributes, and more with every kernel; a handful matters here"
)]

use std::collections::BTreeSet;

use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkInfo, LinkLayerType, LinkMessage, VlanProtocol,
};
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::classify::{Kind, Link, Peer, Prefix, Tag, Tagged};

/// One fact about this network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A device exists and looks like this.
    Link(Link),
    /// A device left this network namespace.
    Gone {
        /// Its interface index here.
        index: u32,
        /// It moved to another namespace and was not deleted.
        moved: bool,
    },
    /// A device has this address.
    Address {
        /// The device.
        index: u32,
        /// The address.
        prefix: Prefix,
    },
    /// A device has lost this address.
    AddressGone {
        /// The device.
        index: u32,
        /// The address.
        prefix: Prefix,
    },
    /// The devices by which the default routes of both families leave.
    DefaultRoutes(BTreeSet<u32>),
    /// What a driver does for XDP.
    Xdp {
        /// The device.
        index: u32,
        /// Whether it sends what is redirected to it.
        sends: bool,
    },
    /// What a driver does with VLANs' tags.
    Untags {
        /// The device.
        index: u32,
        /// Those that it takes off before XDP.
        tags: BTreeSet<Tag>,
    },
}

/// Reads a message about a device or an address; `None` for every other.
#[must_use]
pub fn parse(message: &RouteNetlinkMessage) -> Option<Message> {
    match message {
        // Bridges tell about their ports in messages of their own family: they announce a port that leaves the
        // bridge like a device that is deleted.
        RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link)
            if link.header.interface_family != AddressFamily::Unspec =>
        {
            None
        }
        RouteNetlinkMessage::NewLink(link) => Some(Message::Link(parse_link(link))),
        RouteNetlinkMessage::DelLink(link) => {
            // Set since Linux 4.15, and only when the device moved.
            let moved = link
                .attributes
                .iter()
                .any(|one| matches!(one, LinkAttribute::NewNetnsId(_)));
            Some(Message::Gone {
                index: link.header.index,
                moved,
            })
        }
        RouteNetlinkMessage::NewAddress(address) => parse_prefix(address).map(|prefix| Message::Address {
            index: address.header.index,
            prefix,
        }),
        RouteNetlinkMessage::DelAddress(address) => {
            parse_prefix(address).map(|prefix| Message::AddressGone {
                index: address.header.index,
                prefix,
            })
        }
        _ => None,
    }
}

/// Whether a default route came or went.
#[must_use]
pub fn touches_default_route(message: &RouteNetlinkMessage) -> bool {
    match message {
        RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route) => {
            route.header.destination_prefix_length == 0
        }
        _ => false,
    }
}

/// The devices by which a default route leaves; none if the route is not a default route.
#[must_use]
pub fn default_route_devices(route: &RouteMessage) -> BTreeSet<u32> {
    let mut devices = BTreeSet::new();
    if route.header.destination_prefix_length != 0 {
        return devices;
    }
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => drop(devices.insert(*index)),
            RouteAttribute::MultiPath(hops) => devices.extend(hops.iter().map(|hop| hop.interface_index)),
            _ => {}
        }
    }
    devices
}

fn parse_link(message: &LinkMessage) -> Link {
    let mut link = Link {
        index: message.header.index,
        loopback: message.header.link_layer_type == LinkLayerType::Loopback,
        bare: message.header.link_layer_type != LinkLayerType::Ether,
        hardware: true,
        ..Link::default()
    };
    let mut other_end = None;
    let mut other_namespace = false;
    let mut vlan = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name.clone_from(name),
            // 0 is sent when a device has just left its master.
            LinkAttribute::Controller(master) => link.master = (*master != 0).then_some(*master),
            LinkAttribute::Address(bytes) => link.address = bytes[..].try_into().unwrap_or_default(),
            LinkAttribute::LinkInfo(infos) => {
                link.kind = parse_kind(infos);
                vlan = parse_vlan(infos);
                link.hardware = !infos.iter().any(|info| matches!(info, LinkInfo::Kind(_)));
            }
            LinkAttribute::Link(index) => other_end = Some(*index),
            LinkAttribute::LinkNetNsId(_) => other_namespace = true,
            _ => {}
        }
    }
    link.peer = match other_end {
        _ if other_namespace => Peer::Elsewhere,
        Some(index) => Peer::Here(index),
        None => Peer::Unknown,
    };
    link.vlan = match (link.peer, vlan) {
        (Peer::Here(parent), Some((tag, id))) => Some(Tagged { parent, tag, id }),
        _ => None,
    };
    link
}

/// Which VLAN it is, of a VLAN's device.
fn parse_vlan(infos: &[LinkInfo]) -> Option<(Tag, u16)> {
    let attributes = infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vlan(attributes)) => Some(attributes),
        _ => None,
    })?;
    // The protocol is told since Linux 3.10, which knew no other before.
    let mut tag = Tag::Customer;
    let mut id = None;
    for attribute in attributes {
        match attribute {
            InfoVlan::Id(number) => id = Some(*number),
            InfoVlan::Protocol(VlanProtocol::Ieee8021Ad) => tag = Tag::Service,
            _ => {}
        }
    }
    Some((tag, id?))
}

fn parse_kind(infos: &[LinkInfo]) -> Kind {
    let kind = infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    });
    match kind {
        Some(InfoKind::Veth) => Kind::Veth,
        Some(InfoKind::Netkit) => Kind::Netkit,
        Some(InfoKind::Tun) => Kind::Tun,
        Some(InfoKind::Bridge) => Kind::Bridge,
        Some(InfoKind::Bond) => Kind::Bond,
        _ => Kind::Other,
    }
}

fn parse_prefix(message: &AddressMessage) -> Option<Prefix> {
    // On a point-to-point link `Address` is the other end's and `Local` ours; IPv6 sends `Local` only then.
    let local = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(address) => Some(*address),
        _ => None,
    });
    let address = local.or_else(|| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        })
    })?;
    let global = matches!(message.header.scope, AddressScope::Universe | AddressScope::Site);
    // All of them, where the header has those of the first eight bits (since Linux 3.14).
    let flags = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    let unwanted = AddressFlags::Secondary | AddressFlags::Deprecated | AddressFlags::Tentative;
    Some(Prefix {
        address,
        length: message.header.prefix_len,
        global,
        preferred: flags.is_none_or(|flags| !flags.intersects(unwanted)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link_message(attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 5;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.attributes = attributes;
        message
    }

    #[test]
    fn a_link_message_becomes_a_link() {
        let message = link_message(vec![
            LinkAttribute::IfName("veth5".into()),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 5]),
            LinkAttribute::Controller(3),
            LinkAttribute::Link(2),
            LinkAttribute::LinkNetNsId(0),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]),
        ]);
        let expected = Link {
            index: 5,
            name: "veth5".into(),
            kind: Kind::Veth,
            loopback: false,
            bare: false,
            address: [2, 0, 0, 0, 0, 5],
            hardware: false,
            master: Some(3),
            peer: Peer::Elsewhere,
            vlan: None,
        };
        assert_eq!(
            parse(&RouteNetlinkMessage::NewLink(message)),
            Some(Message::Link(expected))
        );
    }

    #[test]
    fn a_vlan_is_of_a_device_here() {
        let of = |parent, tag, id| Some(Tagged { parent, tag, id });
        let told = |kind, data| vec![LinkInfo::Kind(kind), LinkInfo::Data(InfoData::Vlan(data))];
        let vlan = |data| told(InfoKind::Vlan, data);
        let id = || InfoVlan::Id(100);
        let q = InfoVlan::Protocol(VlanProtocol::Ieee8021Q);
        let ad = InfoVlan::Protocol(VlanProtocol::Ieee8021Ad);
        let here = || vec![LinkAttribute::Link(2)];
        let elsewhere = || vec![LinkAttribute::Link(2), LinkAttribute::LinkNetNsId(0)];
        // (what, its device's other end, what is told of it, whose packets are its own)
        let rows = [
            (
                "802.1Q",
                here(),
                vlan(vec![id(), q.clone()]),
                of(2, Tag::Customer, 100),
            ),
            ("802.1ad", here(), vlan(vec![ad, id()]), of(2, Tag::Service, 100)),
            (
                "of an old kernel",
                here(),
                vlan(vec![id()]),
                of(2, Tag::Customer, 100),
            ),
            (
                "of a device elsewhere",
                elsewhere(),
                vlan(vec![id(), q.clone()]),
                None,
            ),
            ("of no device", vec![], vlan(vec![id(), q.clone()]), None),
            ("without a number", here(), vlan(vec![q]), None),
            ("a cable", here(), vec![LinkInfo::Kind(InfoKind::Veth)], None),
        ];
        for (what, mut attributes, infos, expected) in rows {
            // The kernel tells them in this order, or the other way round.
            for reversed in [false, true] {
                let infos = LinkAttribute::LinkInfo(infos.clone());
                attributes.retain(|one| !matches!(one, LinkAttribute::LinkInfo(_)));
                attributes.insert(if reversed { 0 } else { attributes.len() }, infos);
                let message = link_message(attributes.clone());
                let Some(Message::Link(link)) = parse(&RouteNetlinkMessage::NewLink(message)) else {
                    unreachable!("a link")
                };
                assert_eq!(link.vlan, expected, "{what}");
            }
        }
    }

    #[test]
    fn a_device_without_ethernet_headers_is_bare() {
        for (layer, bare) in [
            (LinkLayerType::Ether, false),
            (LinkLayerType::None, true),
            (LinkLayerType::Tunnel, true),
        ] {
            let mut message = link_message(vec![]);
            message.header.link_layer_type = layer;
            let Some(Message::Link(link)) = parse(&RouteNetlinkMessage::NewLink(message)) else {
                unreachable!("a link")
            };
            assert_eq!(link.bare, bare, "{layer:?}");
        }
    }

    #[test]
    fn a_port_that_leaves_its_bridge_is_not_gone() {
        let mut message = link_message(vec![]);
        message.header.interface_family = AddressFamily::Bridge;
        assert_eq!(parse(&RouteNetlinkMessage::DelLink(message)), None);
    }

    #[test]
    fn moved_is_told_from_deleted() {
        let deleted = link_message(vec![]);
        let moved = link_message(vec![LinkAttribute::NewNetnsId(4)]);
        for (message, moved) in [(deleted, false), (moved, true)] {
            assert_eq!(
                parse(&RouteNetlinkMessage::DelLink(message)),
                Some(Message::Gone { index: 5, moved })
            );
        }
    }

    #[test]
    fn our_end_of_a_point_to_point_address_counts() {
        let mut message = AddressMessage::default();
        message.header.index = 5;
        message.header.prefix_len = 32;
        let ours = "10.0.0.1".parse().expect("address");
        message.attributes = vec![
            AddressAttribute::Address("10.0.0.2".parse().expect("address")),
            AddressAttribute::Local(ours),
        ];
        let prefix = Prefix {
            address: ours,
            length: 32,
            global: true,
            preferred: true,
        };
        let expected = Message::Address { index: 5, prefix };
        assert_eq!(parse(&RouteNetlinkMessage::NewAddress(message)), Some(expected));
    }
}
