//! From flags to the document they stand for.

use super::KubeProxyFlags;
use crate::config::document::KubeProxyConfiguration;
use crate::config::document::defaults::{HEALTHZ_PORT, METRICS_PORT, with_port};

impl KubeProxyFlags {
    /// The document of a kube-proxy that has no file, with its defaults.
    #[must_use]
    pub fn document(self) -> KubeProxyConfiguration {
        let mut document = KubeProxyConfiguration {
            bind_address: self.bind_address.clone().unwrap_or_default(),
            ..KubeProxyConfiguration::default()
        }
        .with_defaults();
        self.apply(&mut document);
        document
    }

    #[expect(
        clippy::too_many_lines,
        reason = "a line or two for each flag, and a new one does not compile before it has its own"
    )]
    fn apply(self, document: &mut KubeProxyConfiguration) {
        let Self {
            // Decides about defaults: it is there already.
            bind_address: _,
            healthz_bind_address,
            metrics_bind_address,
            healthz_port,
            metrics_port,
            bind_address_hard_fail,
            profiling,
            show_hidden_metrics_for_version,
            proxy_mode,
            kubeconfig,
            kube_api_content_type,
            kube_api_burst,
            kube_api_qps,
            cluster_cidr,
            detect_local_mode,
            pod_bridge_interface,
            pod_interface_name_prefix,
            nodeport_addresses,
            masquerade_all,
            iptables_masquerade_bit,
            iptables_localhost_nodeports,
            iptables_sync_period,
            iptables_min_sync_period,
            ipvs_exclude_cidrs,
            ipvs_min_sync_period,
            ipvs_scheduler,
            ipvs_strict_arp,
            ipvs_sync_period,
            ipvs_tcp_timeout,
            ipvs_tcpfin_timeout,
            ipvs_udp_timeout,
            conntrack_max_per_core,
            conntrack_min,
            conntrack_tcp_timeout_established,
            conntrack_tcp_timeout_close_wait,
            conntrack_tcp_be_liberal,
            conntrack_udp_timeout,
            conntrack_udp_timeout_stream,
            config_sync_period,
            oom_score_adj,
            feature_gates,
        } = self;
        let address = &mut document.healthz_bind_address;
        set_address(
            address,
            healthz_bind_address,
            healthz_port.unwrap_or(HEALTHZ_PORT),
        );
        let address = &mut document.metrics_bind_address;
        set_address(
            address,
            metrics_bind_address,
            metrics_port.unwrap_or(METRICS_PORT),
        );
        set(&mut document.bind_address_hard_fail, bind_address_hard_fail);
        set(&mut document.enable_profiling, profiling);
        let hidden_metrics = &mut document.show_hidden_metrics_for_version;
        set(hidden_metrics, show_hidden_metrics_for_version);
        set(&mut document.mode, proxy_mode);
        set(&mut document.config_sync_period, config_sync_period);
        set(&mut document.oom_score_adj, oom_score_adj.map(Some));
        let gates = feature_gates.into_iter().flatten();
        document
            .feature_gates
            .extend(gates.map(|gate| (gate.name, gate.enabled)));

        let connection = &mut document.client_connection;
        set(&mut connection.kubeconfig, kubeconfig);
        set(&mut connection.content_type, kube_api_content_type);
        set(&mut connection.burst, kube_api_burst);
        set(&mut connection.qps, kube_api_qps);

        set(&mut document.cluster_cidr, cluster_cidr);
        set(&mut document.detect_local_mode, detect_local_mode);
        set(&mut document.detect_local.bridge_interface, pod_bridge_interface);
        set(
            &mut document.detect_local.interface_name_prefix,
            pod_interface_name_prefix,
        );
        set(
            &mut document.node_port_addresses,
            nodeport_addresses.and_then(list),
        );

        let (iptables, nftables) = (&mut document.iptables, &mut document.nftables);
        set(&mut iptables.masquerade_all, masquerade_all);
        set(&mut nftables.masquerade_all, masquerade_all);
        set(&mut iptables.masquerade_bit, iptables_masquerade_bit.map(Some));
        set(
            &mut iptables.localhost_node_ports,
            iptables_localhost_nodeports.map(Some),
        );
        set(&mut iptables.sync_period, iptables_sync_period);
        set(&mut nftables.sync_period, iptables_sync_period);
        set(&mut iptables.min_sync_period, iptables_min_sync_period);
        set(&mut nftables.min_sync_period, iptables_min_sync_period);

        let ipvs = &mut document.ipvs;
        set(&mut ipvs.exclude_cidrs, ipvs_exclude_cidrs.and_then(list));
        set(&mut ipvs.min_sync_period, ipvs_min_sync_period);
        set(&mut ipvs.scheduler, ipvs_scheduler);
        set(&mut ipvs.strict_arp, ipvs_strict_arp);
        set(&mut ipvs.sync_period, ipvs_sync_period);
        set(&mut ipvs.tcp_timeout, ipvs_tcp_timeout);
        set(&mut ipvs.tcp_fin_timeout, ipvs_tcpfin_timeout);
        set(&mut ipvs.udp_timeout, ipvs_udp_timeout);

        let conntrack = &mut document.conntrack;
        set(&mut conntrack.max_per_core, conntrack_max_per_core.map(Some));
        set(&mut conntrack.min, conntrack_min.map(Some));
        let established = conntrack_tcp_timeout_established;
        set(&mut conntrack.tcp_established_timeout, established.map(Some));
        let close_wait = conntrack_tcp_timeout_close_wait;
        set(&mut conntrack.tcp_close_wait_timeout, close_wait.map(Some));
        set(&mut conntrack.tcp_be_liberal, conntrack_tcp_be_liberal);
        set(&mut conntrack.udp_timeout, conntrack_udp_timeout);
        set(&mut conntrack.udp_stream_timeout, conntrack_udp_timeout_stream);
    }
}

fn set<T>(field: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *field = value;
    }
}

/// An empty address leaves the default (semantics 10.09); the port 0 leaves no address at all (10.08).
fn set_address(field: &mut String, flag: Option<String>, port: u16) {
    set(field, flag.filter(|address| !address.is_empty()));
    *field = match port {
        0 => String::new(),
        port => with_port(field, port),
    };
}

/// A list without its empty entries, or nothing.
fn list(entries: Vec<String>) -> Option<Vec<String>> {
    let entries: Vec<_> = entries.into_iter().filter(|entry| !entry.is_empty()).collect();
    (!entries.is_empty()).then_some(entries)
}
