//! `sock_diag(7)` for UDP: the connected sockets of a network namespace, and the end of one.

use std::io;

use kproxy_common::{Address, Family, Port};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr};

use crate::plan::Endpoint;

/// A connected UDP socket.
#[derive(Clone, Debug)]
pub struct ConnectedSocket {
    /// The number by which the kernel knows it, as long as the machine runs.
    pub cookie: u64,
    /// Where it sends to.
    pub destination: Endpoint,
    family: u8,
    id: SocketId,
}

/// A conversation with the kernel about the sockets of one network namespace: the one in which it was opened, wherever
/// its thread goes afterwards.
#[derive(Debug)]
pub struct Diag {
    socket: Socket,
    sequence: u32,
}

impl Diag {
    /// Opens it for the network namespace of this thread.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Every connected UDP socket of a family.
    ///
    /// A socket that connects or closes meanwhile may or may not be among them.
    ///
    /// # Errors
    ///
    /// What the kernel says, as ENOENT if it was built without `INET_UDP_DIAG`.
    pub fn connected_udp(&mut self, family: Family) -> io::Result<Vec<ConnectedSocket>> {
        let (family, id) = match family {
            Family::V4 => (AF_INET, SocketId::new_v4()),
            Family::V6 => (AF_INET6, SocketId::new_v6()),
        };
        let mut sockets = Vec::new();
        self.ask(request(family, id), NLM_F_DUMP, |answer| {
            if let SockDiagMessage::InetResponse(response) = answer {
                sockets.push(ConnectedSocket::from(response.header));
            }
        })?;
        Ok(sockets)
    }

    /// Ends a socket: its process gets ECONNABORTED, and the socket is not connected any more. False if it has gone
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// What the kernel says: EPERM without `CAP_NET_ADMIN`, EOPNOTSUPP if it was built without `INET_DIAG_DESTROY`.
    pub fn destroy(&mut self, socket: &ConnectedSocket) -> io::Result<bool> {
        let ConnectedSocket { family, id, .. } = socket;
        // The cookie in the id makes sure that it is this socket and not a later one with the same addresses.
        let destroy = SockDiagDestroy::new(request(*family, id.clone()));
        match self.ask(destroy, NLM_F_ACK, drop) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Sends a request and hands on its answers, up to the last.
    fn ask<Q: NetlinkSerializable>(
        &mut self,
        question: Q,
        flags: u16,
        mut answered: impl FnMut(SockDiagMessage),
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(question));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            for message in messages(&datagram) {
                let (header, payload) = message?.into_parts();
                // What is left of a request that was given up.
                if header.sequence_number != self.sequence {
                    continue;
                }
                match payload {
                    NetlinkPayload::InnerMessage(answer) => answered(answer),
                    NetlinkPayload::Done(done) if done.code < 0 => {
                        return Err(io::Error::from_raw_os_error(-done.code));
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
                    // Code 0 is the acknowledgement that was asked for.
                    NetlinkPayload::Error(error) if error.code.is_none() => return Ok(()),
                    NetlinkPayload::Error(error) => return Err(error.to_io()),
                    NetlinkPayload::Noop | NetlinkPayload::Overrun(_) | _ => {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                }
            }
        }
    }
}

/// The messages of one datagram, up to the first that can not be read.
fn messages(datagram: &[u8]) -> impl Iterator<Item = io::Result<NetlinkMessage<SockDiagMessage>>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest);
        // Messages start at multiples of four (`NLMSG_ALIGNTO`).
        let length = message.as_ref().map_or(rest.len(), |message| {
            message.header.length.next_multiple_of(4) as usize
        });
        rest = rest.get(length..).unwrap_or_default();
        Some(message.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)))
    })
}

/// A question about connected UDP sockets (which the kernel calls established), or one of them.
fn request(family: u8, socket_id: SocketId) -> SockDiagMessage {
    SockDiagMessage::InetRequest(InetRequest {
        family,
        protocol: IPPROTO_UDP,
        extensions: ExtensionFlags::empty(),
        states: StateFlags::ESTABLISHED,
        socket_id,
    })
}

impl From<InetResponseHeader> for ConnectedSocket {
    fn from(header: InetResponseHeader) -> Self {
        let id = header.socket_id;
        // Two words, the lower one first (`sock_diag_save_cookie`).
        let [low, high]: [u32; 2] = bytemuck::cast(id.cookie);
        Self {
            cookie: u64::from(high) << 32 | u64::from(low),
            destination: Endpoint {
                address: Address::from(id.destination_address),
                port: Port::new(id.destination_port),
            },
            family: header.family,
            id,
        }
    }
}
