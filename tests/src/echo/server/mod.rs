//! The echo server: every line or datagram is answered with one [`Answer`](super::Answer).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};

mod stream;
mod udp;

/// How long a blocked thread of a stopped server may take to notice. Also bounds how long a stop takes.
const STOP_CHECK: Duration = Duration::from_millis(100);

/// A running server; dropping it closes its sockets and connections.
#[derive(Debug)]
pub struct Server {
    addresses: Addresses,
    stopped: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Where a server listens.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// TCP listeners.
    pub tcp: Vec<SocketAddr>,
    /// UDP sockets.
    pub udp: Vec<SocketAddr>,
    /// SCTP listeners.
    pub sctp: Vec<SocketAddr>,
}

impl Server {
    /// Listens on every address and port, by TCP and UDP.
    ///
    /// # Errors
    /// The first address that can not be listened on, by name.
    pub fn start(name: &str, tcp: &[SocketAddr], udp: &[SocketAddr]) -> io::Result<Self> {
        Self::start_on(
            name,
            &Addresses {
                tcp: tcp.to_vec(),
                udp: udp.to_vec(),
                sctp: Vec::new(),
            },
        )
    }

    /// Listens on every address and port.
    ///
    /// # Errors
    /// The first address that can not be listened on, by name.
    pub fn start_on(name: &str, Addresses { tcp, udp, sctp }: &Addresses) -> io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let mut server = Self {
            addresses: Addresses::default(),
            stopped,
            threads: Vec::new(),
        };
        for &address in tcp {
            let local = server.serve_streams(name, address, Protocol::TCP)?;
            server.addresses.tcp.push(local);
        }
        for &address in sctp {
            let local = server.serve_streams(name, address, Protocol::SCTP)?;
            server.addresses.sctp.push(local);
        }
        for &address in udp {
            let socket =
                listen(address, Protocol::UDP).map_err(|error| cannot_listen("UDP", address, &error))?;
            let local = local_address(&socket)?;
            server.addresses.udp.push(local);
            let (name, stopped) = (name.to_owned(), Arc::clone(&server.stopped));
            server.threads.push(thread::spawn(move || {
                udp::serve(&name, local, &socket.into(), &stopped);
            }));
        }
        Ok(server)
    }

    fn serve_streams(
        &mut self,
        name: &str,
        address: SocketAddr,
        protocol: Protocol,
    ) -> io::Result<SocketAddr> {
        let words = if protocol == Protocol::SCTP { "SCTP" } else { "TCP" };
        let listener = listen(address, protocol).map_err(|error| cannot_listen(words, address, &error))?;
        let local = local_address(&listener)?;
        let (name, stopped) = (name.to_owned(), Arc::clone(&self.stopped));
        self.threads.push(thread::spawn(move || {
            stream::serve(&name, &listener.into(), &stopped);
        }));
        Ok(local)
    }

    /// Where the server listens, ports of the kernel's choice filled in.
    #[must_use]
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Serves until the process ends.
    pub fn wait(mut self) {
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on stderr.
            thread.join().unwrap_or_default();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap_or_default();
        }
    }
}

/// The given ports on the given addresses, or on every address of both families.
#[must_use]
pub fn everywhere(addresses: &[IpAddr], ports: &[u16]) -> Vec<SocketAddr> {
    let both = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    let addresses = if addresses.is_empty() { &both } else { addresses };
    ports
        .iter()
        .flat_map(|&port| addresses.iter().map(move |&address| (address, port).into()))
        .collect()
}

/// One socket per family: IPv4 peers are then never shown in their IPv6-mapped form.
fn listen(address: SocketAddr, protocol: Protocol) -> io::Result<Socket> {
    let is_datagram = protocol == Protocol::UDP;
    let kind = if is_datagram { Type::DGRAM } else { Type::STREAM };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if is_datagram {
        udp::ask_for_destination(&socket, address)?;
    } else {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    if !is_datagram {
        socket.listen(1024)?;
    }
    // On Linux this bounds accept as well.
    socket.set_read_timeout(Some(STOP_CHECK))?;
    Ok(socket)
}

fn local_address(socket: &Socket) -> io::Result<SocketAddr> {
    socket
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn cannot_listen(protocol: &str, address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("cannot listen on {protocol} {address}: {error}"),
    )
}

/// Whether a call ended only because it is time to look at the stop flag.
fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
