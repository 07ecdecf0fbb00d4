//! Names and addresses of everything in a cluster. Pure: the same description always gets the same addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use kproxy_common::Family;

use super::builder::{Cni, Description};

/// One address of each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// IPv4.
    pub v4: Ipv4Addr,
    /// IPv6.
    pub v6: Ipv6Addr,
}

impl Addresses {
    /// Both, IPv4 first.
    #[must_use]
    pub fn both(self) -> [IpAddr; 2] {
        [self.v4.into(), self.v6.into()]
    }
}

/// The one of this family.
#[must_use]
pub fn of<T>(family: Family, [v4, v6]: [T; 2]) -> T {
    match family {
        Family::V4 => v4,
        Family::V6 => v6,
    }
}

/// Everything in a cluster with its names and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How pods reach their node.
    pub cni: Cni,
    /// The switch.
    pub switch: HostLayout,
    /// Nodes with their pods.
    pub nodes: Vec<NodeLayout>,
    /// Clients outside.
    pub clients: Vec<HostLayout>,
}

/// One network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostLayout {
    /// Its name in the cluster.
    pub name: String,
    /// Name of its network namespace.
    pub namespace: String,
    /// Its addresses on the switch or, for a pod, in its node's pod range.
    pub addresses: Addresses,
    /// Host end of its cable: a port of the switch, or the pod's device in the node.
    pub device: String,
}

/// A node and its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLayout {
    /// The node itself.
    pub host: HostLayout,
    /// Number of the node, from 1; part of every address below.
    pub number: u16,
    /// Its pods.
    pub pods: Vec<HostLayout>,
}

/// Where the switch answers.
const SWITCH: Addresses = Addresses {
    v4: Ipv4Addr::new(172, 30, 0, 254),
    v6: Ipv6Addr::new(0xfd30, 0, 0, 0, 0, 0, 0, 0xfe),
};
/// Clients outside count from here on the switch, nodes from 1.
const FIRST_CLIENT: u16 = 100;
/// Pods count from here in their node's range: `.1` is the bridge's.
const FIRST_POD: u16 = 2;
/// The last address of a node's range.
const LAST: u16 = 254;

impl Layout {
    /// Gives everything in the description its names and addresses. `prefix` starts every namespace name.
    #[must_use]
    pub fn new(description: &Description, prefix: &str) -> Self {
        let host = |name: &str, addresses, device| HostLayout {
            name: name.to_owned(),
            namespace: format!("{prefix}{name}"),
            addresses,
            device,
        };
        let nodes = (1..).zip(&description.nodes).map(|(number, node)| NodeLayout {
            host: host(&node.name, on_switch(number), format!("port{number}")),
            number,
            pods: (FIRST_POD..)
                .zip(&node.pods)
                .map(|(pod, name)| host(name, in_node(number, pod), format!("pod{pod}")))
                .collect(),
        });
        let clients = (FIRST_CLIENT..)
            .zip(&description.clients)
            .map(|(number, name)| host(name, on_switch(number), format!("port{number}")));
        Self {
            cni: description.cni,
            switch: host("switch", SWITCH, String::new()),
            nodes: nodes.collect(),
            clients: clients.collect(),
        }
    }

    /// Every namespace of the cluster, the switch first.
    pub fn hosts(&self) -> impl Iterator<Item = &HostLayout> {
        let nodes = self
            .nodes
            .iter()
            .flat_map(|node| std::iter::once(&node.host).chain(&node.pods));
        std::iter::once(&self.switch).chain(nodes).chain(&self.clients)
    }
}

impl NodeLayout {
    /// First address of the node's pod range: the bridge's.
    #[must_use]
    pub fn gateway(&self) -> Addresses {
        in_node(self.number, 1)
    }

    /// The node's own addresses in the overlay, if there is one.
    #[must_use]
    pub fn overlay(&self) -> Addresses {
        overlay(self.number)
    }

    /// The node's pod ranges, IPv4 and IPv6.
    #[must_use]
    pub fn pod_ranges(&self) -> [String; 2] {
        let Addresses { v4, v6 } = in_node(self.number, 0);
        [format!("{v4}/24"), format!("{v6}/64")]
    }
}

/// The addresses of the node of this number in the overlay: behind those of its pods.
#[must_use]
pub fn overlay(node: u16) -> Addresses {
    in_node(node, LAST)
}

fn on_switch(number: u16) -> Addresses {
    Addresses {
        v4: Ipv4Addr::from_bits(Ipv4Addr::new(172, 30, 0, 0).to_bits() + u32::from(number)),
        v6: Ipv6Addr::new(0xfd30, 0, 0, 0, 0, 0, 0, number),
    }
}

fn in_node(node: u16, pod: u16) -> Addresses {
    let base = Ipv4Addr::new(10, 244, 0, 0).to_bits();
    Addresses {
        v4: Ipv4Addr::from_bits(base + (u32::from(node) << 8) + u32::from(pod)),
        v6: Ipv6Addr::new(0xfd44, 0, 0, node, 0, 0, 0, pod),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;

    #[test]
    fn addresses_follow_from_the_order() {
        let description = Cluster::builder("x")
            .node("a", |node| node.pod("one").pod("two"))
            .node("b", |node| node.pod("three"))
            .client_outside("ext")
            .describe()
            .unwrap();

        let layout = Layout::new(&description, "kp1-x-");

        let seen: Vec<_> = layout
            .hosts()
            .map(|host| format!("{} {} {}", host.namespace, host.addresses.v4, host.addresses.v6))
            .collect();
        assert_eq!(
            seen,
            [
                "kp1-x-switch 172.30.0.254 fd30::fe",
                "kp1-x-a 172.30.0.1 fd30::1",
                "kp1-x-one 10.244.1.2 fd44:0:0:1::2",
                "kp1-x-two 10.244.1.3 fd44:0:0:1::3",
                "kp1-x-b 172.30.0.2 fd30::2",
                "kp1-x-three 10.244.2.2 fd44:0:0:2::2",
                "kp1-x-ext 172.30.0.100 fd30::64",
            ]
        );
    }
}
