//! The cluster that the model speaks of: frontends with their backends, and who may ask them.

use std::net::{IpAddr, SocketAddr};

use kproxy_common::Family;

use super::event::Entrance;
use super::packet::{SCTP, TCP, UDP};
use crate::acceptance::state::{PORT, State, shop, web};
use crate::acceptance::world::{FAMILIES, HOST, Pod, Vip, cluster_ip};

/// The pods of the whole cluster, as the local-traffic detector knows them.
pub(super) const PODS_V4: (&str, u8) = ("10.244.0.0", 16);
pub(super) const PODS_V6: (&str, u8) = ("fd44::", 16);
/// Who may ask the guarded load balancer.
const GUARDED_FOR: [&str; 2] = ["192.0.2.0/25", "2001:db8:1::/64"];
/// The pod on the node that is asked.
pub(super) const LOCAL: &str = "web-1";
/// Pods on others.
const REMOTE: [&str; 2] = ["web-2", "web-3"];

/// The cluster that the model speaks of: `web` is open to all, `shop` has local endpoints only for clients outside and a
/// guarded load balancer.
pub(super) fn state() -> State {
    State::of([
        web(&[LOCAL, REMOTE[0]])
            .sctp(9000)
            .node_port(30_080)
            .external_ips(&[Vip::Number(2)])
            .load_balancer(&[Vip::Number(1)]),
        shop(&[LOCAL, REMOTE[0], REMOTE[1]])
            .node_port(30_090)
            .load_balancer(&[Vip::Number(3)])
            .source_ranges(&GUARDED_FOR)
            .external_local(),
    ])
    .with_service_cidrs()
}

/// The backends that a client may be given; `None` if nobody stands on the frontend.
pub(super) fn backends(
    protocol: u8,
    client: IpAddr,
    asked: SocketAddr,
    inside: bool,
) -> Option<Vec<SocketAddr>> {
    let family = family(asked.ip());
    let all = |pods: &[&str], port| {
        pods.iter()
            .map(|pod| (Pod::named(pod).address(family), port).into())
            .collect()
    };
    let is = |vip: Vip, port| asked == vip.port(port, family);
    let node_port = |port| asked.ip() == HOST.address(family) && asked.port() == port;
    let open = asked == (cluster_ip(10, family), PORT).into()
        || is(Vip::Number(1), PORT)
        || is(Vip::Number(2), PORT);
    match protocol {
        SCTP if open || node_port(30_080) => Some(all(&[LOCAL, REMOTE[0]], 9000)),
        TCP | UDP if open || node_port(30_080) => Some(all(&[LOCAL, REMOTE[0]], 8080)),
        TCP | UDP if asked == (cluster_ip(20, family), PORT).into() => {
            Some(all(&[LOCAL, REMOTE[0], REMOTE[1]], 8080))
        }
        TCP | UDP if is_closed(protocol, client, asked) => None,
        TCP | UDP if is(Vip::Number(3), PORT) || node_port(30_090) => Some(if inside {
            all(&[LOCAL, REMOTE[0], REMOTE[1]], 8080)
        } else {
            all(&[LOCAL], 8080)
        }),
        _ => None,
    }
}

/// Whether it asks the guarded load balancer, and may not.
pub(super) fn is_closed(protocol: u8, client: IpAddr, asked: SocketAddr) -> bool {
    let is_guest = match client {
        IpAddr::V4(v4) => v4.octets()[..3] == [192, 0, 2] && v4.octets()[3] < 128,
        IpAddr::V6(v6) => v6.segments()[..4] == [0x2001, 0xdb8, 1, 0],
    };
    [TCP, UDP].contains(&protocol) && asked == Vip::Number(3).port(PORT, family(asked.ip())) && !is_guest
}

/// Whether no packet that comes in there for this address can be from that one.
pub(super) fn is_martian(entrance: Entrance, source: IpAddr, destination: IpAddr) -> bool {
    let is_outside = entrance == Entrance::UplinkIngress;
    // A load balancer's own address may ask it inside (3.44).
    let is_land = is_outside && source == destination;
    let is_entered = is_outside || entrance == Entrance::PodIngress;
    is_entered
        && (is_land || !is_unicast(source) || source == HOST.address(family(source)) || is_cluster_ip(source))
}

/// Whether it may be one host's.
pub(super) fn is_unicast(address: IpAddr) -> bool {
    let is_group = match address {
        IpAddr::V4(v4) => v4.octets()[0] >= 224,
        IpAddr::V6(v6) => v6.is_multicast(),
    };
    !is_group && !address.is_unspecified() && !address.is_loopback()
}

pub(super) fn is_pod(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..2] == [10, 244],
        IpAddr::V6(v6) => v6.segments()[0] == 0xfd44,
    }
}

pub(super) fn is_in_service_cidr(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..2] == [10, 96],
        IpAddr::V6(v6) => v6.segments()[..7] == [0xfd96, 0, 0, 0, 0, 0, 0],
    }
}

pub(super) fn is_cluster_ip(address: IpAddr) -> bool {
    [10, 20]
        .map(|number| cluster_ip(number, family(address)))
        .contains(&address)
}

pub(super) fn is_service(address: IpAddr) -> bool {
    is_cluster_ip(address)
        || FAMILIES.into_iter().any(|family| {
            [1, 2, 3]
                .map(|number| Vip::Number(number).address(family))
                .contains(&address)
        })
}

pub(super) fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}
