//! How [`NODE`](super::world::NODE) reaches what is elsewhere, in memory and as `ip` is told it.

use std::collections::BTreeMap;
use std::rc::Rc;

use kproxy::memory::{Route, Routes};
use kproxy::model::{Cidr, parse_cidr};
use kproxy_common::{Address, AddressRange, DeviceIndex, Family};

use super::world::{FAMILIES, HOST, NODES, OUTSIDERS, POD_RANGES, Pod};

/// A pod's device, where none is looked at.
pub const POD_DEVICE: DeviceIndex = DeviceIndex(1);
/// The uplink.
pub const DEVICE: DeviceIndex = DeviceIndex(2);
/// The longest packet that fits on the way to most pods and clients ...
pub const MTU: u32 = 1500;
/// ... and to this pod.
pub const NARROW: (&str, u32) = ("web-3", 1280);

/// The address on the link of whatever is elsewhere.
pub const NEIGHBOUR_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];

/// The ranges of [`POD_RANGES`] by family.
#[must_use]
pub fn pod_ranges() -> BTreeMap<Family, AddressRange> {
    POD_RANGES
        .iter()
        .filter_map(|range| parse_cidr(range))
        .map(|range| (range.family(), range.range()))
        .collect()
}

/// The node's routes.
#[must_use]
pub fn routes() -> Rc<Routes> {
    let both = FAMILIES.map(|family| {
        let own = Address::from(HOST.address(family));
        let everything = Cidr {
            address: Address::unspecified(family),
            length: 0,
        };
        let narrow = Address::from(Pod::named(NARROW.0).address(family));
        let by_uplink = |to, mtu| Route {
            to,
            device: Some(DEVICE),
            source: Some(own),
            mtu,
        };
        let itself = Route {
            device: None,
            ..by_uplink(Cidr::host(own), MTU)
        };
        [
            by_uplink(everything, MTU),
            by_uplink(Cidr::host(narrow), NARROW.1),
            itself,
        ]
    });
    Rc::new(Routes::Table(both.concat()))
}

/// What `ip` has to be told for the same, with an uplink of this name that has the node's addresses.
#[must_use]
pub fn script(uplink: &str) -> Vec<String> {
    let lines = FAMILIES.map(|family| {
        let [own, other] = NODES.map(|node| node.address(family));
        let narrow = Pod::named(NARROW.0).address(family);
        let (prefix, flags) = match family {
            Family::V4 => (24, ""),
            Family::V6 => (64, " nodad"),
        };
        let mut lines = vec![
            format!("address add {own}/{prefix} dev {uplink}{flags}"),
            format!("route add default via {other} dev {uplink} src {own}"),
            format!(
                "route add {narrow} via {other} dev {uplink} src {own} mtu lock {}",
                NARROW.1
            ),
        ];
        // Known, so that XDP may send to them.
        let neighbours = [other]
            .into_iter()
            .chain(OUTSIDERS.map(|client| client.address(family)));
        let link_address = NEIGHBOUR_MAC.map(|byte| format!("{byte:02x}")).join(":");
        lines.extend(
            neighbours.map(|neighbour| format!("neigh add {neighbour} lladdr {link_address} dev {uplink}")),
        );
        lines
    });
    lines.concat()
}
