//! Single packets of a conversation, and exactly what must become of each.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail, ensure};

use super::network::Arrival;
use super::{Machine, Simulation};
use crate::acceptance::row::{self, Dress, Kind, Packet, Side, Then};
use crate::acceptance::world::{CLIENT, HOST, Pod};
use crate::host::frame::{self, Frame, Seen, Transport};
use crate::host::{Reason, Refusal};
use kproxy_common::Address;

/// What the last packet of the client reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    server: Pod,
    /// The client as the server sees it.
    peer: SocketAddr,
    local: SocketAddr,
}

const ETHERNET: usize = 14;

impl<M: Machine> Simulation<M> {
    pub(super) fn packet(&mut self, packet: &Packet) -> anyhow::Result<()> {
        let family = Address::from(packet.to.ip()).family();
        let source: SocketAddr = (packet.client.address(family), packet.port).into();
        match packet.side {
            Side::Client => self.client_sends(packet, source),
            Side::Server => self.server_sends(packet, source),
        }
    }

    /// A packet from outside that is built by its row.
    pub(super) fn arrival(&mut self, arrival: &row::Arrival) -> anyhow::Result<()> {
        let row::Arrival {
            bytes: sent,
            segment_size,
            then,
        } = arrival;
        match (then, self.come_in(sent.clone(), *segment_size)?) {
            (Then::Untouched, Arrival::Nowhere(bytes) | Arrival::At(_, bytes)) => {
                ensure!(bytes == *sent, "it was changed: {bytes:02x?}");
                Ok(())
            }
            (Then::Reaches(pods), Arrival::At(pod, bytes)) if pods.contains(&pod.name) => {
                ensure!(bytes.len() == sent.len(), "its length was changed");
                frame::verify_checksums(&bytes)
            }
            (Then::Dropped, Arrival::Gone) => Ok(()),
            (then, Arrival::At(_, bytes) | Arrival::Nowhere(bytes)) if reason(then).is_some() => {
                check_refusal(then, &bytes, sent, frame::addresses(sent)?)
            }
            (then, arrival) => bail!("expected {then:?}, but it came to {arrival:02x?}"),
        }
    }

    /// A packet that is built by its row: what may become of it is less.
    pub(super) fn raw(&mut self, sent: &[u8], then: &Then) -> anyhow::Result<()> {
        let client = Pod::named(CLIENT);
        match (then, self.travel(client, sent.to_vec())?) {
            (Then::Untouched, Arrival::Nowhere(bytes) | Arrival::At(_, bytes)) => {
                ensure!(bytes == sent, "it was changed: {bytes:02x?}");
                Ok(())
            }
            (Then::LeavesFrom(from), Arrival::Nowhere(bytes)) => {
                let Seen::Segment { source, .. } = Seen::read(&bytes)? else {
                    bail!("it became something else: {bytes:02x?}");
                };
                ensure!(source == *from, "it leaves from {source}");
                ensure!(
                    frame::addresses(&bytes)?.1 == frame::addresses(sent)?.1,
                    "it goes elsewhere"
                );
                Ok(())
            }
            (Then::Dropped, Arrival::Gone) => Ok(()),
            (Then::Unreachable, Arrival::At(pod, bytes)) if pod == client => {
                check_refusal(then, &bytes, sent, frame::addresses(sent)?)
            }
            (then, arrival) => bail!("expected {then:?}, but it came to {arrival:02x?}"),
        }
    }

    fn client_sends(&mut self, packet: &Packet, source: SocketAddr) -> anyhow::Result<()> {
        let client = packet.client;
        let key = (source, packet.to);
        let sent = frame(packet, source, packet.to).bytes()?;
        let arrival = self.travel(client, sent.clone())?;
        let last = self.conversations.get(&key).copied();
        let wanted = match (&packet.then, arrival) {
            (Then::Untouched, Arrival::Nowhere(bytes) | Arrival::At(_, bytes)) => {
                ensure!(bytes == sent, "it was changed: {bytes:02x?}");
                return Ok(());
            }
            (Then::Dropped, Arrival::Gone) => return Ok(()),
            (then, Arrival::At(pod, bytes)) if pod == client && reason(then).is_some() => {
                return check_refusal(then, &bytes, &sent, (source.ip(), packet.to.ip()));
            }
            (Then::Reaches(pods) | Then::ReachesByAnotherPort(pods), Arrival::At(pod, bytes)) => {
                (pods.clone(), pod, bytes)
            }
            (Then::ReachesSame, Arrival::At(pod, bytes)) => {
                let last = last.context("nothing was reached before")?;
                (vec![last.server.name], pod, bytes)
            }
            (then, arrival) => bail!("expected {then:?}, but it came to {arrival:02x?}"),
        };
        let (pods, server, bytes) = wanted;
        ensure!(
            pods.contains(&server.name),
            "it reached {} instead of {pods:?}",
            server.name
        );
        let Seen::Segment {
            source: peer,
            destination: local,
            without_checksum,
            payload,
        } = Seen::read(&bytes)?
        else {
            bail!("{} got no segment", server.name);
        };
        ensure!(
            payload == sent[sent.len() - payload.len()..] && bytes.len() == sent.len(),
            "its payload was changed"
        );
        ensure!(
            without_checksum == (packet.dress == Dress::NoChecksum),
            "a checksum of zero must stay so, and another must not become zero"
        );
        let forwarded = client.is_elsewhere() && server.is_elsewhere();
        let known_as = if forwarded {
            HOST.address(Address::from(source.ip()).family())
        } else {
            source.ip()
        };
        ensure!(
            peer.ip() == known_as || server == client,
            "{} sees {peer} as its client instead of {known_as}",
            server.name
        );
        match (&packet.then, last) {
            (Then::ReachesSame, Some(last)) => ensure!(
                peer == last.peer,
                "the client was {} before, and now {peer}",
                last.peer
            ),
            (Then::ReachesByAnotherPort(_), _) => {
                ensure!(peer.port() != source.port(), "it keeps the port");
            }
            // A pod's door may take another for two services that share a backend.
            _ => ensure!(
                !forwarded || peer.port() == source.port(),
                "it comes from port {} instead of {}",
                peer.port(),
                source.port()
            ),
        }
        let hops = frame::hops(&bytes)?;
        ensure!(
            hops == packet.hops - u8::from(forwarded),
            "{} gets it with {hops} hops left",
            server.name
        );
        self.conversations.insert(key, Last { server, peer, local });
        Ok(())
    }

    fn server_sends(&mut self, packet: &Packet, source: SocketAddr) -> anyhow::Result<()> {
        let last = self.conversations.get(&(source, packet.to));
        let Last { server, peer, local } = *last.context("nothing was reached before")?;
        let sent = frame(packet, local, peer).bytes()?;
        match (&packet.then, self.travel(server, sent.clone())?) {
            (Then::IsAnswer, Arrival::At(pod, bytes)) if pod == packet.client => match Seen::read(&bytes)? {
                Seen::Segment {
                    source: from,
                    destination: to,
                    ..
                } => {
                    ensure!(from == packet.to, "it comes from {from} instead of {}", packet.to);
                    ensure!(to == source, "it goes to {to} instead of {source}");
                    Ok(())
                }
                Seen::Unreachable { .. } => bail!("the client got a port unreachable"),
            },
            (Then::Untouched, Arrival::At(_, bytes)) => {
                ensure!(bytes == sent, "it was changed: {bytes:02x?}");
                Ok(())
            }
            (Then::Dropped, Arrival::Gone) => Ok(()),
            (then, arrival) => bail!("expected {then:?}, but it came to {arrival:02x?}"),
        }
    }
}

fn frame(packet: &Packet, source: SocketAddr, destination: SocketAddr) -> Frame {
    let transport = match (packet.kind, packet.dress) {
        (Kind::Tcp(kind), _) => Transport::Tcp(kind),
        (Kind::Sctp(chunk), _) => Transport::Sctp(chunk),
        (Kind::Udp, Dress::NoChecksum) => Transport::UdpWithoutChecksum,
        (Kind::Udp, Dress::Plain | Dress::Options | Dress::TcpOptions) => Transport::Udp,
    };
    let mut frame = Frame::new(source, destination, transport).payload(&packet.payload);
    frame.hops = packet.hops;
    frame.options = packet.dress == Dress::Options;
    frame.tcp_options = packet.dress == Dress::TcpOptions;
    frame
}

/// What a message has to say, where one must come.
fn reason(then: &Then) -> Option<Reason> {
    match then {
        Then::Unreachable => Some(Reason::PortUnreachable),
        Then::TooBig(mtu) => Some(Reason::TooBig(*mtu)),
        Then::Expired => Some(Reason::Expired),
        Then::Reaches(_)
        | Then::ReachesByAnotherPort(_)
        | Then::ReachesSame
        | Then::IsAnswer
        | Then::LeavesFrom(_)
        | Then::Untouched
        | Then::Dropped => None,
    }
}

/// It comes from the address that was asked, or as a router's from the node, and quotes what was sent, enough of it for
/// the sender to find its socket.
fn check_refusal(
    then: &Then,
    bytes: &[u8],
    sent: &[u8],
    (source, asked): (IpAddr, IpAddr),
) -> anyhow::Result<()> {
    let Refusal {
        reason: said,
        source: from,
        destination: to,
        quote,
    } = Refusal::read(bytes)?;
    ensure!(reason(then) == Some(said), "it says {said:?} instead of {then:?}");
    let speaker = match said {
        Reason::PortUnreachable => asked,
        Reason::TooBig(_) | Reason::Expired => HOST.address(Address::from(asked).family()),
    };
    ensure!(from == speaker, "it comes from {from} instead of {speaker}");
    ensure!(to == source, "it goes to {to} instead of {source}");
    let original = &sent[ETHERNET..];
    ensure!(
        original.starts_with(&quote),
        "it quotes {quote:02x?} instead of {original:02x?}"
    );
    let header = if source.is_ipv6() {
        40
    } else {
        usize::from(original[0] & 0x0f) * 4
    };
    ensure!(quote.len() >= header + 8, "it quotes {} bytes only", quote.len());
    Ok(())
}
