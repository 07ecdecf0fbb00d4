//! The sections of the document.

use serde::{Deserialize, Serialize};

use crate::config::GoDuration;

/// How the API server is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientConnection {
    /// A kubeconfig file; empty: the pod's service account.
    pub kubeconfig: String,
    /// Content types of answers.
    pub accept_content_types: String,
    /// Content type of requests.
    pub content_type: String,
    /// Requests a second.
    pub qps: f32,
    /// Requests at once.
    pub burst: i32,
}

/// The device names of two modes of local detection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DetectLocal {
    /// Of mode `BridgeInterface`.
    pub bridge_interface: String,
    /// Of mode `InterfaceNamePrefix`.
    pub interface_name_prefix: String,
}

/// Of mode iptables, and of no mode.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Iptables {
    /// The bit of a packet's mark that asks for SNAT.
    pub masquerade_bit: Option<i32>,
    /// Whether all traffic to ClusterIPs gets the node's address.
    pub masquerade_all: bool,
    /// Whether NodePorts answer on loopback addresses.
    pub localhost_node_ports: Option<bool>,
    /// After which time to try again.
    pub sync_period: GoDuration,
    /// The least time between two rounds.
    pub min_sync_period: GoDuration,
}

/// Of mode nftables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Nftables {
    /// The bit of a packet's mark that asks for SNAT.
    pub masquerade_bit: Option<i32>,
    /// Whether all traffic to ClusterIPs gets the node's address.
    pub masquerade_all: bool,
    /// After which time to try again.
    pub sync_period: GoDuration,
    /// The least time between two rounds.
    pub min_sync_period: GoDuration,
}

/// Of mode ipvs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ipvs {
    /// After which time to try again.
    pub sync_period: GoDuration,
    /// The least time between two rounds.
    pub min_sync_period: GoDuration,
    /// IPVS scheduler.
    pub scheduler: String,
    /// Virtual servers that are left alone.
    #[serde(rename = "excludeCIDRs")]
    pub exclude_cidrs: Vec<String>,
    /// Whether `arp_ignore` and `arp_announce` are set.
    #[serde(rename = "strictARP")]
    pub strict_arp: bool,
    /// Timeout of idle TCP sessions.
    pub tcp_timeout: GoDuration,
    /// Timeout of TCP sessions after FIN.
    pub tcp_fin_timeout: GoDuration,
    /// Timeout of UDP.
    pub udp_timeout: GoDuration,
}

/// Of Windows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Winkernel {
    /// Name of the HNS network.
    pub network_name: String,
    /// Address of the source virtual IP.
    pub source_vip: String,
    /// Direct server return.
    #[serde(rename = "enableDSR")]
    pub enable_dsr: bool,
    /// Name of the endpoint of the root network namespace.
    pub root_hns_endpoint_name: String,
    /// Whether health probes to load-balancer addresses are forwarded.
    pub forward_health_check_vip: bool,
}

/// Settings of the kernel's connection tracking (semantics 7.14 to 7.19).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Conntrack {
    /// Connections for each core; 0 leaves the kernel's number alone.
    pub max_per_core: Option<i32>,
    /// Connections at least.
    pub min: Option<i32>,
    /// Timeout of established TCP connections; 0 leaves it alone.
    pub tcp_established_timeout: Option<GoDuration>,
    /// Timeout of half-closed TCP connections; 0 leaves it alone.
    pub tcp_close_wait_timeout: Option<GoDuration>,
    /// Whether packets out of the window are let through.
    pub tcp_be_liberal: bool,
    /// Timeout of UDP that was not answered; 0 leaves it alone.
    pub udp_timeout: GoDuration,
    /// Timeout of UDP that was answered; 0 leaves it alone.
    pub udp_stream_timeout: GoDuration,
}
