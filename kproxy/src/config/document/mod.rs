//! `KubeProxyConfiguration` v1alpha1, as it stands in a file and in `/configz`.
//!
//! The types have every field of `k8s.io/kube-proxy/config/v1alpha1` under its own name, so that a file of kube-proxy's is
//! read whole and written back whole. A field that is absent, `null` or zero means its default; `defaults` fills it in.
//! What the fields mean is decided in [`Config`](super::Config).

pub(crate) mod defaults;
mod logging;
mod sections;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use logging::{FlushFrequency, FormatOptions, Logging, OutputRouting, VerbosityOf};
pub use sections::{ClientConnection, Conntrack, DetectLocal, Iptables, Ipvs, Nftables, Winkernel};

use super::GoDuration;

/// The `apiVersion` of the document.
pub const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
/// The `kind` of the document.
pub const KIND: &str = "KubeProxyConfiguration";

/// The document. Its [`Default`] says nothing; see [`with_defaults`](Self::with_defaults).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubeProxyConfiguration {
    /// [`API_VERSION`].
    pub api_version: String,
    /// [`KIND`].
    pub kind: String,
    /// An address that replaces this node's of its family; the unspecified one replaces nothing.
    pub bind_address: String,
    /// Where `/healthz` and `/livez` are served; an empty one is disabled.
    pub healthz_bind_address: String,
    /// Where `/metrics` and the like are served.
    pub metrics_bind_address: String,
    /// Whether to end when one of the two can not be bound.
    pub bind_address_hard_fail: bool,
    /// Whether profiles are served.
    pub enable_profiling: bool,
    /// Metrics that this release hides are shown as this one did.
    pub show_hidden_metrics_for_version: String,
    /// Name of this machine's Node; empty: the host's name.
    pub hostname_override: String,
    /// How the API server is reached.
    pub client_connection: ClientConnection,
    /// The log.
    pub logging: Logging,
    /// Alpha and beta features.
    pub feature_gates: BTreeMap<String, bool>,
    /// `iptables`, `ipvs`, `nftables`, or nothing.
    pub mode: String,
    /// Of mode iptables, and of no mode.
    pub iptables: Iptables,
    /// Of mode ipvs.
    pub ipvs: Ipvs,
    /// Of mode nftables.
    pub nftables: Nftables,
    /// Of Windows.
    pub winkernel: Winkernel,
    /// How local traffic is told apart.
    pub detect_local_mode: String,
    /// The device names of two of those modes.
    pub detect_local: DetectLocal,
    /// Ranges of pod addresses, separated by a comma.
    #[serde(rename = "clusterCIDR")]
    pub cluster_cidr: String,
    /// On which addresses NodePorts answer: ranges, or the one word `primary`.
    pub node_port_addresses: Vec<String>,
    /// For this process.
    pub oom_score_adj: Option<i32>,
    /// Settings of the kernel's connection tracking.
    pub conntrack: Conntrack,
    /// How often everything is looked at anew.
    pub config_sync_period: GoDuration,
    /// Legacy.
    pub port_range: String,
    /// Of Windows.
    pub windows_run_as_service: bool,
}
