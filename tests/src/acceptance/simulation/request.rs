//! A client that asks and a pod that answers, as their kernels would do it.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, bail, ensure};
use kproxy_common::{Address, Family, Port};
use kproxy_ebpf::socket::{self, Errno, Peer, SocketVerdict};

use super::network::Arrival;
use super::{Machine, Simulation};
use crate::acceptance::row::{Ask, End, Source, Via};
use crate::acceptance::state::Protocol;
use crate::acceptance::world::{HOST, NODE_NAMESPACE, Pod, SERVED};
use crate::host::frame::{self, Frame, HOPS, Seen, Tcp, Transport};
use crate::host::{MemorySocket, MemoryTables};

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// An answer of this pod, with the service's address as its sender.
    Answer(Pod),
    /// Refused: by the socket door, by port unreachable, or by a pod that does not listen.
    Refusal,
    /// The socket door failed the call as if a firewall had dropped it.
    Denial,
    /// Nothing.
    Nothing,
    /// The request went out as it was and found nobody.
    Untouched,
}

/// A socket of a client and what it talks to.
#[derive(Clone, Debug)]
pub(super) struct Conversation {
    pub(super) to: SocketAddr,
    /// Who answered last.
    pub(super) server: Option<Pod>,
    client: Pod,
    protocol: Protocol,
    via: Via,
    seen_as: Vec<(&'static str, Source)>,
    sendto: bool,
    source: SocketAddr,
    socket: MemorySocket,
    /// Where packets are sent: behind the socket door.
    wire: Option<SocketAddr>,
    is_open: bool,
}

impl Conversation {
    /// Whether the node sends its packets on to this backend past the stack.
    fn is_forwarded_to(&self, server: Pod, wire: SocketAddr) -> bool {
        self.via == Via::Uplink && server.is_elsewhere() && wire.ip() != server.address(family(wire))
    }

    /// The client's address in this backend's eyes.
    fn seen_by(&self, server: Pod, wire: SocketAddr) -> IpAddr {
        let stated = self.seen_as.iter().find(|(name, _)| *name == server.name);
        let source = match stated {
            Some((_, source)) => *source,
            None if self.is_forwarded_to(server, wire) => Source::Node,
            None => Source::Kept,
        };
        // By packet, whether or not the socket was looked at.
        let hairpin = server == self.client && wire.ip() != server.address(family(wire));
        match source {
            Source::Node => HOST.address(family(wire)),
            Source::Kept if hairpin => wire.ip(),
            Source::Kept => self.source.ip(),
        }
    }

    /// The same socket talks to somebody else.
    pub(super) fn towards(self, to: SocketAddr) -> Self {
        Self { to, ..self }
    }
}

impl<M: Machine> Simulation<M> {
    pub(super) fn conversation(&mut self, ask: &Ask, to: SocketAddr) -> Conversation {
        let new_port = self.new_port();
        let port = ask.source_port.unwrap_or(new_port);
        // Every pod has a network namespace of its own.
        let namespace = match ask.via {
            Via::Node => NODE_NAMESPACE,
            Via::Socket | Via::Packet | Via::Uplink => NODE_NAMESPACE + 1,
        };
        let socket = MemorySocket::new(u64::from(new_port)).in_namespace(namespace);
        socket.set_connected(!ask.sendto);
        // A mapped address is IPv4 on the wire.
        let family = Address::from(to.ip()).family();
        Conversation {
            to,
            server: None,
            client: ask.from,
            protocol: ask.protocol,
            via: ask.via,
            seen_as: ask.seen_as.clone(),
            sendto: ask.sendto,
            source: (ask.from.address(family), port).into(),
            socket,
            wire: None,
            is_open: false,
        }
    }

    /// One request and what comes of it.
    pub(super) fn exchange(&mut self, conversation: &mut Conversation) -> anyhow::Result<Came> {
        if let Some(came) = self.pass_socket_door(conversation)? {
            return Ok(came);
        }
        let came = match conversation.protocol {
            Protocol::Tcp => self.exchange_connected(conversation, Transport::Tcp)?,
            Protocol::Sctp => self.exchange_connected(conversation, Transport::Sctp)?,
            Protocol::Udp => self.round(conversation, Transport::Udp, Transport::Udp, b"question")?,
        };
        if let Came::Answer(pod) = came {
            conversation.server = Some(pod);
            self.check_peer(conversation)?;
        }
        Ok(came)
    }

    /// Over TCP, or SCTP, whose chunks are named after the segments that mean the same.
    fn exchange_connected(
        &mut self,
        conversation: &mut Conversation,
        transport: fn(Tcp) -> Transport,
    ) -> anyhow::Result<Came> {
        let opened = if conversation.is_open {
            conversation.server
        } else {
            let (syn, answer) = (transport(Tcp::Syn), transport(Tcp::SynAck));
            match self.round(conversation, syn, answer, b"")? {
                Came::Answer(pod) => Some(pod),
                other @ (Came::Refusal | Came::Denial | Came::Nothing | Came::Untouched) => return Ok(other),
            }
        };
        conversation.is_open = true;
        let data = transport(Tcp::Ack);
        let came = self.round(conversation, data, data, b"a question of some length")?;
        if let (Some(opened), Came::Answer(pod)) = (opened, came) {
            ensure!(
                opened == pod,
                "the connection was with {}, now its packets reach {}",
                opened.name,
                pod.name
            );
        }
        Ok(came)
    }

    /// A packet there and one back.
    fn round(
        &mut self,
        conversation: &Conversation,
        there: Transport,
        back: Transport,
        payload: &[u8],
    ) -> anyhow::Result<Came> {
        let Conversation { source, client, .. } = *conversation;
        let wire = conversation.wire.unwrap_or(conversation.to);
        let sent = Frame::new(source, wire, there).payload(payload).bytes()?;
        let (server, arrived) = match self.travel(client, sent.clone())? {
            Arrival::Gone => return Ok(Came::Nothing),
            Arrival::Nowhere(bytes) => {
                ensure!(bytes == sent, "a packet to nobody was changed: {bytes:02x?}");
                return Ok(Came::Untouched);
            }
            // Nobody listens, and nobody was asked.
            Arrival::At(pod, bytes) if pod.is_node() && bytes == sent && !SERVED.contains(&wire.port()) => {
                return Ok(Came::Untouched);
            }
            Arrival::At(pod, bytes) => (pod, bytes),
        };
        let (peer, local) = match Seen::read(&arrived)? {
            Seen::Unreachable { .. } if server == client => return Ok(Came::Refusal),
            Seen::Segment {
                source,
                destination,
                payload: received,
                ..
            } => {
                ensure!(received == payload, "the payload arrived as {received:02x?}");
                (source, destination)
            }
            Seen::Unreachable { .. } => bail!("{} was sent a port unreachable", server.name),
        };
        ensure!(
            local.ip() == server.address(family(local)),
            "{} was sent a packet for {local}",
            server.name
        );
        let expected = conversation.seen_by(server, wire);
        ensure!(
            peer.ip() == expected,
            "{} sees {peer} as its client instead of {expected}",
            server.name
        );
        // Past the stack the node counts itself as a router.
        let routed = u8::from(conversation.is_forwarded_to(server, wire));
        let hops = frame::hops(&arrived)?;
        ensure!(
            hops == HOPS - routed,
            "{} gets it with {hops} hops left",
            server.name
        );
        let listens = SERVED.contains(&local.port());
        if !listens && conversation.protocol == Protocol::Udp {
            return Ok(Came::Refusal);
        }
        let back = if listens { back } else { Transport::Tcp(Tcp::Rst) };
        let answer = Frame::new(local, peer, back).payload(b"answer").bytes()?;
        match self.travel(server, answer)? {
            Arrival::At(pod, bytes) if pod == client => {
                check_answer(&bytes, wire, source)?;
                let hops = frame::hops(&bytes)?;
                ensure!(hops == HOPS - routed, "the answer has {hops} hops left");
                Ok(if listens {
                    Came::Answer(server)
                } else {
                    Came::Refusal
                })
            }
            other @ (Arrival::At(..) | Arrival::Nowhere(_) | Arrival::Gone) => {
                bail!("the answer of {} came to {other:02x?}", server.name)
            }
        }
    }

    /// Ends a connection; for UDP there is nothing to end.
    pub(super) fn close(&mut self, conversation: &Conversation, end: End) -> anyhow::Result<()> {
        let transport = match conversation.protocol {
            Protocol::Udp => return Ok(()),
            Protocol::Tcp => Transport::Tcp,
            Protocol::Sctp => Transport::Sctp,
        };
        let fin = transport(Tcp::Fin);
        let last = match end {
            End::Fin => {
                let came = self.round(conversation, fin, fin, b"")?;
                ensure!(
                    matches!(came, Came::Answer(pod) if Some(pod) == conversation.server),
                    "closing it came to {came:?}"
                );
                Tcp::Ack
            }
            End::Reset => Tcp::Rst,
        };
        let wire = conversation.wire.unwrap_or(conversation.to);
        let bytes = Frame::new(conversation.source, wire, transport(last)).bytes()?;
        match self.travel(conversation.client, bytes)? {
            Arrival::At(pod, _) if Some(pod) == conversation.server => Ok(()),
            other @ (Arrival::At(..) | Arrival::Nowhere(_) | Arrival::Gone) => {
                bail!("the last packet of a connection came to {other:02x?}")
            }
        }
    }

    /// What `connect` or `sendto` does, if it fails.
    fn pass_socket_door(&mut self, conversation: &mut Conversation) -> anyhow::Result<Option<Came>> {
        // `connect` asks once.
        let asks = conversation.wire.is_none() || conversation.sendto;
        if matches!(conversation.via, Via::Packet | Via::Uplink) || !asks {
            return Ok(None);
        }
        let tables = self.tables()?;
        let asked = peer(conversation.to);
        let verdict = if conversation.sendto {
            socket::send(&conversation.socket, tables, asked)
        } else {
            let protocol = match conversation.protocol {
                Protocol::Tcp => kproxy_common::Protocol::TCP,
                Protocol::Udp => kproxy_common::Protocol::UDP,
                Protocol::Sctp => kproxy_common::Protocol::SCTP,
            };
            socket::connect(&conversation.socket, tables, asked, protocol)
        };
        conversation.wire = Some(match verdict {
            SocketVerdict::Pass => address(asked),
            SocketVerdict::Translate(backend) => address(backend),
            SocketVerdict::Deny(errno) => {
                let dropped = match conversation.protocol {
                    Protocol::Tcp | Protocol::Sctp => Errno::TimedOut,
                    Protocol::Udp => Errno::NotPermitted,
                };
                return Ok(Some(if errno == Errno::ConnectionRefused {
                    Came::Refusal
                } else {
                    ensure!(
                        errno == dropped,
                        "the call fails with {errno:?} instead of {dropped:?}"
                    );
                    Came::Denial
                }));
            }
        });
        Ok(None)
    }

    /// What `getpeername` and `recvfrom` say.
    fn check_peer(&self, conversation: &Conversation) -> anyhow::Result<()> {
        let Some(wire) = conversation.wire else {
            return Ok(());
        };
        let (tables, socket, real) = (self.tables()?, &conversation.socket, peer(wire));
        let asked = peer(conversation.to);
        if conversation.protocol == Protocol::Udp {
            let sender = socket::receive(socket, tables, real).unwrap_or(real);
            ensure!(
                sender == asked,
                "recvfrom says {} instead of {}",
                address(sender),
                conversation.to
            );
        }
        if !conversation.sendto {
            let named = socket::peer_name(socket, real).unwrap_or(real);
            ensure!(
                named == asked,
                "getpeername says {} instead of {}",
                address(named),
                conversation.to
            );
        }
        Ok(())
    }

    fn tables(&self) -> anyhow::Result<&MemoryTables> {
        self.machine.tables().context("this runner has no sockets")
    }
}

fn check_answer(bytes: &[u8], from: SocketAddr, to: SocketAddr) -> anyhow::Result<()> {
    match Seen::read(bytes)? {
        Seen::Segment {
            source,
            destination,
            payload,
            ..
        } => {
            ensure!(source == from, "the answer comes from {source} instead of {from}");
            ensure!(
                destination == to,
                "the answer goes to {destination} instead of {to}"
            );
            ensure!(payload == b"answer", "the payload came back as {payload:02x?}");
            Ok(())
        }
        Seen::Unreachable { .. } => bail!("port unreachable instead of an answer"),
    }
}

fn family(address: SocketAddr) -> Family {
    Address::from(address.ip()).family()
}

fn peer(address: SocketAddr) -> Peer {
    Peer {
        address: address.ip().into(),
        port: Port::new(address.port()),
    }
}

fn address(peer: Peer) -> SocketAddr {
    (peer.address.ip(), peer.port.number()).into()
}
