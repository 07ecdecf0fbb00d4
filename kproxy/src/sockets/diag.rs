//! `sock_diag(7)` for UDP: the connected sockets of a network namespace, and the end of one.

use std::io;

use kproxy_common::{Address, Family, Port};
use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, InetResponseHeader, SocketId, StateFlags};
use netlink_packet_sock_diag::{SockDiagDestroy, SockDiagMessage};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use crate::netlink::Conversation;
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
pub struct Diag(Conversation);

impl Diag {
    /// Opens it for the network namespace of this thread.
    pub fn open() -> io::Result<Self> {
        Conversation::open(NETLINK_SOCK_DIAG).map(Self)
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
        self.0
            .ask(request(family, id), NLM_F_DUMP, |answer| match answer {
                Ok(SockDiagMessage::InetResponse(response)) => {
                    sockets.push(Ok(ConnectedSocket::from(response.header)));
                }
                Ok(_) => {}
                Err(error) => sockets.push(Err(error)),
            })?;
        sockets.into_iter().collect()
    }

    /// Whether the kernel can end sockets.
    ///
    /// # Errors
    ///
    /// What the kernel says: EPERM without `CAP_NET_ADMIN`.
    pub fn can_destroy(&mut self) -> io::Result<bool> {
        // A socket that nobody has: nothing is bound to port 0.
        let nobody = ConnectedSocket {
            cookie: 0,
            destination: Endpoint {
                address: Address::unspecified(Family::V4),
                port: Port::new(0),
            },
            family: AF_INET,
            id: SocketId::new_v4(),
        };
        match self.destroy(&nobody) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
            Err(error) => Err(error),
        }
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
        match self
            .0
            .ask(destroy, NLM_F_ACK, drop::<io::Result<SockDiagMessage>>)
        {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
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
