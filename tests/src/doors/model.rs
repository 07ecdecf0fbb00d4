//! What may become of a packet: frontends with their backends, and the memory of what was translated.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail, ensure};
use kproxy_common::Family;

use super::event::Entrance;
use super::packet::Headers;
use crate::acceptance::state::{PORT, State, shop, web};
use crate::acceptance::world::{FAMILIES, HOST, Pod, Vip, cluster_ip};

/// The pods of the whole cluster, as the local-traffic detector knows them.
pub(super) const PODS_V4: (&str, u8) = ("10.244.0.0", 16);
pub(super) const PODS_V6: (&str, u8) = ("fd44::", 16);
/// Who may ask the guarded load balancer.
const GUARDED_FOR: [&str; 2] = ["192.0.2.0/25", "2001:db8:1::/64"];

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

const LOCAL: &str = "web-1";
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

/// Who has asked what, and what it became.
#[derive(Debug, Default)]
pub(super) struct Model {
    requests: HashMap<(u8, SocketAddr, SocketAddr), (SocketAddr, SocketAddr)>,
    answers: HashMap<(u8, SocketAddr, SocketAddr), (SocketAddr, SocketAddr)>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// What the backends of all flows send, and what clients did: the seeds of further packets.
    pub(super) fn known(&self) -> impl Iterator<Item = (u8, SocketAddr, SocketAddr)> + '_ {
        self.answers.keys().chain(self.requests.keys()).copied()
    }

    /// Whether a packet may have become this one.
    pub(super) fn judge(
        &mut self,
        entrance: Entrance,
        before: &Headers,
        after: &Headers,
    ) -> anyhow::Result<()> {
        ensure!(before.protocol == after.protocol, "it has another protocol");
        if before.is_icmp() {
            return self.judge_icmp(before, after);
        }
        let (Some(from), Some(to)) = (before.ends(), after.ends()) else {
            return self.judge_fragment(before, after);
        };
        let key = (before.protocol, from.0, from.1);
        if self.answers.get(&key) == Some(&to) || self.requests.get(&key) == Some(&to) {
            return Ok(());
        }
        self.judge_request(entrance, key, to)
    }

    fn judge_request(
        &mut self,
        entrance: Entrance,
        (protocol, client, asked): (u8, SocketAddr, SocketAddr),
        (source, backend): (SocketAddr, SocketAddr),
    ) -> anyhow::Result<()> {
        let is_uplink = match entrance {
            Entrance::PodIngress => false,
            Entrance::UplinkIngress => true,
            Entrance::PodEgress | Entrance::UplinkEgress => bail!("something leaves that answers nothing"),
        };
        let inside = !is_uplink || is_pod(client.ip());
        let allowed = backends(protocol, client.ip(), asked, inside).context("it goes to no frontend")?;
        ensure!(allowed.contains(&backend), "{backend} is not for it: {allowed:?}");
        let local = Pod::named(LOCAL).address(family(backend.ip())) == backend.ip();
        let hairpin = client.ip() == backend.ip();
        let stands_in = match (is_uplink, hairpin) {
            (false, true) => asked.ip(),
            (true, _) if hairpin || !local => HOST.address(family(backend.ip())),
            _ => client.ip(),
        };
        ensure!(
            source.ip() == stands_in,
            "{source} stands in for {client}, not {stands_in}"
        );
        if is_uplink {
            let martian = client.ip().is_loopback()
                || client.ip().is_multicast()
                || client.ip().is_unspecified()
                || client.ip() == asked.ip()
                || client.ip() == HOST.address(family(client.ip()));
            ensure!(!martian, "nobody outside has the address {client}");
        }
        // A later flow may take over what an earlier one has left.
        self.requests.insert((protocol, client, asked), (source, backend));
        self.answers.insert((protocol, backend, source), (asked, client));
        Ok(())
    }

    /// A fragment follows a flow between the same two addresses.
    fn judge_fragment(&self, before: &Headers, after: &Headers) -> anyhow::Result<()> {
        let mut flows = self.requests.iter().chain(&self.answers);
        let follows = flows.any(|((protocol, from, to), (source, destination))| {
            *protocol == before.protocol
                && (from.ip(), to.ip()) == (before.source, before.destination)
                && (source.ip(), destination.ip()) == (after.source, after.destination)
        });
        ensure!(follows, "it has no ports, and follows no flow");
        Ok(())
    }

    /// An error message goes to an end of a flow; an answered echo to who has asked.
    fn judge_icmp(&self, before: &Headers, after: &Headers) -> anyhow::Result<()> {
        if after.is_answered_echo(before) {
            ensure!(
                is_service(before.destination),
                "{} is no service's",
                before.destination
            );
            return Ok(());
        }
        let mut ends = self.requests.iter().chain(&self.answers);
        ensure!(
            ends.any(|(_, (_, destination))| destination.ip() == after.destination),
            "an error message goes to {}, who has no flow",
            after.destination
        );
        Ok(())
    }
}

/// The backends that a client may be given; `None` if nobody stands on the frontend.
fn backends(protocol: u8, client: IpAddr, asked: SocketAddr, inside: bool) -> Option<Vec<SocketAddr>> {
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
        TCP | UDP if is(Vip::Number(3), PORT) && !is_guest(client) => None,
        TCP | UDP if is(Vip::Number(3), PORT) || node_port(30_090) => Some(if inside {
            all(&[LOCAL, REMOTE[0], REMOTE[1]], 8080)
        } else {
            all(&[LOCAL], 8080)
        }),
        _ => None,
    }
}

/// Whether a client is in the ranges of the guarded load balancer.
fn is_guest(client: IpAddr) -> bool {
    match client {
        IpAddr::V4(v4) => v4.octets()[..3] == [192, 0, 2] && v4.octets()[3] < 128,
        IpAddr::V6(v6) => v6.segments()[..4] == [0x2001, 0xdb8, 1, 0],
    }
}

fn is_pod(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..2] == [10, 244],
        IpAddr::V6(v6) => v6.segments()[0] == 0xfd44,
    }
}

fn is_service(address: IpAddr) -> bool {
    FAMILIES.into_iter().any(|family| {
        [cluster_ip(10, family), cluster_ip(20, family)].contains(&address)
            || [1, 2, 3]
                .map(|number| Vip::Number(number).address(family))
                .contains(&address)
    })
}

fn family(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}
