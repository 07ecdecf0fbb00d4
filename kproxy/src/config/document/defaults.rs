//! What an absent field means (semantics 10a, 10.02).

use std::net::IpAddr;

use super::{API_VERSION, FlushFrequency, KIND, KubeProxyConfiguration};
use crate::config::GoDuration;
use crate::model::parse_address;

/// Where kube-proxy serves `/healthz`.
pub(crate) const HEALTHZ_PORT: u16 = 10_256;
/// Where kube-proxy serves `/metrics`.
pub(crate) const METRICS_PORT: u16 = 10_249;

impl KubeProxyConfiguration {
    /// Fills in the default wherever nothing, or zero, is said.
    ///
    /// The mode stays empty: kube-proxy takes the settings of its mode iptables then, while
    /// [`Mode`](crate::config::Mode) says what kproxy is.
    #[must_use]
    pub fn with_defaults(mut self) -> Self {
        or(&mut self.api_version, API_VERSION);
        or(&mut self.kind, KIND);
        or(&mut self.bind_address, "0.0.0.0");
        let (all, loopback) = match parse_address(&self.bind_address).map(kproxy_common::Address::ip) {
            Some(IpAddr::V6(_)) => ("[::]", "[::1]"),
            Some(IpAddr::V4(_)) | None => ("0.0.0.0", "127.0.0.1"),
        };
        or(&mut self.healthz_bind_address, all);
        self.healthz_bind_address = with_port(&self.healthz_bind_address, HEALTHZ_PORT);
        or(&mut self.metrics_bind_address, loopback);
        self.metrics_bind_address = with_port(&self.metrics_bind_address, METRICS_PORT);

        or(
            &mut self.client_connection.content_type,
            "application/vnd.kubernetes.protobuf",
        );
        or(&mut self.client_connection.qps, 5.0);
        or(&mut self.client_connection.burst, 10);
        or(&mut self.detect_local_mode, "ClusterCIDR");
        or(&mut self.node_port_addresses, ["primary".to_owned()]);
        self.oom_score_adj.get_or_insert(-999);
        or(&mut self.config_sync_period, GoDuration::from_seconds(15 * 60));

        let (sync, at_least) = (GoDuration::from_seconds(30), GoDuration::from_seconds(1));
        self.iptables.masquerade_bit.get_or_insert(14);
        self.iptables.localhost_node_ports.get_or_insert(true);
        or(&mut self.iptables.sync_period, sync);
        or(&mut self.iptables.min_sync_period, at_least);
        self.nftables.masquerade_bit.get_or_insert(14);
        or(&mut self.nftables.sync_period, sync);
        or(&mut self.nftables.min_sync_period, at_least);
        or(&mut self.ipvs.sync_period, sync);

        self.conntrack.max_per_core.get_or_insert(32 * 1_024);
        self.conntrack.min.get_or_insert(128 * 1_024);
        let hour = GoDuration::from_seconds(3_600);
        let day = GoDuration::from_seconds(24 * 3_600);
        self.conntrack.tcp_established_timeout.get_or_insert(day);
        self.conntrack.tcp_close_wait_timeout.get_or_insert(hour);

        or(&mut self.logging.format, "text");
        let five_seconds = FlushFrequency::Duration(GoDuration::from_seconds(5));
        or(&mut self.logging.flush_frequency, five_seconds);
        self
    }
}

/// Replaces nothing, or zero, by a default.
fn or<T: Default + PartialEq>(field: &mut T, default: impl Into<T>) {
    if *field == T::default() {
        *field = default.into();
    }
}

/// Appends a port to an address that has none; leaves anything else for the validation to name.
pub(crate) fn with_port(text: &str, port: u16) -> String {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    match parse_address(bare) {
        Some(_) if bare.contains(':') => format!("[{bare}]:{port}"),
        Some(_) => format!("{bare}:{port}"),
        None => text.to_owned(),
    }
}
