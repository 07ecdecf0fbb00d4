//! Who holds which cluster address and node port. Kept beside the objects so that creating a service does not
//! search all others.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value;

use super::object::{Key, Object};

/// A node port and its protocol's name.
type NodePort = (u16, String);

/// Addresses and ports in use.
#[derive(Debug, Default)]
pub(crate) struct Allocations {
    addresses: BTreeMap<IpAddr, Key>,
    node_ports: BTreeMap<NodePort, Key>,
}

impl Allocations {
    /// Follows a write of any object; only services hold anything.
    pub(crate) fn change(&mut self, key: &Key, before: Option<&Object>, after: Option<&Object>) {
        if key.resource != "services" {
            return;
        }
        if let Some(before) = before {
            addresses(&before.value).for_each(|address| remove_own(&mut self.addresses, &address, key));
            node_ports(&before.value).for_each(|port| remove_own(&mut self.node_ports, &port, key));
        }
        if let Some(after) = after {
            self.addresses
                .extend(addresses(&after.value).map(|address| (address, key.clone())));
            self.node_ports
                .extend(node_ports(&after.value).map(|port| (port, key.clone())));
        }
    }

    /// The service that holds an address.
    pub(crate) fn address_holder(&self, address: IpAddr) -> Option<&Key> {
        self.addresses.get(&address)
    }

    /// The highest address in use between two.
    pub(crate) fn highest_between(&self, first: IpAddr, last: IpAddr) -> Option<IpAddr> {
        self.addresses
            .range(first..=last)
            .next_back()
            .map(|(address, _)| *address)
    }

    /// The service that holds a node port.
    pub(crate) fn node_port_holder(&self, port: u16, protocol: &str) -> Option<&Key> {
        self.node_ports.get(&(port, protocol.to_owned()))
    }
}

/// Objects stored unchecked may share an address: only its latest holder gives it up.
fn remove_own<T: Ord>(held: &mut BTreeMap<T, Key>, item: &T, key: &Key) {
    if held.get(item) == Some(key) {
        held.remove(item);
    }
}

fn addresses(service: &Value) -> impl Iterator<Item = IpAddr> {
    let texts = service.pointer("/spec/clusterIPs").and_then(Value::as_array);
    texts
        .into_iter()
        .flatten()
        .filter_map(|text| text.as_str()?.parse().ok())
}

fn node_ports(service: &Value) -> impl Iterator<Item = NodePort> {
    let ports = service.pointer("/spec/ports").and_then(Value::as_array);
    ports.into_iter().flatten().filter_map(|port| {
        let number = u16::try_from(port.get("nodePort")?.as_u64()?).ok()?;
        let protocol = port.get("protocol").and_then(Value::as_str).unwrap_or("TCP");
        (number != 0).then(|| (number, protocol.to_owned()))
    })
}
