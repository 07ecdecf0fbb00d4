//! The cluster that every row plays in: two nodes, seven pods, two clients outside, and the addresses of its services.
//!
//! Nodes and pods have the addresses that [`crate::cluster`] gives them, so that the same manifests fit every runner.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use kproxy_common::Family;

use crate::cluster::{Builder, Cluster, Cni, layout};

/// The node whose doors are looked at.
pub const NODE: &str = "a";
/// The other node.
pub const OTHER_NODE: &str = "b";
/// The pod whose packets are translated; it serves as well.
pub const CLIENT: &str = "client";
/// The pod whose sockets are translated; it serves as well. Its packets go straight to pods, which must not happen from
/// a port of [`CLIENT`] that a UDP flow through a service has used in the last two minutes.
pub const NATIVE: &str = "native";
/// A pod whose sockets are left to its door, which must not happen to [`NATIVE`]'s.
pub const STICKY: &str = "sticky";
/// Ports that every pod serves, over TCP and UDP.
pub const SERVED: [u16; 2] = [8080, 8081];

/// A pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: &'static str,
    /// The node it runs on.
    pub node: &'static str,
    number: (u16, u16),
}

/// Both families.
pub const FAMILIES: [Family; 2] = [Family::V4, Family::V6];
/// The cookie of [`NODE`]'s own network namespace, where there is no real one.
pub const NODE_NAMESPACE: u64 = 1;
/// Where `ClusterIPs` come from, once that is known.
pub const SERVICE_CIDRS: [&str; 2] = ["10.96.0.0/16", "fd96::/112"];

/// Where the addresses in [`Vip::Number`] come from.
pub const VIPS: [&str; 2] = ["198.51.100.0/24", "fd98::/64"];

/// The node itself: a process of its own asks from here, and its packets meet no door. It serves as well.
pub const HOST: Pod = Pod {
    name: NODE,
    node: "",
    number: (0, 1),
};

/// The nodes themselves.
pub const NODES: [Pod; 2] = [
    HOST,
    Pod {
        name: OTHER_NODE,
        node: "",
        number: (0, 2),
    },
];

/// Every pod.
pub const PODS: [Pod; 7] = [
    pod(CLIENT, NODE, (1, 2)),
    pod("web-1", NODE, (1, 3)),
    pod("other", NODE, (1, 4)),
    pod(NATIVE, NODE, (1, 5)),
    pod(STICKY, NODE, (1, 6)),
    pod("web-2", OTHER_NODE, (2, 2)),
    pod("web-3", OTHER_NODE, (2, 3)),
];

/// Clients outside: no nodes, and in no pod range. What they send to a service enters by [`NODE`]'s uplink.
pub const OUTSIDERS: [Pod; 2] = [outsider("outside", 100), outsider("elsewhere", 101)];
/// The one that most rows speak of.
pub const OUTSIDE: Pod = OUTSIDERS[0];
/// The ranges of pods' addresses, as the local-traffic detector knows them.
pub const POD_RANGES: [&str; 2] = ["10.244.0.0/16", "fd44::/48"];

const fn outsider(name: &'static str, number: u16) -> Pod {
    Pod {
        name,
        node: "",
        number: (0, number),
    }
}

const fn pod(name: &'static str, node: &'static str, number: (u16, u16)) -> Pod {
    Pod { name, node, number }
}

impl Pod {
    /// The pod, node or client outside of this name.
    ///
    /// # Panics
    /// When there is none: a mistake in a row.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let found = everybody().find(|pod| pod.name == name);
        found.unwrap_or_else(|| unreachable!("a row speaks of the pod {name}, which is not in world.rs"))
    }

    /// The pod, node or client outside with this address.
    #[must_use]
    pub fn at(address: IpAddr) -> Option<Self> {
        everybody().find(|pod| pod.address(Family::V4) == address || pod.address(Family::V6) == address)
    }

    /// Its address.
    #[must_use]
    pub fn address(self, family: Family) -> IpAddr {
        let (node, pod) = self.number;
        match family {
            Family::V4 if node == 0 => {
                let [_, number] = pod.to_be_bytes();
                Ipv4Addr::new(172, 30, 0, number).into()
            }
            Family::V6 if node == 0 => Ipv6Addr::new(0xfd30, 0, 0, 0, 0, 0, 0, pod).into(),
            Family::V4 => {
                let [node, pod] = [node, pod].map(|number| number.to_be_bytes()[1]);
                Ipv4Addr::new(10, 244, node, pod).into()
            }
            Family::V6 => Ipv6Addr::new(0xfd44, 0, 0, node, 0, 0, 0, pod).into(),
        }
    }

    /// Whether it is behind one of the doors of [`NODE`]'s pods.
    #[must_use]
    pub fn is_here(self) -> bool {
        self.node == NODE
    }

    /// Whether [`NODE`] reaches it by its uplink.
    #[must_use]
    pub fn is_elsewhere(self) -> bool {
        !self.is_here() && self != HOST
    }

    /// Whether it is a node.
    #[must_use]
    pub fn is_node(self) -> bool {
        NODES.contains(&self)
    }

    /// The node that it runs on, or is.
    #[must_use]
    pub fn node_name(self) -> &'static str {
        if self.node.is_empty() {
            self.name
        } else {
            self.node
        }
    }
}

fn everybody() -> impl Iterator<Item = Pod> {
    PODS.into_iter().chain(NODES).chain(OUTSIDERS)
}

/// The `ClusterIP` with this number.
#[must_use]
pub fn cluster_ip(number: u8, family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 96, 0, number).into(),
        Family::V6 => Ipv6Addr::new(0xfd96, 0, 0, 0, 0, 0, 0, number.into()).into(),
    }
}

/// The addresses by which [`NODE`] speaks to nodes and pods elsewhere: on the switch, and in an overlay.
#[must_use]
pub fn addresses_of_node(family: Family) -> [IpAddr; 2] {
    let overlay = layout::overlay(1);
    let in_overlay = match family {
        Family::V4 => overlay.v4.into(),
        Family::V6 => overlay.v6.into(),
    };
    [HOST.address(family), in_overlay]
}

/// What a client outside has to tell its kernel to reach the services of the cluster by [`NODE`].
#[must_use]
pub fn routes_of_outsiders() -> Vec<String> {
    let ranges = [SERVICE_CIDRS, VIPS].concat();
    let ways = ranges.iter().map(|range| {
        let family = if range.contains(':') {
            Family::V6
        } else {
            Family::V4
        };
        format!("route add {range} via {}", HOST.address(family))
    });
    ways.collect()
}

/// Whether a packet to this address reaches a kernel by itself: the asking one's own, or a node's.
#[must_use]
pub fn has_kernel(address: IpAddr) -> bool {
    let is_of = |node: &Pod| FAMILIES.iter().any(|family| node.address(*family) == address);
    address.is_loopback() || NODES.iter().any(is_of)
}

/// An address that a service has besides its `ClusterIP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vip {
    /// One that no interface has.
    Number(u8),
    /// An address of [`NODE`].
    Node,
}

impl Vip {
    /// The address.
    #[must_use]
    pub fn address(self, family: Family) -> IpAddr {
        match (self, family) {
            (Self::Number(number), Family::V4) => Ipv4Addr::new(198, 51, 100, number).into(),
            (Self::Number(number), Family::V6) => {
                Ipv6Addr::new(0xfd98, 0, 0, 0, 0, 0, 0, number.into()).into()
            }
            (Self::Node, family) => HOST.address(family),
        }
    }

    /// The address with a port.
    #[must_use]
    pub fn port(self, port: u16, family: Family) -> SocketAddr {
        (self.address(family), port).into()
    }
}

/// A `ClusterIP` with a port.
#[must_use]
pub fn service(number: u8, port: u16, family: Family) -> SocketAddr {
    (cluster_ip(number, family), port).into()
}

/// The same cluster as namespaces.
pub fn builder(name: &str, cni: Cni) -> Builder {
    let pods = |node: &'static str| PODS.into_iter().filter(move |pod| pod.node == node);
    let nodes = [NODE, OTHER_NODE]
        .into_iter()
        .fold(Cluster::builder(name).cni(cni), |builder, node| {
            builder.node(node, |description| {
                pods(node).fold(description, |description, pod| description.pod(pod.name))
            })
        });
    OUTSIDERS
        .into_iter()
        .fold(nodes, |builder, client| builder.client_outside(client.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::layout::Layout;

    #[test]
    fn addresses_are_those_of_the_netns_cluster() {
        let description = builder("x", Cni::Bridge).describe().unwrap();
        let layout = Layout::new(&description, "");
        for pod in everybody() {
            let host = layout.hosts().find(|host| host.name == pod.name).unwrap();
            assert_eq!(
                host.addresses.both(),
                [pod.address(Family::V4), pod.address(Family::V6)],
                "{}",
                pod.name
            );
        }
    }
}
