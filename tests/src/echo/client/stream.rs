//! A connection of the client, by TCP or SCTP: lines out, lines back.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use super::{Exchanged, Options, Protocol, remaining, unspecified};

pub(super) struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn open(options: &Options, to: SocketAddr, deadline: Instant) -> io::Result<Self> {
        let is_sctp = options.protocol == Protocol::Sctp;
        let protocol = is_sctp.then_some(socket2::Protocol::SCTP);
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, protocol)?;
        if options.source_port != 0 {
            socket.set_reuse_address(true)?;
        }
        if is_sctp {
            let source = preferred_source(to, options.source_port)?;
            socket.bind(&source.into())?;
        } else if options.source_port != 0 {
            socket.bind(&unspecified(to, options.source_port).into())?;
        }
        if options.reset {
            socket.set_linger(Some(Duration::ZERO))?;
        }
        socket.connect_timeout(&to.into(), remaining(deadline)?)?;
        let stream = TcpStream::from(socket);
        if !is_sctp {
            stream.set_nodelay(true)?;
        }
        Ok(Self {
            reader: BufReader::new(stream),
        })
    }

    pub(super) fn exchange(&mut self, request: &str, deadline: Instant) -> io::Result<Exchanged> {
        let stream = self.reader.get_mut();
        stream.write_all(format!("{request}\n").as_bytes())?;
        stream.set_read_timeout(Some(remaining(deadline)?))?;
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            ));
        }
        let answer = serde_json::from_str(&line)?;
        Ok(Exchanged { answer, sender: None })
    }

    pub(super) fn source(&self) -> Option<SocketAddr> {
        self.reader.get_ref().local_addr().ok()
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.reader.get_ref().peer_addr().ok()
    }
}

/// The address that the routes choose. An SCTP socket that is not bound to one tells its peer all addresses of the host
/// (RFC 9260 section 5.1.2), and the peer looks for it at each of them.
fn preferred_source(to: SocketAddr, port: u16) -> io::Result<SocketAddr> {
    let probe = UdpSocket::bind(unspecified(to, 0))?;
    probe.connect(to)?;
    Ok((probe.local_addr()?.ip(), port).into())
}
