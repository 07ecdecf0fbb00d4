//! What the library saw, in words.

use kproxy_common::{AddressRole, BackendFlags, Counter, Frontend, FrontendFlags, FrontendKey, Tuple};
use kproxy_ebpf::lookup::Side;

use super::answer::FrontendKind;
use super::names::Names;
use super::replay::Event;
use crate::plan::{Endpoint, Listener};

/// What an event means, unless it is a matter of course.
pub(super) fn step(event: &Event, (side, hashed): (Side, bool), names: &Names) -> Option<String> {
    Some(match event {
        Event::Address(address, role) => format!("ADDRESSES: {address} is {}", roles(*role)),
        Event::Frontend(key, None) => format!("FRONTENDS: there is no {}", listener(key)),
        Event::Frontend(key, Some(frontend)) => {
            format!(
                "FRONTENDS: {} is {}",
                listener(key),
                offer(frontend, (side, hashed), names)
            )
        }
        Event::Flow(_) => "FLOWS: a connection with these addresses and ports is known".into(),
        Event::SocketFlow(_) => "SOCKET_FLOWS: the socket has sent there before".into(),
        Event::SourceRange(_, client, contained) => {
            let or_not = if *contained { "in one" } else { "in none" };
            format!("SOURCE_RANGES: {client} is {or_not} of the service's ranges")
        }
        Event::Affinity(key, Some(_)) => {
            format!("AFFINITY: {} has asked the service before", key.client)
        }
        Event::Affinity(key, None) => {
            format!("AFFINITY: {} has not asked the service before", key.client)
        }
        Event::Slot(index, backend) => {
            let who = if hashed { "the client's hash" } else { "chance" };
            format!("SLOTS: {who} picks {index}, record {}", backend.0)
        }
        Event::Backend(index, backend) => {
            let endpoint = Endpoint {
                address: backend.address,
                port: backend.port,
            };
            let place = if backend.flags.contains(BackendFlags::LOCAL) {
                "on this node"
            } else {
                "on another node"
            };
            format!("BACKENDS: record {} is {endpoint}, {place}", index.0)
        }
        Event::Counted(counter @ (Counter::StaleBackend | Counter::Raced | Counter::LeftToPacket)) => {
            format!("counted as {}", counter.name())
        }
        Event::Counted(_) => return None,
    })
}

/// Where a packet goes, as people write it.
pub(super) fn target(tuple: &Tuple) -> String {
    let key = FrontendKey::new(tuple.destination, tuple.destination_port, tuple.protocol);
    Listener(key).to_string()
}

fn roles(role: AddressRole) -> String {
    let words = [
        (AddressRole::SERVICE, "an address of a service"),
        (AddressRole::CLUSTER_IP, "a ClusterIP in use"),
        (AddressRole::NODE, "an address of this node that serves NodePorts"),
        (AddressRole::EXEMPT, "a ClusterIP that is not served here"),
        (AddressRole::OWN, "an address of this node"),
    ];
    let word = |(name, bit)| {
        let known = words.iter().find(|(known, _)| *known == bit);
        known.map_or(name, |(_, word)| *word)
    };
    let words: Vec<_> = role.iter_names().map(word).collect();
    if words.is_empty() {
        "not known".into()
    } else {
        words.join(", ")
    }
}

fn listener(key: &FrontendKey) -> String {
    if key.address.is_unspecified() {
        format!("NodePort {} {}", key.port, key.protocol)
    } else {
        Listener(*key).to_string()
    }
}

fn offer(frontend: &Frontend, (side, hashed): (Side, bool), names: &Names) -> String {
    let (run, local, who) = match side {
        Side::Inside => (frontend.inside, FrontendFlags::INSIDE_LOCAL, "inside"),
        Side::Outside => (frontend.outside, FrontendFlags::OUTSIDE_LOCAL, "outside"),
    };
    let set = if frontend.flags.contains(local) {
        "Local"
    } else {
        "Cluster"
    };
    let what = if hashed { "slots of a table" } else { "backends" };
    format!(
        "{} of {}, whose {set} set serves clients {who}: {} {what}",
        FrontendKind::of(frontend.flags),
        names.of(frontend.service),
        run.count
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_of_an_address_has_words() {
        assert_eq!(roles(AddressRole::empty()), "not known");
        for (name, role) in AddressRole::all().iter_names() {
            let words = roles(role);
            assert!(words != "not known" && words != name, "{name}: {words}");
            assert!(roles(AddressRole::all()).contains(&words), "{name}");
        }
    }
}
