//! The listening socket and its connections. It can be taken down and brought back, on the same address and in the
//! network namespace it was first opened in.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use nix::sched::{CloneFlags, setns};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// A server on its address, up or down.
#[derive(Debug)]
pub(crate) struct Listening {
    address: SocketAddr,
    namespace: File,
    runtime: Handle,
    router: Router,
    acceptor: Acceptor,
    /// A lock, because tests may stop and start from several threads.
    up: Mutex<Option<Up>>,
}

#[derive(Clone)]
struct Acceptor(TlsAcceptor);

#[derive(Debug)]
struct Up {
    stop: CancellationToken,
    /// Ends when the listener and every connection are gone.
    gone: mpsc::Receiver<()>,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Acceptor")
    }
}

impl Listening {
    /// Listens on `address` in the calling thread's network namespace; port 0 lets the kernel choose.
    pub(crate) fn open(
        address: SocketAddr,
        runtime: Handle,
        acceptor: TlsAcceptor,
        router: impl FnOnce(SocketAddr) -> Router,
    ) -> anyhow::Result<Self> {
        let listener = bind(address)?;
        let address = listener.local_addr().context("read the API server's address")?;
        let listening = Self {
            address,
            namespace: current_namespace()?,
            runtime,
            router: router(address),
            acceptor: Acceptor(acceptor),
            up: Mutex::new(None),
        };
        listening.serve(listener)?;
        Ok(listening)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and all connections; returns when they are closed.
    pub(crate) fn stop(&self) {
        let up = self
            .up
            .lock()
            .expect("nothing panics while it holds the listener")
            .take();
        let Some(Up { stop, gone }) = up else { return };
        stop.cancel();
        // The tasks hold the sender's clones; the timeout is for a runtime that was shut down under us.
        let _ended = gone.recv_timeout(Duration::from_secs(5));
    }

    /// Listens again, if it does not.
    pub(crate) fn start(&self) -> anyhow::Result<()> {
        if self
            .up
            .lock()
            .expect("nothing panics while it holds the listener")
            .is_some()
        {
            return Ok(());
        }
        let listener = self.bind_again()?;
        self.serve(listener)
    }

    fn bind_again(&self) -> anyhow::Result<TcpListener> {
        let here = current_namespace()?
            .metadata()
            .context("compare network namespaces")?
            .ino();
        if here
            == self
                .namespace
                .metadata()
                .context("compare network namespaces")?
                .ino()
        {
            return bind(self.address);
        }
        // Only a thread of its own may change its namespace without surprising the rest of the process.
        std::thread::scope(|scope| {
            let bind_there = || {
                setns(&self.namespace, CloneFlags::CLONE_NEWNET)
                    .context("enter the API server's network namespace")?;
                bind(self.address)
            };
            scope.spawn(bind_there).join().expect("binding does not panic")
        })
    }

    fn serve(&self, listener: TcpListener) -> anyhow::Result<()> {
        listener
            .set_nonblocking(true)
            .context("make the API server's socket non-blocking")?;
        let stop = CancellationToken::new();
        let (alive, gone) = mpsc::channel();
        *self
            .up
            .lock()
            .expect("nothing panics while it holds the listener") = Some(Up {
            stop: stop.clone(),
            gone,
        });

        let (router, acceptor, runtime) =
            (self.router.clone(), self.acceptor.0.clone(), self.runtime.clone());
        self.runtime.spawn(async move {
            // Made here, because registering a socket needs the runtime that will poll it.
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                return;
            };
            loop {
                let accepted = tokio::select! {
                    () = stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let Ok((stream, _)) = accepted else { continue };
                let connection = connection(stream, acceptor.clone(), router.clone());
                let (stop, alive) = (stop.clone(), alive.clone());
                runtime.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = connection => {}
                    }
                    drop(alive);
                });
            }
        });
        Ok(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    // Events are small and must not wait for more.
    let _best_effort = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let service = TowerToHyperService::new(router);
    let builder = auto::Builder::new(TokioExecutor::new());
    let served = builder.serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}

fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    // The standard library sets SO_REUSEADDR on Unix, so that a restart need not wait for old connections.
    TcpListener::bind(address).with_context(|| format!("listen on {address} for the API server"))
}

fn current_namespace() -> anyhow::Result<File> {
    File::open("/proc/thread-self/ns/net").context("open the current network namespace")
}
