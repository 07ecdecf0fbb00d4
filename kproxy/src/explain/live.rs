//! The node that this runs on, from its pinned maps.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use kproxy_common::{Address, BackendFlags, Family};
use kproxy_ebpf::Tables as _;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use super::explainer::Explainer;
use super::names::Names;
use super::surroundings::Surroundings;
use crate::config::LocalDetector;
use crate::dataplane::{Pinned, PinnedTables};

/// The answering machine of a living node.
pub type LiveExplainer = Explainer<PinnedTables>;

/// Answers from the maps of a running node, with its loaded program at the pod's door. Nothing in them changes.
///
/// # Errors
/// When a map can not be read, the program can not be loaded a second time, or the node's addresses can not be listed.
pub fn live(pinned: &Pinned, detector: LocalDetector) -> Result<LiveExplainer> {
    let contents = pinned.contents()?;
    let names = Names::new(&pinned.names()?, &contents.frontends);
    let tables = pinned.tables()?;
    let mut node = own_addresses().context("list the addresses of this node")?;
    let known = [Family::V4, Family::V6].map(|family| tables.node_address(family));
    node.extend(known.into_iter().flatten());
    let local = contents
        .backends
        .iter()
        .filter(|backend| backend.flags.contains(BackendFlags::ALIVE | BackendFlags::LOCAL));
    let pods = local
        .map(|backend| backend.address)
        .filter(|address| !node.contains(address))
        .collect();
    let surroundings = Surroundings { node, pods, detector };
    Ok(Explainer::new(tables, names, surroundings).with_trial(pinned.trial()?))
}

/// Every address of this network namespace's interfaces.
fn own_addresses() -> nix::Result<BTreeSet<Address>> {
    let ip = |address: SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|it| Address::from(it.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|it| it.ip().into()))
    };
    Ok(getifaddrs()?
        .filter_map(|interface| ip(interface.address?))
        .collect())
}
