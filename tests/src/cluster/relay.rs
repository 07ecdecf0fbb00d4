//! Connects the nodes of a cluster to a server of this process that listens outside of it, such as an API server on
//! loopback.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::Context;
use nix::sys::socket::{self, shutdown};
use serde_json::{Value, json};

use super::Cluster;

/// Takes connections in the switch and passes them on; dropping it ends them.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    target: SocketAddr,
    shared: Arc<Shared>,
    listener: TcpListener,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    /// Both ends of every connection, to end them; locked to add one or to take all.
    streams: Mutex<Vec<TcpStream>>,
}

impl Cluster {
    /// Lets the nodes reach `target`, an address of this process, at the switch's address and a port.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn relay(&self, port: u16, target: SocketAddr) -> anyhow::Result<Relay> {
        let listener = self.listen_for_nodes(port)?;
        let address = listener
            .local_addr()
            .context("cannot read a listener's address")?;
        let accepting = listener.try_clone().context("cannot duplicate a listener")?;
        let shared = Arc::<Shared>::default();
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&accepting, target, &shared)
        });
        Ok(Relay {
            address,
            target,
            shared,
            listener,
        })
    }
}

impl Relay {
    /// Where the nodes find the target.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes a kubeconfig (JSON) for the target one for the nodes: another address, the same name in the certificate.
    ///
    /// # Errors
    /// When it is no kubeconfig in JSON.
    pub fn kubeconfig(&self, for_target: &str) -> anyhow::Result<String> {
        let mut config: Value = serde_json::from_str(for_target).context("cannot read the kubeconfig")?;
        let clusters = config["clusters"]
            .as_array_mut()
            .context("the kubeconfig has no clusters")?;
        for cluster in clusters {
            cluster["cluster"]["server"] = json!(format!("https://{}", self.address));
            cluster["cluster"]["tls-server-name"] = json!(self.target.ip().to_string());
        }
        Ok(format!("{config:#}\n"))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts (listen(2): EINVAL once the socket is shut down).
        shutdown(self.listener.as_raw_fd(), socket::Shutdown::Both).unwrap_or_default();
        for stream in self.shared.take() {
            stream.shutdown(Shutdown::Both).unwrap_or_default();
        }
    }
}

impl Shared {
    fn keep(&self, stream: &TcpStream) -> io::Result<()> {
        let stream = stream.try_clone()?;
        self.streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(stream);
        Ok(())
    }

    fn take(&self) -> Vec<TcpStream> {
        std::mem::take(&mut self.streams.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn accept(listener: &TcpListener, target: SocketAddr, shared: &Shared) {
    while let Ok((node, _)) = listener.accept() {
        // What can not be connected is closed, as the target would.
        join(&node, target, shared).unwrap_or_default();
        if shared.stopped.load(Ordering::Relaxed) {
            return;
        }
    }
}

fn join(node: &TcpStream, target: SocketAddr, shared: &Shared) -> io::Result<()> {
    let target = TcpStream::connect(target)?;
    for (from, to) in [(node, &target), (&target, node)] {
        from.set_nodelay(true)?;
        shared.keep(from)?;
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            // Whatever ends one direction ends the connection.
            io::copy(&mut from, &mut to).unwrap_or_default();
            from.shutdown(Shutdown::Both).unwrap_or_default();
            to.shutdown(Shutdown::Both).unwrap_or_default();
        });
    }
    Ok(())
}
