//! kube-proxy's flags that mirror fields of its document (semantics 10.07 to 10.11). With a file they are ignored.

#![expect(clippy::doc_markdown, reason = "these comments are the help that users read")]

use clap::Args;
use clap::builder::BoolishValueParser;
use serde::Serialize;
use serde_json::Value;

use super::GoDuration;

mod apply;
mod gate;
mod logging;
mod own;

pub use gate::FeatureGate;
pub use logging::LoggingFlags;
pub use own::OwnFlags;

/// The flags. What they mean is in `docs/configuration.md`.
#[derive(Args, Clone, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "kube-proxy's settings (ignored with --config; see docs/configuration.md)")]
pub struct KubeProxyFlags {
    /// Address that replaces this node's of its family.
    #[arg(long, value_name = "IP")]
    pub bind_address: Option<String>,
    /// Where /healthz and /livez are served [default: 0.0.0.0:10256].
    #[arg(long, value_name = "IP:PORT")]
    pub healthz_bind_address: Option<String>,
    /// Where /metrics is served [default: 127.0.0.1:10249].
    #[arg(long, value_name = "IP:PORT")]
    pub metrics_bind_address: Option<String>,
    /// Port of a health address without one; 0 disables it.
    #[arg(long, value_name = "PORT", hide = true)]
    pub healthz_port: Option<u16>,
    /// Port of a metrics address without one.
    #[arg(long, value_name = "PORT", hide = true)]
    pub metrics_port: Option<u16>,
    /// End when a port of health or metrics can not be bound.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub bind_address_hard_fail: Option<bool>,
    /// Serve profiles.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub profiling: Option<bool>,
    /// Show metrics that a release hides.
    #[arg(long, value_name = "VERSION", hide = true)]
    pub show_hidden_metrics_for_version: Option<String>,
    /// iptables, ipvs or nftables: whose settings are used, and what /proxyMode answers.
    #[arg(long, value_name = "MODE")]
    pub proxy_mode: Option<String>,
    /// How to reach the API server [default: the service account of the pod].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<String>,
    /// Content type of requests.
    #[arg(long, value_name = "TYPE", hide = true)]
    pub kube_api_content_type: Option<String>,
    /// Requests at once.
    #[arg(long, value_name = "N", allow_hyphen_values = true, hide = true)]
    pub kube_api_burst: Option<i32>,
    /// Requests a second.
    #[arg(long, value_name = "N", allow_hyphen_values = true, hide = true)]
    pub kube_api_qps: Option<f32>,
    /// Ranges of pod addresses, one of each family, separated by a comma.
    #[arg(long, value_name = "CIDR,...")]
    pub cluster_cidr: Option<String>,
    /// How local traffic is told apart: ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix.
    #[arg(long, value_name = "MODE")]
    pub detect_local_mode: Option<String>,
    /// The bridge of mode BridgeInterface.
    #[arg(long, value_name = "DEVICE")]
    pub pod_bridge_interface: Option<String>,
    /// The prefix of mode InterfaceNamePrefix.
    #[arg(long, value_name = "PREFIX")]
    pub pod_interface_name_prefix: Option<String>,
    /// On which addresses NodePorts answer: ranges, or `primary` [default: primary].
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',')]
    pub nodeport_addresses: Option<Vec<String>>,
    /// Give all traffic to ClusterIPs the node's address.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub masquerade_all: Option<bool>,
    /// The bit of a packet's mark that asks for SNAT.
    #[arg(long, value_name = "BIT", allow_hyphen_values = true, hide = true)]
    pub iptables_masquerade_bit: Option<i32>,
    /// Whether NodePorts answer on loopback addresses [default: true].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub iptables_localhost_nodeports: Option<bool>,
    /// Half the time without success after which this node counts as unhealthy [default: 30s].
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub iptables_sync_period: Option<GoDuration>,
    /// The least time between two rounds; kproxy has none.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, hide = true)]
    pub iptables_min_sync_period: Option<GoDuration>,
    /// Of mode ipvs.
    #[arg(long, value_name = "CIDR,...", value_delimiter = ',', hide = true)]
    pub ipvs_exclude_cidrs: Option<Vec<String>>,
    /// Of mode ipvs.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, hide = true)]
    pub ipvs_min_sync_period: Option<GoDuration>,
    /// Of mode ipvs.
    #[arg(long, value_name = "NAME", hide = true)]
    pub ipvs_scheduler: Option<String>,
    /// Of mode ipvs.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(), hide = true)]
    pub ipvs_strict_arp: Option<bool>,
    /// Of mode ipvs.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, hide = true)]
    pub ipvs_sync_period: Option<GoDuration>,
    /// Of mode ipvs.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, hide = true)]
    pub ipvs_tcp_timeout: Option<GoDuration>,
    /// Of mode ipvs.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, hide = true)]
    pub ipvs_tcpfin_timeout: Option<GoDuration>,
    /// Of mode ipvs.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, hide = true)]
    pub ipvs_udp_timeout: Option<GoDuration>,
    /// Connections the kernel tracks, for each core; 0 leaves its number alone [default: 32768].
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub conntrack_max_per_core: Option<i32>,
    /// Connections the kernel tracks at least [default: 131072].
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub conntrack_min: Option<i32>,
    /// The kernel's timeout of established TCP connections; 0 leaves it alone [default: 24h].
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub conntrack_tcp_timeout_established: Option<GoDuration>,
    /// The kernel's timeout of half-closed TCP connections; 0 leaves it alone [default: 1h].
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub conntrack_tcp_timeout_close_wait: Option<GoDuration>,
    /// Let the kernel's tracking take packets out of the window.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub conntrack_tcp_be_liberal: Option<bool>,
    /// The kernel's timeout of UDP that was not answered; 0 leaves it alone.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub conntrack_udp_timeout: Option<GoDuration>,
    /// The kernel's timeout of UDP that was answered; 0 leaves it alone.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub conntrack_udp_timeout_stream: Option<GoDuration>,
    /// How often everything is looked at anew; kproxy needs no such look.
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true, hide = true)]
    pub config_sync_period: Option<GoDuration>,
    /// The out-of-memory killer's adjustment of this process [default: -999].
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub oom_score_adj: Option<i32>,
    /// Features as NAME=true or NAME=false; kproxy knows AllowServiceExternalIPs.
    #[arg(long, value_name = "NAME=BOOL,...", value_delimiter = ',')]
    pub feature_gates: Option<Vec<FeatureGate>>,
}

impl KubeProxyFlags {
    /// Those that were given, as they are written.
    #[must_use]
    pub fn given(&self) -> Vec<String> {
        let Ok(Value::Object(flags)) = serde_json::to_value(self) else {
            return Vec::new();
        };
        let given = flags.into_iter().filter(|(_, value)| !value.is_null());
        given.map(|(name, _)| format!("--{name}")).collect()
    }
}
