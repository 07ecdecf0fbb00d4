//! The table.

mod affinity;
mod bystanders;
mod changes;
mod departures;
mod evictions;
mod external;
mod headers;
mod node_ports;
mod outside;
mod policies;
mod requests;
mod sctp;
mod sharing;
mod sockets;
mod source_ranges;
mod sources;
mod tcp;
mod udp;
mod vacancies;

pub use outside::silent;

use std::net::SocketAddr;

use kproxy_common::Family;

use super::row::{Ask, Dress, Expect, Kind, Packet, Row, Side, Then, Via};
use super::state::{PORT, Protocol, WEB};
use super::world::{self, CLIENT, FAMILIES, OUTSIDE, Pod};
use crate::host::frame::{HOPS, Tcp};

/// Every row.
#[must_use]
pub fn all() -> Vec<Row> {
    [
        requests::rows(),
        sharing::rows(),
        changes::rows(),
        policies::rows(),
        departures::rows(),
        tcp::rows(),
        sctp::rows(),
        udp::rows(),
        evictions::rows(),
        headers::rows(),
        bystanders::rows(),
        sockets::rows(),
        node_ports::rows(),
        external::rows(),
        source_ranges::rows(),
        sources::rows(),
        affinity::rows(),
        vacancies::rows(),
        outside::rows(),
    ]
    .concat()
}

/// One combination of what most rows vary.
#[derive(Clone, Copy, Debug)]
struct Case {
    family: Family,
    protocol: Protocol,
    via: Via,
}

/// A row for every family, these protocols and these doors.
fn for_each(vias: &[Via], protocols: &[Protocol], make: impl Fn(Case) -> Row) -> Vec<Row> {
    let mut rows = Vec::new();
    for family in FAMILIES {
        for &protocol in protocols {
            for &via in vias {
                let mut row = make(Case {
                    family,
                    protocol,
                    via,
                });
                let door = match via {
                    Via::Socket => "socket",
                    Via::Packet => "packet",
                    Via::Node => "socket of the node",
                    Via::Uplink => "uplink",
                };
                row.name = format!("{} ({family} {} by {door})", row.name, protocol.name());
                rows.push(row);
            }
        }
    }
    rows
}

/// A row for every family and protocol, at the doors of pods.
fn for_all(make: impl Fn(Case) -> Row) -> Vec<Row> {
    for_each(&Via::ALL, &Protocol::ALL, make)
}

/// A row for every family and protocol, at every door.
fn for_every(make: impl Fn(Case) -> Row) -> Vec<Row> {
    for_each(&Via::EVERY, &Protocol::ALL, make)
}

impl Case {
    fn ask(self) -> Ask {
        Ask::web(self.via, self.protocol, self.family)
    }

    /// What comes of a request that is dropped.
    fn dropped(self) -> Expect {
        match self.via {
            Via::Node => Expect::Denied,
            Via::Socket | Via::Packet | Via::Uplink => Expect::Silence,
        }
    }

    /// A conversation with [`web`](super::state::web), packet by packet.
    fn talk(self, port: u16) -> Talk {
        let client = match self.via {
            Via::Uplink => OUTSIDE.name,
            Via::Packet | Via::Socket | Via::Node => CLIENT,
        };
        Talk {
            template: Packet {
                client: Pod::named(client),
                port,
                to: world::service(WEB, PORT, self.family),
                side: Side::Client,
                kind: Kind::Udp,
                dress: Dress::Plain,
                payload: b"odd".to_vec(),
                hops: HOPS,
                then: Then::Untouched,
            },
        }
    }
}

/// A conversation, packet by packet.
#[derive(Clone, Debug)]
struct Talk {
    template: Packet,
}

impl Talk {
    fn to(mut self, number: u8) -> Self {
        self.template.to = world::service(number, PORT, self.family());
        self
    }

    fn at(mut self, to: SocketAddr) -> Self {
        self.template.to = to;
        self
    }

    fn port(mut self, port: u16) -> Self {
        self.template.to.set_port(port);
        self
    }

    /// Somebody else sends.
    fn from(mut self, client: Pod) -> Self {
        self.template.client = client;
        self
    }

    fn payload(mut self, length: usize) -> Self {
        self.template.payload = vec![0x5a; length];
        self
    }

    fn hops(mut self, hops: u8) -> Self {
        self.template.hops = hops;
        self
    }

    fn dress(mut self, dress: Dress) -> Self {
        self.template.dress = dress;
        self
    }

    fn family(&self) -> Family {
        if self.template.to.is_ipv6() {
            Family::V6
        } else {
            Family::V4
        }
    }

    /// The client sends a TCP segment.
    fn sends(&self, kind: Tcp, then: Then) -> Packet {
        self.packet(Side::Client, Kind::Tcp(kind), then)
    }

    /// The pod answers with a TCP segment, which the client sees as the service's.
    fn answers(&self, kind: Tcp) -> Packet {
        self.packet(Side::Server, Kind::Tcp(kind), Then::IsAnswer)
    }

    /// The client sends a datagram.
    fn datagram(&self, then: Then) -> Packet {
        self.packet(Side::Client, Kind::Udp, then)
    }

    /// The pod answers with a datagram, which the client sees as the service's.
    fn answer(&self) -> Packet {
        self.packet(Side::Server, Kind::Udp, Then::IsAnswer)
    }

    /// The first packet of any protocol.
    fn opens(&self, protocol: Protocol, then: Then) -> Packet {
        match protocol {
            Protocol::Tcp => self.sends(Tcp::Syn, then),
            Protocol::Udp => self.datagram(then),
            Protocol::Sctp => self.packet(Side::Client, Kind::Sctp(Tcp::Syn), then),
        }
    }

    /// A later packet of any protocol.
    fn goes_on(&self, protocol: Protocol, then: Then) -> Packet {
        match protocol {
            Protocol::Tcp => self.sends(Tcp::Ack, then),
            Protocol::Udp => self.datagram(then),
            Protocol::Sctp => self.packet(Side::Client, Kind::Sctp(Tcp::Ack), then),
        }
    }

    /// The answer to the first packet of any protocol.
    fn is_opened(&self, protocol: Protocol) -> Packet {
        match protocol {
            Protocol::Tcp => self.answers(Tcp::SynAck),
            Protocol::Udp => self.answer(),
            Protocol::Sctp => self.packet(Side::Server, Kind::Sctp(Tcp::SynAck), Then::IsAnswer),
        }
    }

    fn packet(&self, side: Side, kind: Kind, then: Then) -> Packet {
        Packet {
            side,
            kind,
            then,
            ..self.template.clone()
        }
    }
}

fn reaches(pods: &[&'static str]) -> Then {
    Then::Reaches(pods.to_vec())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::acceptance::row::Runner;

    #[test]
    fn every_row_has_its_own_name_and_fits_somewhere() {
        let rows = all();
        let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names.len(), rows.len());
        assert!(rows.len() >= 60, "{} rows", rows.len());
        let runners = [Runner::Host, Runner::Kernel, Runner::Netns];
        for row in &rows {
            assert!(runners.iter().any(|runner| row.fits(*runner)), "{}", row.name);
        }
        for runner in runners {
            let fitting = rows.iter().filter(|row| row.fits(runner)).count();
            assert!(fitting >= 50, "{fitting} rows fit {runner:?}");
        }
    }
}
