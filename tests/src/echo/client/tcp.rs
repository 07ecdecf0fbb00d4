//! A TCP connection of the client: lines out, lines back.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use super::{Exchanged, Options, remaining, unspecified};

pub(super) struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn open(options: &Options, to: SocketAddr, deadline: Instant) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        if options.source_port != 0 {
            socket.set_reuse_address(true)?;
            socket.bind(&unspecified(to, options.source_port).into())?;
        }
        if options.reset {
            socket.set_linger(Some(Duration::ZERO))?;
        }
        socket.connect_timeout(&to.into(), remaining(deadline)?)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
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
