//! A client that asks and a pod that answers, as their kernels would do it.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use kproxy_common::{Address, Family, Port};
use kproxy_ebpf::socket::{self, Errno, Peer, SocketVerdict};

use super::{Arrival, Machine, Simulation};
use crate::acceptance::row::{Ask, End, Via};
use crate::acceptance::state::Protocol;
use crate::acceptance::world::{HOST, NODE_NAMESPACE, Pod, SERVED};
use crate::host::frame::{Frame, Seen, Tcp, Transport};
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
    sendto: bool,
    source: SocketAddr,
    socket: MemorySocket,
    /// Where packets are sent: behind the socket door.
    wire: Option<SocketAddr>,
    is_open: bool,
}

impl Conversation {
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
            Via::Socket | Via::Packet => NODE_NAMESPACE + 1,
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
            Protocol::Tcp => self.exchange_tcp(conversation)?,
            Protocol::Udp => self.round(conversation, Transport::Udp, Transport::Udp, b"question")?,
        };
        if let Came::Answer(pod) = came {
            conversation.server = Some(pod);
            self.check_peer(conversation)?;
        }
        Ok(came)
    }

    fn exchange_tcp(&mut self, conversation: &mut Conversation) -> anyhow::Result<Came> {
        let opened = if conversation.is_open {
            conversation.server
        } else {
            let (syn, answer) = (Transport::Tcp(Tcp::Syn), Transport::Tcp(Tcp::SynAck));
            match self.round(conversation, syn, answer, b"")? {
                Came::Answer(pod) => Some(pod),
                other @ (Came::Refusal | Came::Denial | Came::Nothing | Came::Untouched) => return Ok(other),
            }
        };
        conversation.is_open = true;
        let data = Transport::Tcp(Tcp::Ack);
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
            Arrival::At(pod, bytes) if pod == HOST && bytes == sent && !SERVED.contains(&wire.port()) => {
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
        // By packet, whether or not the socket was looked at.
        let hairpin = server == client && wire.ip() != server.address(family(wire));
        let expected = if hairpin { wire.ip() } else { source.ip() };
        ensure!(
            peer.ip() == expected,
            "{} sees {peer} as its client instead of {expected}",
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
        if conversation.protocol == Protocol::Udp {
            return Ok(());
        }
        let fin = Transport::Tcp(Tcp::Fin);
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
        let bytes = Frame::new(conversation.source, wire, Transport::Tcp(last)).bytes()?;
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
        if conversation.via == Via::Packet || !asks {
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
            };
            socket::connect(&conversation.socket, tables, asked, protocol)
        };
        conversation.wire = Some(match verdict {
            SocketVerdict::Pass => address(asked),
            SocketVerdict::Translate(backend) => address(backend),
            SocketVerdict::Deny(errno) => {
                let dropped = match conversation.protocol {
                    Protocol::Tcp => Errno::TimedOut,
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
