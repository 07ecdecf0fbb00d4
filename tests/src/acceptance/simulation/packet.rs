//! Single packets of a conversation, and exactly what must become of each.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail, ensure};

use super::network::Arrival;
use super::{Machine, Simulation};
use crate::acceptance::row::{Dress, Kind, Packet, Side, Then};
use crate::acceptance::world::{CLIENT, Pod};
use crate::host::frame::{self, Frame, Seen, Transport};
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
        let source: SocketAddr = (Pod::named(CLIENT).address(family), packet.port).into();
        match packet.side {
            Side::Client => self.client_sends(packet, source),
            Side::Server => self.server_sends(packet, source),
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
            (Then::Dropped, Arrival::Gone) => Ok(()),
            (Then::Unreachable, Arrival::At(pod, bytes)) if pod == client => {
                check_unreachable(&bytes, sent, frame::addresses(sent)?)
            }
            (then, arrival) => bail!("expected {then:?}, but it came to {arrival:02x?}"),
        }
    }

    fn client_sends(&mut self, packet: &Packet, source: SocketAddr) -> anyhow::Result<()> {
        let client = Pod::named(CLIENT);
        let key = (packet.port, packet.to);
        let sent = frame(packet, source, packet.to).bytes()?;
        let arrival = self.travel(client, sent.clone())?;
        let last = self.conversations.get(&key).copied();
        let wanted = match (&packet.then, arrival) {
            (Then::Untouched, Arrival::Nowhere(bytes) | Arrival::At(_, bytes)) => {
                ensure!(bytes == sent, "it was changed: {bytes:02x?}");
                return Ok(());
            }
            (Then::Dropped, Arrival::Gone) => return Ok(()),
            (Then::Unreachable, Arrival::At(pod, bytes)) if pod == client => {
                return check_unreachable(&bytes, &sent, (source.ip(), packet.to.ip()));
            }
            (Then::Reaches(pods), Arrival::At(pod, bytes)) => (pods.clone(), pod, bytes),
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
        ensure!(
            peer == source || server == client,
            "{} sees {peer} as its client instead of {source}",
            server.name
        );
        self.conversations.insert(key, Last { server, peer, local });
        Ok(())
    }

    fn server_sends(&mut self, packet: &Packet, source: SocketAddr) -> anyhow::Result<()> {
        let last = self.conversations.get(&(packet.port, packet.to));
        let Last { server, peer, local } = *last.context("nothing was reached before")?;
        let sent = frame(packet, local, peer).bytes()?;
        match (&packet.then, self.travel(server, sent.clone())?) {
            (Then::IsAnswer, Arrival::At(pod, bytes)) if pod.name == CLIENT => match Seen::read(&bytes)? {
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
        (Kind::Udp, Dress::Plain | Dress::Ipv4Options | Dress::TcpOptions) => Transport::Udp,
    };
    let mut frame = Frame::new(source, destination, transport).payload(b"odd");
    frame.options = packet.dress == Dress::Ipv4Options;
    frame.tcp_options = packet.dress == Dress::TcpOptions;
    frame
}

/// RFC 792 and RFC 4443 section 3.1: it comes from the address that was asked and quotes what was asked, enough of it
/// for the sender to find its socket.
fn check_unreachable(bytes: &[u8], sent: &[u8], (source, asked): (IpAddr, IpAddr)) -> anyhow::Result<()> {
    let Seen::Unreachable {
        source: from,
        destination: to,
        quote,
    } = Seen::read(bytes)?
    else {
        bail!("a segment instead of port unreachable");
    };
    ensure!(from == asked, "it comes from {from} instead of {asked}");
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
