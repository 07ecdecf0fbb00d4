//! Which packets come from this node's pods (semantics 5.13 to 5.18).

use std::collections::BTreeMap;

use kproxy_common::{Address, AddressRange, Family};

use crate::model::Cidr;

/// What `detectLocalMode` and the fields that belong to it say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalDetector {
    /// Nothing tells local packets apart.
    None,
    /// Source addresses do. A family without a range is not told apart.
    ClusterCidr {
        /// For IPv4.
        v4: Option<Cidr>,
        /// For IPv6.
        v6: Option<Cidr>,
    },
    /// The Node object says which source addresses do: see [`Self::with_pod_cidrs`].
    NodeCidr,
    /// What comes in by this device is local.
    BridgeInterface(String),
    /// What comes in by a device whose name begins like this is local.
    InterfaceNamePrefix(String),
}

impl LocalDetector {
    /// A detector by source addresses: the first range of each family counts; without any, there is no detector
    /// (semantics 5.13, 5.17).
    #[must_use]
    pub fn of_cidrs(cidrs: &[Cidr]) -> Self {
        let first = |family| cidrs.iter().copied().find(|cidr| cidr.family() == family);
        match (first(Family::V4), first(Family::V6)) {
            (None, None) => Self::None,
            (v4, v6) => Self::ClusterCidr { v4, v6 },
        }
    }

    /// The detector in force on a node with these pod ranges: of mode `NodeCIDR` the one by these, of any other itself.
    #[must_use]
    pub fn with_pod_cidrs(&self, pod_cidrs: &[Cidr]) -> Self {
        match self {
            Self::NodeCidr => Self::of_cidrs(pod_cidrs),
            Self::None
            | Self::ClusterCidr { .. }
            | Self::BridgeInterface(_)
            | Self::InterfaceNamePrefix(_) => self.clone(),
        }
    }

    /// Whether packets of a family are told apart at all.
    #[must_use]
    pub fn tells_apart(&self, family: Family) -> bool {
        match self {
            Self::None | Self::NodeCidr => false,
            Self::ClusterCidr { .. } => self.cidr(family).is_some(),
            Self::BridgeInterface(_) | Self::InterfaceNamePrefix(_) => true,
        }
    }

    /// Whether a packet with this source address that came in by this device is local. The node's own packets come in by
    /// none.
    #[must_use]
    pub fn recognises(&self, source: Address, device: Option<&str>) -> bool {
        match self {
            Self::None | Self::NodeCidr => false,
            Self::ClusterCidr { .. } => self
                .cidr(source.family())
                .is_some_and(|cidr| cidr.contains(&source)),
            Self::BridgeInterface(_) | Self::InterfaceNamePrefix(_) => {
                device.is_some_and(|name| self.recognises_device(name))
            }
        }
    }

    /// Whether every packet that comes in by the device of this name is local.
    #[must_use]
    pub fn recognises_device(&self, device: &str) -> bool {
        match self {
            Self::None | Self::NodeCidr | Self::ClusterCidr { .. } => false,
            Self::BridgeInterface(name) => device == name,
            Self::InterfaceNamePrefix(prefix) => device.starts_with(prefix.as_str()),
        }
    }

    /// The range of a family, of a detector by source addresses.
    #[must_use]
    pub fn cidr(&self, family: Family) -> Option<Cidr> {
        match (self, family) {
            (Self::ClusterCidr { v4, .. }, Family::V4) => *v4,
            (Self::ClusterCidr { v6, .. }, Family::V6) => *v6,
            (Self::None | Self::NodeCidr | Self::BridgeInterface(_) | Self::InterfaceNamePrefix(_), _) => {
                None
            }
        }
    }
}

impl LocalDetector {
    /// The source addresses that tell a client inside, by family.
    #[must_use]
    pub fn ranges(&self) -> BTreeMap<Family, AddressRange> {
        let families = [Family::V4, Family::V6].into_iter();
        families
            .filter_map(|family| Some((family, self.cidr(family)?.range())))
            .collect()
    }
}

/// A detector by source addresses, of which no packet of this node can have one (semantics 10.05).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} has only ranges of {found}, but this node has only {has}; give one of {has}")]
pub struct WrongFamily {
    /// Where the ranges come from.
    pub field: &'static str,
    found: Family,
    has: Family,
}

impl LocalDetector {
    /// Checks that a node which has only one family can use the ranges of it.
    ///
    /// # Errors
    ///
    /// When all ranges are of the other family.
    pub fn check_families(&self, field: &'static str, node: &[Family]) -> Result<(), WrongFamily> {
        let &[has] = node else {
            return Ok(());
        };
        match (self.cidr(Family::V4), self.cidr(Family::V6)) {
            (Some(only), None) | (None, Some(only)) if only.family() != has => Err(WrongFamily {
                field,
                found: only.family(),
                has,
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{parse_address, parse_cidr};

    fn cidrs(text: &str) -> Vec<Cidr> {
        text.split_whitespace()
            .map(|text| parse_cidr(text).expect("a range"))
            .collect()
    }

    #[test]
    fn local_packets_are_recognised() {
        let by = |text: &str| LocalDetector::of_cidrs(&cidrs(text));
        let bridge = LocalDetector::BridgeInterface("cni0".into());
        let prefix = LocalDetector::InterfaceNamePrefix("veth".into());
        let rows = [
            ("5.13 inside", by("10.244.0.0/16"), "10.244.3.1", None, true),
            ("5.13 outside", by("10.244.0.0/16"), "10.0.0.1", None, false),
            ("5.13 other family", by("10.244.0.0/16"), "fd00::1", None, false),
            (
                "5.13 both families",
                by("10.244.0.0/16 fd00::/64"),
                "fd00::1",
                None,
                true,
            ),
            (
                "5.13 only the first",
                by("10.1.0.0/16 10.2.0.0/16"),
                "10.2.0.1",
                None,
                false,
            ),
            ("5.17 no range", by(""), "10.244.3.1", Some("cni0"), false),
            ("5.15 the bridge", bridge.clone(), "192.0.2.1", Some("cni0"), true),
            ("5.15 IPv6", bridge.clone(), "fd00::1", Some("cni0"), true),
            (
                "5.15 another device",
                bridge.clone(),
                "10.244.3.1",
                Some("cni01"),
                false,
            ),
            ("5.16 the node itself", bridge, "10.244.3.1", None, false),
            ("5.15 prefix", prefix.clone(), "10.244.3.1", Some("veth12"), true),
            (
                "5.15 other prefix",
                prefix.clone(),
                "10.244.3.1",
                Some("eth0"),
                false,
            ),
            ("5.16 the node itself", prefix, "10.244.3.1", None, false),
            (
                "5.14 not known yet",
                LocalDetector::NodeCidr,
                "10.244.3.1",
                None,
                false,
            ),
        ];
        for (what, detector, source, device, expected) in rows {
            let source = parse_address(source).expect("an address");
            assert_eq!(detector.recognises(source, device), expected, "{what}");
        }
    }

    #[test]
    fn the_node_s_ranges_count_in_their_mode_5_14() {
        let ranges = cidrs("10.244.1.0/24 10.244.2.0/24 fd00:1::/64");
        let resolved = LocalDetector::NodeCidr.with_pod_cidrs(&ranges);
        assert_eq!(
            resolved,
            LocalDetector::ClusterCidr {
                v4: Some(ranges[0]),
                v6: Some(ranges[2])
            }
        );
        assert!(resolved.tells_apart(Family::V4) && resolved.tells_apart(Family::V6));
        let other = LocalDetector::of_cidrs(&ranges[..1]);
        assert_eq!(other.with_pod_cidrs(&ranges[2..]), other);
        assert!(!other.tells_apart(Family::V6));
    }

    #[test]
    fn ranges_of_a_family_that_the_node_lacks_10_05() {
        use Family::{V4, V6};
        let rows: [(&str, &str, &[Family], bool); 6] = [
            ("IPv6 ranges without IPv6", "fd00::/64", &[V4], false),
            ("IPv4 ranges without IPv4", "10.0.0.0/8", &[V6], false),
            ("both", "10.0.0.0/8 fd00::/64", &[V4], true),
            ("the right one", "10.0.0.0/8", &[V4], true),
            ("a node of both families", "fd00::/64", &[V4, V6], true),
            ("none", "", &[V4], true),
        ];
        for (what, ranges, node, fine) in rows {
            for detector in [
                LocalDetector::of_cidrs(&cidrs(ranges)),
                LocalDetector::NodeCidr.with_pod_cidrs(&cidrs(ranges)),
            ] {
                assert_eq!(
                    detector.check_families("clusterCIDR", node).is_ok(),
                    fine,
                    "{what}"
                );
            }
        }
    }
}
