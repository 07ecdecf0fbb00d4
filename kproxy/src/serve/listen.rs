//! Opening and closing TCP servers.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, anyhow};
use axum::Router;
use axum::serve::Listener;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::events::{Events, Notice};

/// How many connections may wait to be accepted; the kernel's own limit is no larger by default.
const BACKLOG: i32 = 1_024;

/// Which clients an IPv6 socket takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clients {
    /// Of both families, if the address is the unspecified one.
    Both,
    /// Of the address's family only, so that the other family can have a socket of its own.
    SameFamily,
}

/// Listens at an address.
pub(super) fn bind(address: SocketAddr, clients: Clients) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // What a server before us has left in TIME_WAIT shall not keep us out.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(clients == Clients::SameFamily)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Listens for clients of both families: the unspecified address of either means every address of the node, as it does
/// in Go's `net.Listen`, which kube-proxy's servers are opened by. A node without IPv6 has those of IPv4 only.
fn bind_everywhere(what: &str, address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_unspecified() {
        return bind(address, Clients::Both);
    }
    match bind((Ipv6Addr::UNSPECIFIED, address.port()).into(), Clients::Both) {
        Err(error) if is_for_want_of_ipv6(&error) => {
            let fallback = (Ipv4Addr::UNSPECIFIED, address.port()).into();
            let listener = bind(fallback, Clients::SameFamily)?;
            tracing::info!("this node has no IPv6: listening at {fallback} for {what}");
            Ok(listener)
        }
        bound => bound,
    }
}

/// No socket where the kernel has no IPv6 (`ipv6.disable=1`), or no address for it where it was switched off later.
fn is_for_want_of_ipv6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

/// A server that has one address for as long as the process lives.
pub(super) struct Server {
    /// What it is, for messages.
    pub(super) what: &'static str,
    pub(super) address: SocketAddr,
    pub(super) router: Router,
    /// What to do when the address can not be had: with a notice for the cluster the process ends, without one it is
    /// tried again after a while (semantics 9.12, 9.18).
    pub(super) fatal: Option<Notice>,
    pub(super) pause: Duration,
}

/// Starts a server in `tasks` and gives the address that it has, or `None` if it has none yet.
pub(super) async fn start(
    server: Server,
    events: &Events,
    tasks: &mut JoinSet<()>,
) -> Result<Option<SocketAddr>> {
    let Server {
        what,
        address,
        router,
        fatal,
        pause,
    } = server;
    match (bind_everywhere(what, address), fatal) {
        (Ok(listener), _) => {
            let local = listener.local_addr().ok();
            tasks.spawn(serve(listener, router));
            Ok(local)
        }
        (Err(error), Some(notice)) => {
            let problem = format!("listen at {address} for {what}: {error}");
            events.deliver(notice.saying(&problem)).await;
            Err(anyhow!(problem).context("a server can not be opened, and bindAddressHardFail is set"))
        }
        (Err(error), None) => {
            tracing::error!("listen at {address} for {what}: {error}; trying again, everything else goes on");
            tasks.spawn(async move {
                serve(insist(what, address, pause).await, router).await;
            });
            Ok(None)
        }
    }
}

async fn insist(what: &str, address: SocketAddr, pause: Duration) -> TcpListener {
    loop {
        tokio::time::sleep(pause).await;
        match bind_everywhere(what, address) {
            Ok(listener) => {
                tracing::info!("listening at {address} for {what}, at last");
                return listener;
            }
            Err(error) => tracing::debug!("listen at {address} for {what}: {error}; trying again"),
        }
    }
}

async fn serve(listener: TcpListener, router: Router) {
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!("a server ended: {error}");
    }
}

/// A server that can be closed. Dropping it begins that, [`Closable::close`] waits until its port is free.
#[derive(Debug)]
pub(super) struct Closable {
    /// Nothing is ever sent; its end is the signal.
    stop: oneshot::Sender<()>,
    closed: oneshot::Receiver<()>,
}

impl Closable {
    pub(super) fn start(listener: TcpListener, router: Router) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (closing, closed) = oneshot::channel();
        let listener = Told {
            listener,
            _closed: closing,
        };
        let signal = async {
            stopped.await.ok();
        };
        tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(signal)
                .await
                .ok();
        });
        Self { stop, closed }
    }

    /// Takes no more connections from here on; those that are open end with the answer they wait for.
    pub(super) async fn close(self) {
        drop(self.stop);
        self.closed.await.ok();
    }
}

/// A listener whose end is noticed.
struct Told {
    // Dropped in this order: when the end is noticed, the socket is closed.
    listener: TcpListener,
    _closed: oneshot::Sender<()>,
}

impl Listener for Told {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        Listener::accept(&mut self.listener).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
