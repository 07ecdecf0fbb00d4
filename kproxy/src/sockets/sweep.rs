//! One look at the connected UDP sockets of a node: which are stale, and their end.

use std::collections::BTreeMap;
use std::thread;

use anyhow::{Context, Result, bail};
use kproxy_common::{Family, Port, SocketPeer, StalePeer};

use super::diag::Diag;
use super::namespaces::{Entry, Sources, enter};
use crate::dataplane::StalePeers;
use crate::plan::Endpoint;

/// What a look came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Sockets whose backend is gone, as far as the socket door knows.
    pub stale: usize,
    /// Network namespaces that were looked at: none if no socket is stale.
    pub namespaces: usize,
    /// Network namespaces that this process may not enter.
    pub denied: usize,
    /// Connected UDP sockets that were seen there.
    pub sockets: usize,
    /// Those that were ended.
    pub destroyed: usize,
    /// What went wrong; each time, the rest of one namespace was left out.
    pub errors: Vec<anyhow::Error>,
}

/// Whether a socket sends to the backend that it was given.
///
/// What the socket door remembers outlives the connection: the process may have connected elsewhere since, or have
/// disconnected, or be inside `connect` just now.
#[must_use]
pub fn sends_to_backend(destination: Endpoint, peer: &SocketPeer) -> bool {
    let SocketPeer {
        backend_address,
        backend_port,
        ..
    } = *peer;
    backend_port != Port::new(0) && (destination.address, destination.port) == (backend_address, backend_port)
}

/// Ends the sockets that are stale, in whichever network namespace they are.
#[must_use]
pub fn sweep(sources: &Sources, peers: &StalePeers) -> Report {
    match peers.read().context("look for sockets whose backend is gone") {
        Ok(stale) if stale.is_empty() => Report::default(),
        Ok(stale) => find_and_end(sources, stale),
        Err(error) => failed(error),
    }
}

fn find_and_end(sources: &Sources, stale: Vec<StalePeer>) -> Report {
    let stale = stale
        .into_iter()
        .map(|StalePeer { cookie, peer }| (cookie, peer))
        .collect();
    // On a thread that ends afterwards, in whichever namespace it saw last: none is kept alive by a thread that waits in
    // it, and there is no way back that could fail.
    thread::scope(|scope| {
        let looking = thread::Builder::new()
            .name("sockets-sweep".to_owned())
            .spawn_scoped(scope, || look_everywhere(sources, &stale))
            .context("start a thread to look for sockets");
        looking
            .and_then(|thread| {
                thread
                    .join()
                    .or_else(|_panic| bail!("looking for sockets panicked"))
            })
            .unwrap_or_else(failed)
    })
}

fn failed(error: anyhow::Error) -> Report {
    Report {
        errors: vec![error],
        ..Report::default()
    }
}

/// What the socket door remembers, by the socket's cookie.
type Stale = BTreeMap<u64, SocketPeer>;

fn look_everywhere(sources: &Sources, stale: &Stale) -> Report {
    let mut report = Report {
        stale: stale.len(),
        ..Report::default()
    };
    let others = sources.others().context("find the network namespaces");
    let own = look(stale, &mut report).context("in the own network namespace");
    report.errors.extend(own.err());
    let others = others.unwrap_or_else(|error| {
        report.errors.push(error);
        Vec::new()
    });
    for path in others {
        let looked = match enter(&path) {
            Ok(Entry::Entered) => look(stale, &mut report),
            Ok(Entry::Gone) => Ok(()),
            Ok(Entry::Denied) => {
                report.denied += 1;
                Ok(())
            }
            Err(error) => Err(error.into()),
        };
        let looked = looked.with_context(|| format!("in the network namespace {}", path.display()));
        report.errors.extend(looked.err());
    }
    report
}

/// Looks at the network namespace of this thread.
fn look(stale: &Stale, report: &mut Report) -> Result<()> {
    report.namespaces += 1;
    let mut diag = Diag::open().context("open a sock_diag socket")?;
    // An IPv6 socket that is connected to an IPv4-mapped address is listed among those of IPv6.
    for family in [Family::V4, Family::V6] {
        let sockets = diag
            .connected_udp(family)
            .with_context(|| format!("list the connected UDP sockets of {family}"))?;
        report.sockets += sockets.len();
        for socket in sockets {
            let peer = stale.get(&socket.cookie);
            if peer.is_some_and(|peer| sends_to_backend(socket.destination, peer)) {
                let destroyed = diag.destroy(&socket).with_context(|| {
                    format!("end a UDP socket that is connected to {}", socket.destination)
                })?;
                report.destroyed += usize::from(destroyed);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use bytemuck::Zeroable as _;
    use kproxy_common::Address;

    use super::*;

    fn endpoint(address: &str, port: u16) -> Endpoint {
        let address: IpAddr = address.parse().expect("an address");
        Endpoint {
            address: Address::from(address),
            port: Port::new(port),
        }
    }

    #[test]
    fn only_what_the_socket_door_gave_counts() {
        let v4 = endpoint("10.0.0.1", 5353);
        let v6 = endpoint("fd00::1", 5353);
        // `connect` to something that is no service keeps the record and clears its port.
        let direct = Endpoint {
            port: Port::new(0),
            ..v4
        };
        let rows = [
            ("as given", v4, v4, true),
            ("as given, IPv6", v6, v6, true),
            (
                "an IPv6 socket on IPv4",
                endpoint("::ffff:10.0.0.1", 5353),
                v4,
                true,
            ),
            ("connected elsewhere since", endpoint("10.0.0.2", 5353), v4, false),
            (
                "connected to another port since",
                endpoint("10.0.0.1", 53),
                v4,
                false,
            ),
            ("connected to the backend itself since", v4, direct, false),
            ("to no port", direct, direct, false),
        ];
        for (row, destination, given, expected) in rows {
            let peer = SocketPeer {
                backend_address: given.address,
                backend_port: given.port,
                ..SocketPeer::zeroed()
            };
            assert_eq!(sends_to_backend(destination, &peer), expected, "{row}");
        }
    }
}
