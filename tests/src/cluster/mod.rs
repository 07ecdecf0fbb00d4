//! Clusters of network namespaces: nodes, their pods, clients outside and the switch between them.
//!
//! ```no_run
//! use kproxy_tests::{cluster::{Cluster, Cni, Via}, echo::Options};
//!
//! # fn main() -> anyhow::Result<()> {
//! let cluster = Cluster::builder("example")
//!     .cni(Cni::RoutedVeth)
//!     .node("a", |node| node.pod("client"))
//!     .node("b", |node| node.pod("web-1"))
//!     .client_outside("ext")
//!     .build()?;
//! let web = cluster.pod("web-1");
//! let _server = web.serve(Via::Socket, &[8080], &[])?;
//! let reports = cluster.pod("client").ask(Via::Socket, &Options::to((web.v4(), 8080).into()))?;
//! assert_eq!(reports[0].pod(), Some("web-1"));
//! # Ok(())
//! # }
//! ```
//!
//! What a cluster is:
//!
//! * [`builder`] says what is wanted, [`layout`] gives it names and addresses, [`script`] turns that into lines for the
//!   `ip` tool and sysctls, all three pure; `make` carries it out
//! * [`namespace`], [`cgroup`], [`ip`] and [`environment`] are the edges to the kernel
//! * [`host`], [`node`], [`process`], [`agent`] run things inside, `spawn` is where a child changes its surroundings
//! * [`relay`] lets nodes reach an API server of this process
//! * [`tunnel`] connects two namespaces by devices without Ethernet headers
//! * [`cleanup`] and [`interrupt`] remove everything: on drop, after a panic, on a signal, and what a killed process left
//!
//! Everything a cluster makes carries the process id and the cluster's name, so that clusters never meet, and so that
//! removal needs nothing but the names.

use std::{net::TcpListener, path::Path};

use anyhow::Context;

pub mod agent;
pub mod builder;
pub mod cgroup;
pub mod cleanup;
pub mod environment;
pub mod host;
pub mod interrupt;
pub mod ip;
pub mod layout;
mod make;
pub mod namespace;
pub mod node;
pub mod process;
pub mod relay;
pub mod script;
mod spawn;
pub mod tunnel;

pub use agent::{Agent, AgentOptions, Source};
pub use builder::{Builder, Cni, NodeBuilder};
pub use host::{Host, Load, Via};
pub use layout::{Addresses, of};
pub use namespace::Namespace;
pub use node::Node;
pub use process::Process;
pub use relay::Relay;
pub use tunnel::{Tunnel, tap};

/// A running cluster; dropping it removes everything it made and kills everything that runs in it.
///
/// Keep it in a local variable: statics are never dropped.
#[derive(Debug)]
pub struct Cluster {
    switch: Namespace,
    switch_addresses: Addresses,
    nodes: Vec<Node>,
    pods: Vec<Host>,
    clients: Vec<Host>,
    // Last: drops after every handle into the cluster.
    remains: cleanup::Remains,
}

impl Cluster {
    /// Starts the description of a cluster. `name` is short, lower case, letters and digits.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    /// A node by name.
    ///
    /// # Panics
    /// When the cluster has no such node: a mistake in the test.
    #[must_use]
    pub fn node(&self, name: &str) -> &Node {
        self.nodes
            .iter()
            .find(|node| node.name() == name)
            .expect("a node that the cluster was built with")
    }

    /// A pod by name.
    ///
    /// # Panics
    /// When the cluster has no such pod: a mistake in the test.
    #[must_use]
    pub fn pod(&self, name: &str) -> &Host {
        self.pods
            .iter()
            .find(|pod| pod.name() == name)
            .expect("a pod that the cluster was built with")
    }

    /// A client outside by name.
    ///
    /// # Panics
    /// When the cluster has no such client: a mistake in the test.
    #[must_use]
    pub fn client(&self, name: &str) -> &Host {
        self.clients
            .iter()
            .find(|client| client.name() == name)
            .expect("a client that the cluster was built with")
    }

    /// Every node, in the order of the builder.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Every pod, in the order of the builder.
    #[must_use]
    pub fn pods(&self) -> &[Host] {
        &self.pods
    }

    /// Every client outside, in the order of the builder.
    #[must_use]
    pub fn clients(&self) -> &[Host] {
        &self.clients
    }

    /// The switch, which every node and every client outside can reach at [`Cluster::switch_addresses`].
    #[must_use]
    pub fn switch(&self) -> &Namespace {
        &self.switch
    }

    /// The switch's own addresses: where an API server for the agents listens.
    #[must_use]
    pub fn switch_addresses(&self) -> Addresses {
        self.switch_addresses
    }

    /// A listener that this process accepts on and the nodes reach at the switch's IPv4 address: a socket stays in the
    /// namespace it was made in.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn listen_for_nodes(&self, port: u16) -> anyhow::Result<TcpListener> {
        let address = (self.switch_addresses.v4, port);
        self.switch.run(|| TcpListener::bind(address))?.with_context(|| {
            format!(
                "cannot listen on {}:{port} in the switch",
                self.switch_addresses.v4
            )
        })
    }

    /// The folder on the BPF file system that holds every node's pin directory.
    #[must_use]
    pub fn pin_dir(&self) -> &Path {
        self.remains.pin_dir()
    }

    /// The cgroup that holds every process of the cluster.
    #[must_use]
    pub fn cgroup_dir(&self) -> &Path {
        self.remains.cgroup_dir()
    }
}
