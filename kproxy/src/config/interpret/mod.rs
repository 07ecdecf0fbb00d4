//! From documents to what they mean (semantics 10.04, 5.17, 3.19).
//!
//! Every part reads its fields, names what is wrong with them and goes on with something harmless, so that an operator
//! learns everything at once. What it went on with is never used: problems end the start.

mod addresses;
mod numbers;
mod own;
mod traffic;

use std::path::PathBuf;

use super::document::{self, ClientConnection, KubeProxyConfiguration};
use super::own_document::KproxyConfiguration;
use super::problems::{InvalidConfiguration, Problems};
use super::{Config, Connection, Mode};

/// The feature gate that services' external addresses depend on (semantics 1.23).
pub(super) const EXTERNAL_IPS: &str = "AllowServiceExternalIPs";

impl Config {
    /// Interprets a document with all of its defaults, and kproxy's own one with what the flags add to it.
    ///
    /// # Errors
    ///
    /// Names every field that is wrong.
    pub fn new(
        document: KubeProxyConfiguration,
        own: KproxyConfiguration,
        node_name: String,
        master: Option<String>,
    ) -> Result<Self, InvalidConfiguration> {
        let mut problems = Problems::default();
        let bind_address = addresses::bind_address(&document, &mut problems);
        let healthz = addresses::healthz(&document, &mut problems);
        let metrics = addresses::metrics(&document, &mut problems);
        let connection = connection(&document.client_connection, master, &mut problems);
        let mode = mode(&document.mode, &mut problems);
        let (sync_period, min_sync_period) = numbers::periods(&document, mode, &mut problems);
        let detector = traffic::detector(&document, &mut problems);
        let node_port_addresses = traffic::node_port_addresses(&document.node_port_addresses, &mut problems);
        let oom_score_adj = numbers::oom_score_adj(&document, &mut problems);
        let conntrack = numbers::conntrack(&document.conntrack, &mut problems);
        let config_sync_period = numbers::config_sync_period(&document, &mut problems);
        let own = own::own(own, &document.logging, &mut problems);
        problems.finish()?;
        let masquerade_all = match mode {
            Some(Mode::Nftables) => document.nftables.masquerade_all,
            Some(Mode::Iptables | Mode::Ipvs) | None => document.iptables.masquerade_all,
        };
        Ok(Self {
            node_name,
            bind_address,
            healthz,
            metrics,
            bind_hard_fail: document.bind_address_hard_fail,
            profiling: document.enable_profiling,
            connection,
            detector,
            node_port_addresses,
            localhost_node_ports: document.iptables.localhost_node_ports.unwrap_or(true),
            masquerade_all,
            min_sync_period,
            sync_period,
            config_sync_period,
            conntrack,
            oom_score_adj,
            allow_external_ips: document.feature_gates.get(EXTERNAL_IPS) != Some(&false),
            mode: mode.unwrap_or_default(),
            document,
            own,
        })
    }
}

fn mode(text: &str, problems: &mut Problems) -> Option<Mode> {
    match text {
        "" => None,
        "iptables" => Some(Mode::Iptables),
        "ipvs" => Some(Mode::Ipvs),
        "nftables" => Some(Mode::Nftables),
        _ => {
            let message = format!("{text:?} is no mode; use iptables, ipvs or nftables, or leave it out");
            problems.add(document::KIND, "mode", message);
            None
        }
    }
}

fn connection(client: &ClientConnection, master: Option<String>, problems: &mut Problems) -> Connection {
    let ClientConnection {
        kubeconfig,
        accept_content_types,
        content_type,
        qps,
        burst,
    } = client;
    Connection {
        kubeconfig: Some(kubeconfig)
            .filter(|file| !file.is_empty())
            .map(PathBuf::from),
        master: master.filter(|url| !url.is_empty()),
        accept_content_types: accept_content_types.clone(),
        content_type: content_type.clone(),
        qps: *qps,
        burst: numbers::not_negative("clientConnection.burst", *burst, problems),
    }
}

#[cfg(test)]
mod tests;
