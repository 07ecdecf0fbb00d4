//! On which of this node's addresses NodePorts answer (semantics 3.14 to 3.27).

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr};

use kproxy_common::{Address, Family};

use crate::model::Cidr;

/// What `nodePortAddresses` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodePortAddresses {
    /// The node's primary address of each family; also when nothing is said, as in kube-proxy's mode nftables.
    Primary,
    /// Every address of the node inside of these ranges. A family without any means all of its addresses.
    Cidrs(Vec<Cidr>),
}

impl NodePortAddresses {
    /// The addresses on which NodePorts of a family answer, out of those that this node's devices have. Loopback
    /// addresses are never among them: they are no matter of addresses, see [`Self::covers_loopback`].
    ///
    /// `primary` is the node's primary address of that family; unknown, or loopback, it means every address
    /// (semantics 3.18).
    #[must_use]
    pub fn eligible(
        &self,
        family: Family,
        interface_addresses: &BTreeSet<Address>,
        primary: Option<Address>,
    ) -> BTreeSet<Address> {
        let primary = primary.filter(|address| address.family() == family && !address.is_loopback());
        let is_meant = |address: Address| match (self, primary) {
            (Self::Primary, Some(primary)) => address == primary,
            (Self::Primary, None) => true,
            (Self::Cidrs(cidrs), _) => {
                matches_all(cidrs, family) || cidrs.iter().any(|cidr| cidr.contains(&address))
            }
        };
        let candidates = interface_addresses.iter().copied();
        candidates
            .filter(|address| address.family() == family && !address.is_loopback() && is_meant(*address))
            .collect()
    }

    /// Whether every address of a family is meant, also those that the node will have.
    #[must_use]
    pub fn means_all(&self, family: Family, primary: Option<Address>) -> bool {
        match self {
            Self::Primary => primary.is_none_or(Address::is_loopback),
            Self::Cidrs(cidrs) => matches_all(cidrs, family),
        }
    }

    /// Whether loopback addresses of a family are meant too, so that NodePorts may answer there for the node's own
    /// processes: unless ranges are given that leave them out.
    #[must_use]
    pub fn covers_loopback(&self, family: Family) -> bool {
        match self {
            Self::Primary => true,
            Self::Cidrs(cidrs) => {
                matches_all(cidrs, family)
                    || cidrs
                        .iter()
                        .any(|cidr| cidr.family() == family && overlaps_loopback(*cidr))
            }
        }
    }
}

/// The loopback address that a family's processes use.
#[must_use]
pub fn loopback(family: Family) -> Address {
    match family {
        Family::V4 => Ipv4Addr::LOCALHOST.into(),
        Family::V6 => Ipv6Addr::LOCALHOST.into(),
    }
}

/// All addresses of a family are meant when a range is that large, and when no range is of that family.
fn matches_all(cidrs: &[Cidr], family: Family) -> bool {
    let mut of_family = cidrs.iter().filter(|cidr| cidr.family() == family).peekable();
    of_family.peek().is_none() || of_family.any(|cidr| cidr.length == 0)
}

fn overlaps_loopback(cidr: Cidr) -> bool {
    cidr.address.is_loopback() || cidr.contains(&loopback(cidr.family()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{parse_address, parse_cidr};

    const HERE: &str = "10.0.0.5 172.17.0.1 127.0.0.1 127.0.0.2 fd00::5 fe80::1 ::1";

    fn addresses(texts: &str) -> BTreeSet<Address> {
        texts
            .split_whitespace()
            .map(|text| parse_address(text).expect("an address"))
            .collect()
    }

    fn parse(text: &str) -> NodePortAddresses {
        if text == "primary" {
            return NodePortAddresses::Primary;
        }
        let cidrs = text
            .split_whitespace()
            .map(|text| parse_cidr(text).expect("a range"));
        NodePortAddresses::Cidrs(cidrs.collect())
    }

    #[test]
    fn node_ports_answer_on_eligible_addresses() {
        let (v4, v6) = (Family::V4, Family::V6);
        // What it shows; nodePortAddresses; family; primary address; who answers; whether loopback is covered.
        let rows = [
            ("3.17 primary", "primary", v4, "10.0.0.5", "10.0.0.5", true),
            ("3.17 IPv6", "primary", v6, "fd00::5", "fd00::5", true),
            ("3.17 on no device", "primary", v4, "192.0.2.1", "", true),
            (
                "3.18 unknown is all",
                "primary",
                v4,
                "",
                "10.0.0.5 172.17.0.1",
                true,
            ),
            (
                "3.18 loopback is unknown",
                "primary",
                v6,
                "::1",
                "fd00::5 fe80::1",
                true,
            ),
            (
                "3.14 a family without a range",
                "10.0.0.0/8",
                v6,
                "",
                "fd00::5 fe80::1",
                true,
            ),
            ("3.23 inside of a range", "10.0.0.0/8", v4, "", "10.0.0.5", false),
            (
                "3.23 of two ranges",
                "10.0.0.0/24 172.17.0.1/32",
                v4,
                "",
                "10.0.0.5 172.17.0.1",
                false,
            ),
            (
                "3.15 /0",
                "192.0.2.0/24 0.0.0.0/0",
                v4,
                "",
                "10.0.0.5 172.17.0.1",
                true,
            ),
            (
                "3.15 of one family only",
                "fd00::/64 0.0.0.0/0",
                v6,
                "",
                "fd00::5",
                false,
            ),
            (
                "3.21 no loopback",
                "0.0.0.0/0 ::/0",
                v6,
                "",
                "fd00::5 fe80::1",
                true,
            ),
            ("3.24 loopback in a range", "127.0.0.0/8", v4, "", "", true),
            (
                "3.24 part of it",
                "127.0.0.2/32 10.0.0.0/8",
                v4,
                "",
                "10.0.0.5",
                true,
            ),
            ("3.24 IPv6", "::1/128 fd00::/8", v6, "", "fd00::5", true),
            ("3.20 the upper half", "128.0.0.0/1", v4, "", "172.17.0.1", false),
        ];
        for (what, text, family, primary, expected, covers) in rows {
            let node_ports = parse(text);
            let eligible = node_ports.eligible(family, &addresses(HERE), parse_address(primary));
            assert_eq!(eligible, addresses(expected), "{what}");
            assert_eq!(node_ports.covers_loopback(family), covers, "3.27 {what}");
        }
    }
}
