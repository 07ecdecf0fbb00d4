//! Who serves which client outside, where its hash decides and not chance.

use std::net::SocketAddr;

use kproxy::plan::{Endpoint, maglev};
use kproxy_common::maglev::{client_hash, flow_hash, place};
use kproxy_common::{Address, Family, Port};

use super::state::Protocol;
use super::world::Pod;

/// The one of these pods that serves a new flow of a client to this port, at whatever address and by whatever node.
///
/// # Panics
/// With less than two pods, for which there is no table.
#[must_use]
pub fn by_flow(
    pods: &[&'static str],
    client: SocketAddr,
    (to, protocol): (u16, Protocol),
    target: u16,
) -> &'static str {
    let protocol = match protocol {
        Protocol::Tcp => kproxy_common::Protocol::TCP,
        Protocol::Udp => kproxy_common::Protocol::UDP,
        Protocol::Sctp => kproxy_common::Protocol::SCTP,
    };
    let address = Address::from(client.ip());
    let hash = flow_hash(&address, Port::new(client.port()), Port::new(to), protocol);
    owner(pods, address.family(), target, hash)
}

/// The one that serves a client for whom it shall be always the same.
///
/// # Panics
/// With less than two pods, for which there is no table.
#[must_use]
pub fn by_client(pods: &[&'static str], client: Pod, family: Family, target: u16) -> &'static str {
    let hash = client_hash(&client.address(family).into());
    owner(pods, family, target, hash)
}

fn owner(pods: &[&'static str], family: Family, target: u16, hash: u32) -> &'static str {
    let endpoint = |name: &&'static str| {
        let address = Pod::named(name).address(family).into();
        let port = Port::new(target);
        (Endpoint { address, port }, *name)
    };
    let mut pods: Vec<_> = pods.iter().map(endpoint).collect();
    pods.sort_unstable();
    let Some(size) = maglev::size(pods.len()) else {
        unreachable!("a row speaks of a table for {pods:?}")
    };
    let table = maglev::table(pods.iter().map(|(endpoint, _)| *endpoint), size);
    pods[table[place(hash, size) as usize] as usize].1
}
