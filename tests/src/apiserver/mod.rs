//! An API server for tests and the demo.
//!
//! [`ApiServer::start`] starts a server inside the process that is good enough for a real `kubectl` and for every
//! client-go or kube-rs client of services, endpoint slices, nodes, service ranges and events. With the environment
//! variable `KUBEBUILDER_ASSETS` naming a folder with `kube-apiserver` and `etcd`, it starts those instead, so that
//! the same tests say whether the real server behaves alike. It is not a Kubernetes: no controllers run, and nothing is
//! persisted. The kubeconfig's user may do everything, service accounts what their cluster roles say.
//!
//! The way of a request: `listen` (TLS) → `server` (path) → `identity` (token) → `request` → `authorization` → `read`,
//! `watch`, `write` or `delete` → `admission` → `store`, and back through `respond`. `faults` lets tests break it.

mod admission;
mod allocations;
mod authorization;
mod convert;
mod delete;
mod discovery;
mod faults;
mod identity;
mod in_process;
mod kinds;
mod kubeconfig;
mod listen;
mod object;
mod openapi;
mod patch;
mod read;
mod real;
mod request;
mod respond;
mod seed;
mod selector;
mod server;
mod snapshots;
mod status;
mod store;
mod strategic;
mod tls;
mod watch;
mod write;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

pub use authorization::Permission;
pub use faults::{Fault, Faults};

use in_process::InProcess;
use kubeconfig::Access;
use real::Real;

/// A running API server; dropping it stops it.
#[derive(Debug)]
pub struct ApiServer {
    access: Access,
    backend: Backend,
}

/// How a server is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen, in the calling thread's network namespace; port 0 lets the kernel choose.
    pub address: SocketAddr,
    /// How many changes watches can go back (in-process server only).
    pub history: usize,
    /// How often watches that want them get bookmarks (in-process server only).
    pub bookmarks_every: Duration,
}

/// The real server cannot be told to do this.
#[derive(Debug, thiserror::Error)]
#[error(
    "{what} is not supported by the real API server (KUBEBUILDER_ASSETS is set); unset it to run this test"
)]
pub struct NotSupported {
    what: &'static str,
}

#[derive(Debug)]
enum Backend {
    InProcess(InProcess),
    /// Kept only to be dropped with us.
    Real {
        _processes: Real,
    },
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            history: 100_000,
            bookmarks_every: Duration::from_secs(5),
        }
    }
}

impl ApiServer {
    /// Starts a server on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// The server cannot listen; or the real one, when asked for, does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(Options::default()).await
    }

    /// Starts a server as told.
    ///
    /// # Errors
    /// As [`ApiServer::start`].
    pub async fn start_with(options: Options) -> anyhow::Result<Self> {
        match std::env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()) {
            Some(folder) => {
                let (real, access) = Real::start(Path::new(&folder), &options).await?;
                Ok(Self {
                    access,
                    backend: Backend::Real { _processes: real },
                })
            }
            None => Self::start_in_process(&options),
        }
    }

    /// Starts the in-process server even when `KUBEBUILDER_ASSETS` is set: for tests of faults.
    ///
    /// # Errors
    /// The server cannot listen.
    pub fn start_in_process(options: &Options) -> anyhow::Result<Self> {
        let (in_process, access) = InProcess::start(options)?;
        Ok(Self {
            access,
            backend: Backend::InProcess(in_process),
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.access.address
    }

    /// `https://address:port`.
    #[must_use]
    pub fn url(&self) -> String {
        self.access.url()
    }

    /// A kubeconfig for `kubectl` and others, with certificate and token inside.
    #[must_use]
    pub fn kubeconfig(&self) -> String {
        self.access.kubeconfig()
    }

    /// Writes [`ApiServer::kubeconfig`] to a file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write_kubeconfig(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, self.kubeconfig())
            .with_context(|| format!("write kubeconfig {}", path.display()))
    }

    /// The certificate that the server's own is signed with, as pods find it beside their token.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.access.authority_pem
    }

    /// What a user that is no administrator has done so far of what it may do.
    ///
    /// # Errors
    /// The real server is running.
    pub fn uses(&self, user: &str) -> Result<BTreeSet<Permission>, NotSupported> {
        match &self.backend {
            Backend::InProcess(in_process) => Ok(in_process.uses(user)),
            Backend::Real { .. } => Err(NotSupported {
                what: "telling what a user has done",
            }),
        }
    }

    /// A client with all rights, working on the calling Tokio runtime. It does not retry.
    ///
    /// # Errors
    /// The client cannot be built.
    pub fn client(&self) -> anyhow::Result<kube::Client> {
        self.access.client()
    }

    /// A client with the rights of whoever the token was given to; otherwise as [`ApiServer::client`].
    ///
    /// # Errors
    /// The client cannot be built.
    pub fn client_with_token(&self, token: &str) -> anyhow::Result<kube::Client> {
        let access = Access {
            token: token.to_owned(),
            ..self.access.clone()
        };
        access.client()
    }

    /// What can be made to go wrong.
    ///
    /// # Errors
    /// The real server is running.
    pub fn faults(&self) -> Result<&Faults, NotSupported> {
        match &self.backend {
            Backend::InProcess(in_process) => Ok(in_process.faults()),
            Backend::Real { .. } => Err(NotSupported {
                what: "injecting faults",
            }),
        }
    }

    /// Stores an object as it is, with nothing checked or completed: bad objects for tests.
    ///
    /// # Errors
    /// The real server is running, or the kind is not served.
    pub fn insert_unchecked(&self, object: Value) -> anyhow::Result<()> {
        match &self.backend {
            Backend::InProcess(in_process) => in_process.insert_unchecked(object),
            Backend::Real { .. } => Err(NotSupported {
                what: "storing an unchecked object",
            }
            .into()),
        }
    }
}
