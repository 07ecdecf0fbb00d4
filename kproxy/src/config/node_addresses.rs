//! This node's primary address of each family (semantics 10.18).

use std::net::IpAddr;

use kproxy_common::{Address, Family};

use super::node_ports::loopback;

/// One address for each family, and which family comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeAddresses {
    /// The family of the first address of the node.
    pub primary_family: Family,
    /// `127.0.0.1` when unknown.
    pub v4: Address,
    /// `::1` when unknown.
    pub v6: Address,
}

impl NodeAddresses {
    /// From the addresses of the Node object, internal ones first, and `bindAddress`, which replaces the one of its
    /// family and makes that family the first.
    #[must_use]
    pub fn of(node: &[Address], bind_address: Option<IpAddr>) -> Self {
        let bound = bind_address
            .filter(|address| !address.is_unspecified())
            .map(Address::from);
        let first = bound.or(node.first().copied());
        let choose = |family: Family| {
            let of_family = |address: &Address| address.family() == family;
            bound
                .filter(of_family)
                .or_else(|| node.iter().copied().find(of_family))
                .unwrap_or_else(|| loopback(family))
        };
        Self {
            primary_family: first.map_or(Family::V4, Address::family),
            v4: choose(Family::V4),
            v6: choose(Family::V6),
        }
    }

    /// The address of a family, unless it is unknown.
    #[must_use]
    pub fn known(&self, family: Family) -> Option<Address> {
        let address = match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        };
        Some(address).filter(|address| !address.is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::parse_address;

    #[test]
    fn primary_addresses_10_18() {
        // What it shows; the Node's addresses; bindAddress; first family; IPv4; IPv6.
        let rows = [
            ("single", "10.0.0.1", "", Family::V4, "10.0.0.1", "::1"),
            ("IPv6 only", "fd00::1", "", Family::V6, "127.0.0.1", "fd00::1"),
            (
                "the first of each",
                "10.0.0.1 10.0.0.2 fd00::1 fd00::2",
                "",
                Family::V4,
                "10.0.0.1",
                "fd00::1",
            ),
            (
                "IPv6 first",
                "fd00::1 10.0.0.1",
                "",
                Family::V6,
                "10.0.0.1",
                "fd00::1",
            ),
            ("unknown", "", "", Family::V4, "127.0.0.1", "::1"),
            (
                "0.0.0.0 asks the Node",
                "fd00::1",
                "0.0.0.0",
                Family::V6,
                "127.0.0.1",
                "fd00::1",
            ),
            (
                ":: asks the Node",
                "10.0.0.1",
                "::",
                Family::V4,
                "10.0.0.1",
                "::1",
            ),
            (
                "replaced",
                "10.0.0.1 fd00::1",
                "192.0.2.1",
                Family::V4,
                "192.0.2.1",
                "fd00::1",
            ),
            (
                "replaced and first",
                "10.0.0.1 fd00::1",
                "fd00::9",
                Family::V6,
                "10.0.0.1",
                "fd00::9",
            ),
            ("alone", "", "fd00::9", Family::V6, "127.0.0.1", "fd00::9"),
        ];
        for (what, node, bind_address, primary_family, v4, v6) in rows {
            let parse = |text: &str| parse_address(text).expect("an address");
            let node: Vec<_> = node.split_whitespace().map(parse).collect();
            let expected = NodeAddresses {
                primary_family,
                v4: parse(v4),
                v6: parse(v6),
            };
            let bind_address = parse_address(bind_address).map(Address::ip);
            assert_eq!(NodeAddresses::of(&node, bind_address), expected, "10.18 {what}");
        }
        let unknown = NodeAddresses::of(&[], None);
        assert_eq!(
            [Family::V4, Family::V6].map(|family| unknown.known(family)),
            [None, None]
        );
    }
}
