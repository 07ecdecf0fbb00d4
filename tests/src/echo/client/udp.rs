//! A UDP socket of the client, connected or not.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::Instant,
};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Type};

use super::{Exchanged, Mode, Options, remaining, unspecified};
use crate::echo::message::Answer;

pub(super) struct Socket {
    socket: UdpSocket,
    mode: Mode,
}

impl Socket {
    pub(super) fn open(options: &Options, to: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(to), Type::DGRAM, None)?;
        if options.source_port != 0 {
            // Connected sockets may share a port: each hears its own peer only.
            socket.set_reuse_address(true)?;
        }
        socket.bind(&unspecified(to, options.source_port).into())?;
        let socket = UdpSocket::from(socket);
        match options.mode {
            Mode::Connect => socket.connect(to)?,
            // Only then does an unconnected socket hear of a port unreachable.
            Mode::Sendto => match to {
                SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
                SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
            },
        }
        Ok(Self {
            socket,
            mode: options.mode,
        })
    }

    pub(super) fn exchange(
        &mut self,
        to: SocketAddr,
        request: &str,
        deadline: Instant,
    ) -> io::Result<Exchanged> {
        match self.mode {
            Mode::Connect => self.socket.send(request.as_bytes())?,
            Mode::Sendto => self.socket.send_to(request.as_bytes(), to)?,
        };
        let mut buffer = [0; 2048];
        loop {
            self.socket.set_read_timeout(Some(remaining(deadline)?))?;
            let (length, sender) = self.socket.recv_from(&mut buffer)?;
            let answer: Answer = serde_json::from_slice(&buffer[..length])?;
            // A late answer to a request that was given up.
            if answer.request != request {
                continue;
            }
            return Ok(Exchanged {
                answer,
                sender: Some(sender),
            });
        }
    }

    pub(super) fn source(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }
}
