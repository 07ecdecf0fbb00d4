//! The ways to the service, and who can go them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use kproxy_tests::cluster::{Cluster, Host};

use super::service::{NODE_PORT, PORT, addresses};

/// One kind of frontend, by its address of each family.
pub(crate) struct Frontend<'a> {
    pub(crate) kind: &'static str,
    pub(crate) to: [SocketAddr; 2],
    /// A client in each of these.
    pub(crate) clients: Vec<&'a Host>,
}

/// Every frontend of the service that clients on node `a` can ask.
pub(crate) fn all(cluster: &Cluster) -> [Frontend<'_>; 3] {
    let (pod, node) = (cluster.pod("client"), cluster.node("a").host());
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    [
        Frontend {
            kind: "ClusterIP",
            to: cluster_ip(),
            clients: vec![pod, node],
        },
        Frontend {
            kind: "NodePort",
            to: with_port(node.addresses().both(), NODE_PORT),
            clients: vec![pod, node],
        },
        // 3.27: the node's own processes only.
        Frontend {
            kind: "NodePort on loopback",
            to: with_port(loopback, NODE_PORT),
            clients: vec![node],
        },
    ]
}

/// The service's own sockets.
pub(crate) fn cluster_ip() -> [SocketAddr; 2] {
    with_port(addresses(), PORT)
}

pub(crate) fn with_port(addresses: [IpAddr; 2], port: u16) -> [SocketAddr; 2] {
    addresses.map(|address| SocketAddr::new(address, port))
}
