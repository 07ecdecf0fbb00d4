//! What has to be said to the kernel for a layout: lines for `ip -batch`, and sysctls. Pure.
//!
//! Order matters and is the caller's: namespaces, [`sysctls`] (devices inherit them when they are made), [`switch`],
//! then for each node [`node`] and [`node_sysctls`], each [`pod`], each [`client`], and last [`switch_routes`], when the
//! links of the others are up.

use super::{
    builder::Cni,
    layout::{HostLayout, Layout, NodeLayout},
};

/// The gateway that routed pods see, as with Calico; the node answers ARP for it.
const ROUTED_GATEWAY_V4: &str = "169.254.1.1";
/// The link-local gateway of routed pods, which the host end of the cable really has.
const ROUTED_GATEWAY_V6: &str = "fe80::1";
/// Fixed, because a bridge's own address otherwise changes with its ports, under the feet of its neighbours.
const BRIDGE_ADDRESS: &str = "02:00:00:00:00:01";
/// A node's device in the overlay.
const OVERLAY: &str = "vxlan0";

/// A path below `/proc/sys` and what to write there.
pub type Sysctl = (String, &'static str);

/// Settings of every namespace, before it has devices.
#[must_use]
pub fn sysctls(forwards: bool) -> Vec<Sysctl> {
    let every = [
        ("net/ipv6/conf/all/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv6/conf/all/accept_ra", "0"),
        ("net/ipv6/conf/default/accept_ra", "0"),
        ("net/ipv4/conf/all/rp_filter", "1"),
        ("net/ipv4/conf/default/rp_filter", "1"),
        // A test that is refused a hundred times must hear it a hundred times.
        ("net/ipv4/icmp_ratelimit", "0"),
        ("net/ipv6/icmp/ratelimit", "0"),
    ];
    let forwarding = [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv6/conf/all/forwarding", "1"),
    ];
    let forwarding = forwarding.into_iter().filter(|_| forwards);
    every
        .into_iter()
        .chain(forwarding)
        .map(|(path, value)| (path.to_owned(), value))
        .collect()
}

/// The switch: a bridge with a port for each node and client, and an address of its own.
#[must_use]
pub fn switch(layout: &Layout) -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("link add br0 address {BRIDGE_ADDRESS} type bridge mcast_snooping 0"),
        "link set br0 up".to_owned(),
    ];
    lines.extend(addresses(&layout.switch, "br0", [24, 64]));
    for host in layout.nodes.iter().map(|node| &node.host).chain(&layout.clients) {
        lines.push(format!(
            "link add {} type veth peer name eth0 netns {}",
            host.device, host.namespace
        ));
        lines.push(format!("link set {} master br0 up", host.device));
    }
    lines
}

/// The switch's routes: pods through their nodes, everything else is answered with an error. A packet to a service
/// address that nobody translated ends here, loudly.
#[must_use]
pub fn switch_routes(layout: &Layout) -> Vec<String> {
    let mut lines = vec![
        "route add unreachable 0.0.0.0/0".to_owned(),
        "route add unreachable ::/0".to_owned(),
    ];
    if layout.cni != Cni::Vxlan {
        lines.extend(layout.nodes.iter().flat_map(routes_to_pods_of));
    }
    lines
}

/// A node: its cable to the switch, the way to the pods of the others, and its own pods' devices.
#[must_use]
pub fn node(layout: &Layout, node: &NodeLayout) -> Vec<String> {
    let mut lines = host_on_switch(layout, &node.host);
    let others = layout.nodes.iter().filter(|other| other.number != node.number);
    match layout.cni {
        Cni::RoutedVeth | Cni::Bridge => lines.extend(others.flat_map(routes_to_pods_of)),
        Cni::Vxlan => {
            lines.extend(overlay(node));
            lines.extend(others.flat_map(routes_through_the_overlay));
        }
    }
    match layout.cni {
        // As Calico does for its block: an address of our range without a pod is nobody's, and must not loop.
        Cni::RoutedVeth => lines.extend(
            node.pod_ranges()
                .map(|range| format!("route add unreachable {range}")),
        ),
        Cni::Bridge | Cni::Vxlan => {
            let (gateway, mtu) = (node.gateway(), mtu(layout.cni));
            lines.extend([
                format!("link add cni0 mtu {mtu} address {BRIDGE_ADDRESS} type bridge mcast_snooping 0"),
                "link set cni0 up".to_owned(),
                format!("address add {}/24 dev cni0", gateway.v4),
                format!("address add {}/64 dev cni0 nodad", gateway.v6),
            ]);
        }
    }
    for pod in &node.pods {
        lines.extend(pod_device(layout.cni, pod));
    }
    lines
}

/// The node's end of a pod's cable.
fn pod_device(cni: Cni, pod: &HostLayout) -> Vec<String> {
    let HostLayout {
        name: _,
        namespace,
        addresses,
        device,
    } = pod;
    let mtu = mtu(cni);
    let mut lines = vec![format!(
        "link add {device} mtu {mtu} type veth peer name eth0 mtu {mtu} netns {namespace}"
    )];
    match cni {
        Cni::RoutedVeth => lines.extend([
            format!("link set {device} address ee:ee:ee:ee:ee:ee addrgenmode none"),
            format!("link set {device} up"),
            format!("address add {ROUTED_GATEWAY_V6}/64 dev {device} nodad"),
            format!("route add {}/32 dev {device} scope link", addresses.v4),
            format!("route add {}/128 dev {device}", addresses.v6),
        ]),
        Cni::Bridge | Cni::Vxlan => lines.push(format!("link set {device} master cni0 up")),
    }
    lines
}

/// Settings of a node's devices, once they exist.
#[must_use]
pub fn node_sysctls(layout: &Layout, node: &NodeLayout) -> Vec<Sysctl> {
    match layout.cni {
        Cni::RoutedVeth => node.pods.iter().flat_map(|pod| proxy_arp(&pod.device)).collect(),
        Cni::Bridge => Vec::new(),
        // What a pod sends to another node by its address on the switch is answered through the overlay.
        Cni::Vxlan => ["eth0", OVERLAY]
            .map(|device| (format!("net/ipv4/conf/{device}/rp_filter"), "2"))
            .to_vec(),
    }
}

/// A node's place in the overlay: nodes find each other by multicast on the switch.
fn overlay(node: &NodeLayout) -> Vec<String> {
    let (local, own, mtu) = (node.host.addresses.v4, node.overlay(), mtu(Cni::Vxlan));
    vec![
        format!(
            "link add {OVERLAY} mtu {mtu} type vxlan id 42 group 239.0.0.42 dev eth0 local {local} dstport 4789"
        ),
        format!("link set {OVERLAY} up"),
        format!("address add {}/32 dev {OVERLAY}", own.v4),
        format!("address add {}/128 dev {OVERLAY} nodad", own.v6),
    ]
}

fn routes_through_the_overlay(other: &NodeLayout) -> impl Iterator<Item = String> {
    let ways = other.pod_ranges().into_iter().zip(other.overlay().both());
    ways.map(|(range, via)| format!("route add {range} via {via} dev {OVERLAY} onlink"))
}

/// What fits: VXLAN over IPv4 takes 50 bytes of an Ethernet frame (RFC 7348 section 5).
const fn mtu(cni: Cni) -> u16 {
    match cni {
        Cni::RoutedVeth | Cni::Bridge => 1500,
        Cni::Vxlan => 1450,
    }
}

fn proxy_arp(device: &str) -> [Sysctl; 2] {
    [
        (format!("net/ipv4/conf/{device}/proxy_arp"), "1"),
        // Answers wait up to 0.8 s otherwise.
        (format!("net/ipv4/neigh/{device}/proxy_delay"), "0"),
    ]
}

/// Inside a pod.
#[must_use]
pub fn pod(layout: &Layout, node: &NodeLayout, pod: &HostLayout) -> Vec<String> {
    let mut lines = vec!["link set lo up".to_owned(), "link set eth0 up".to_owned()];
    match layout.cni {
        Cni::RoutedVeth => {
            lines.extend(addresses(pod, "eth0", [32, 128]));
            lines.push(format!("route add {ROUTED_GATEWAY_V4} dev eth0 scope link"));
            lines.extend(
                [ROUTED_GATEWAY_V4, ROUTED_GATEWAY_V6]
                    .map(|via| format!("route add default via {via} dev eth0")),
            );
        }
        Cni::Bridge | Cni::Vxlan => {
            lines.extend(addresses(pod, "eth0", [24, 64]));
            lines.extend(
                node.gateway()
                    .both()
                    .map(|via| format!("route add default via {via}")),
            );
        }
    }
    lines
}

/// Inside a client outside.
#[must_use]
pub fn client(layout: &Layout, client: &HostLayout) -> Vec<String> {
    host_on_switch(layout, client)
}

fn host_on_switch(layout: &Layout, host: &HostLayout) -> Vec<String> {
    let mut lines = vec!["link set lo up".to_owned(), "link set eth0 up".to_owned()];
    lines.extend(addresses(host, "eth0", [24, 64]));
    lines.extend(
        layout
            .switch
            .addresses
            .both()
            .map(|via| format!("route add default via {via}")),
    );
    lines
}

fn addresses(host: &HostLayout, device: &str, [v4, v6]: [u8; 2]) -> [String; 2] {
    [
        format!("address add {}/{v4} dev {device}", host.addresses.v4),
        format!("address add {}/{v6} dev {device} nodad", host.addresses.v6),
    ]
}

fn routes_to_pods_of(node: &NodeLayout) -> impl Iterator<Item = String> {
    let ways = node.pod_ranges().into_iter().zip(node.host.addresses.both());
    ways.map(|(range, via)| format!("route add {range} via {via}"))
}
