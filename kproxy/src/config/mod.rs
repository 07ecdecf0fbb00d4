//! What an operator has asked for: kube-proxy's configuration file and flags, and kproxy's own.
//!
//! * [`load()`]: from command line and file to a [`Config`]; [`flags`] and [`decode`] read them
//! * [`document`], [`own_document`]: `KubeProxyConfiguration` and `KproxyConfiguration` as they are written
//! * [`Config`]: what they mean. Made once at the start; after that nothing can be invalid
//! * [`NodePortAddresses`], [`LocalDetector`], [`NodeAddresses`], [`Conntrack`]: its parts that decide something
//! * [`GoDuration`]: how durations are written
//!
//! Which fields and flags have a meaning here, and which are only accepted, is in `docs/configuration.md`.

mod conntrack;
pub mod decode;
mod detector;
pub mod document;
#[cfg(test)]
mod documentation;
mod duration;
pub mod flags;
mod interpret;
mod load;
mod node_addresses;
mod node_ports;
mod notes;
pub mod own_document;
mod port_range;
mod problems;
mod tolerant;
pub mod watch;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use kproxy_common::Family;

use crate::cli::LogFormat;
use crate::dataplane::{DeviceHooks, XdpMode};
use crate::devices::Rules;
use crate::model::LoadBalancing;
use crate::sizes::SizeArgs;

pub use conntrack::{Conntrack, MostConnections};
pub use detector::{LocalDetector, WrongFamily};
pub use document::KubeProxyConfiguration;
pub use duration::{DurationError, GoDuration};
pub use load::{Loaded, load};
pub use node_addresses::NodeAddresses;
pub use node_ports::{NodePortAddresses, loopback};
pub use own_document::KproxyConfiguration;
pub use port_range::{PortRange, PortRangeError};
pub use problems::{FieldProblem, InvalidConfiguration};

/// What an operator has asked for.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are switches of the file, each for itself"
)]
pub struct Config {
    /// Name of this machine's Node, in lower case.
    pub node_name: String,
    /// What replaces this node's address of its family; see [`NodeAddresses::of`]. Never the unspecified address.
    pub bind_address: Option<IpAddr>,
    /// Where `/healthz` and `/livez` are served, if at all.
    pub healthz: Option<SocketAddr>,
    /// Where `/metrics` and the like are served.
    pub metrics: SocketAddr,
    /// Whether to end when one of the two can not be bound.
    pub bind_hard_fail: bool,
    /// Whether profiles may be served with the metrics.
    pub profiling: bool,
    /// How the API server is reached.
    pub connection: Connection,
    /// How local traffic is told apart.
    pub detector: LocalDetector,
    /// On which addresses NodePorts answer.
    pub node_port_addresses: NodePortAddresses,
    /// Whether NodePorts may answer on loopback addresses; see [`Self::serves_loopback`].
    pub localhost_node_ports: bool,
    /// Whether all traffic to ClusterIPs shall get the node's address.
    pub masquerade_all: bool,
    /// The least time between two rounds of kube-proxy's. kproxy has no rounds: the first change is applied at once.
    pub min_sync_period: Duration,
    /// After which time without success kube-proxy counts as unhealthy, twice (semantics 9.04).
    pub sync_period: Duration,
    /// How often kube-proxy looks at everything anew.
    pub config_sync_period: Duration,
    /// What shall be set of the kernel's connection tracking.
    pub conntrack: Conntrack,
    /// The out-of-memory killer's adjustment of this process.
    pub oom_score_adj: i32,
    /// The gate `AllowServiceExternalIPs`.
    pub allow_external_ips: bool,
    /// What `/proxyMode` answers.
    pub mode: Mode,
    /// The whole document with its defaults, as `/configz` shows it.
    pub document: KubeProxyConfiguration,
    /// What is only kproxy's.
    pub own: Own,
}

impl Config {
    /// Whether NodePorts of a family answer on its loopback addresses, for the node's own processes (semantics 3.27, for
    /// both families).
    #[must_use]
    pub fn serves_loopback(&self, family: Family) -> bool {
        self.localhost_node_ports && self.node_port_addresses.covers_loopback(family)
    }

    /// Checks `clusterCIDR` against the families that this machine has.
    ///
    /// # Errors
    ///
    /// When it can tell no packet apart.
    pub fn check_families(&self, node: &[Family]) -> Result<(), WrongFamily> {
        self.detector
            .check_families("KubeProxyConfiguration.clusterCIDR", node)
    }
}

/// How the API server is reached.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Connection {
    /// A kubeconfig file; none: the pod's service account.
    pub kubeconfig: Option<PathBuf>,
    /// The server's URL, before what the kubeconfig says.
    pub master: Option<String>,
    /// Content types of answers that were asked for.
    pub accept_content_types: String,
    /// Content type of requests that was asked for.
    pub content_type: String,
    /// Requests a second.
    pub qps: f32,
    /// Requests at once.
    pub burst: u32,
}

/// A mode of kube-proxy.
///
/// kproxy behaves like `nftables` where modes differ, and says so when nothing is configured. A mode that is configured
/// is repeated: who compares the answer with the file must find the same (semantics 9.17).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `iptables`
    Iptables,
    /// `ipvs`
    Ipvs,
    /// `nftables`
    #[default]
    Nftables,
}

impl Mode {
    /// As it stands in the file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Ipvs => "ipvs",
            Self::Nftables => "nftables",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is only kproxy's: the document `KproxyConfiguration`, overridden by flags.
#[derive(Clone, Debug, PartialEq)]
pub struct Own {
    /// A directory of manifests to read instead of asking an API server.
    pub manifests: Option<PathBuf>,
    /// Directory in a BPF file system that holds maps and links.
    pub pin_dir: PathBuf,
    /// The cgroup whose processes reach Services by their sockets; none: the root of cgroup v2.
    pub cgroup: Option<PathBuf>,
    /// Which devices are which doors.
    pub devices: Rules,
    /// How programs are put on devices; none: as the kernel likes it best.
    pub device_hooks: Option<DeviceHooks>,
    /// Where XDP decides on what comes in by uplinks.
    pub xdp: XdpMode,
    /// How clients outside are balanced, where a Service does not say.
    pub load_balancing: LoadBalancing,
    /// Where the API server gives NodePorts out.
    pub node_port_range: PortRange,
    /// How log lines look.
    pub log_format: LogFormat,
    /// How large the tables are.
    pub sizes: SizeArgs,
    /// Directories with named network namespaces.
    pub netns_dirs: Vec<PathBuf>,
    /// Whether a normal start removes the rules of a former kube-proxy.
    pub remove_kube_proxy_rules: bool,
}
