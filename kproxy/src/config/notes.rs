//! What an operator should know about a configuration that is accepted: settings that have no meaning here, or another
//! one than they have in kube-proxy. Only what differs from the default is worth a word.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document::KubeProxyConfiguration;
use super::interpret::EXTERNAL_IPS;
use super::{Config, Mode, NodePortAddresses};
use crate::model::Cidr;

/// Fields without a meaning, and why. A section stands for all of its fields.
pub(super) const NO_MEANING: &[(&str, &str)] = &[
    ("clientConnection.acceptContentTypes", "kproxy asks for JSON"),
    ("clientConnection.contentType", "kproxy asks for JSON"),
    (
        "clientConnection.qps",
        "kproxy makes a handful of requests in its life",
    ),
    (
        "clientConnection.burst",
        "kproxy makes a handful of requests in its life",
    ),
    ("showHiddenMetricsForVersion", "kproxy hides no metrics"),
    ("iptables.masqueradeBit", "kproxy marks no packets"),
    ("nftables.masqueradeBit", "kproxy marks no packets"),
    ("iptables.masqueradeAll", MASQUERADE_ALL),
    ("nftables.masqueradeAll", MASQUERADE_ALL),
    ("iptables.minSyncPeriod", MIN_SYNC_PERIOD),
    ("nftables.minSyncPeriod", MIN_SYNC_PERIOD),
    ("ipvs.minSyncPeriod", MIN_SYNC_PERIOD),
    ("ipvs.scheduler", NO_IPVS),
    ("ipvs.excludeCIDRs", NO_IPVS),
    ("ipvs.strictARP", NO_IPVS),
    ("ipvs.tcpTimeout", NO_IPVS),
    ("ipvs.tcpFinTimeout", NO_IPVS),
    ("ipvs.udpTimeout", NO_IPVS),
    (
        "configSyncPeriod",
        "kproxy follows every change and lists anew when it has missed one",
    ),
    ("winkernel", "this is not Windows"),
    ("windowsRunAsService", "this is not Windows"),
    ("portRange", "no proxy uses it any more"),
    ("logging.flushFrequency", "kproxy buffers no log lines"),
    (
        "logging.options",
        "kproxy buffers no log lines and writes all to standard error",
    ),
];

const MASQUERADE_ALL: &str = "clients keep their address wherever the answer finds back by itself";
const MIN_SYNC_PERIOD: &str =
    "kproxy applies the first change at once and what has queued meanwhile together";
const NO_IPVS: &str = "kproxy uses no IPVS";

/// The notes about a configuration.
pub(super) fn of(config: &Config) -> Vec<String> {
    let mut notes = without_meaning(&config.document);
    notes.extend(gates(&config.document));
    notes.extend(node_ports(config));
    notes
}

fn without_meaning(document: &KubeProxyConfiguration) -> Vec<String> {
    let plain = KubeProxyConfiguration::default().with_defaults();
    // Documents are plain data: there is nothing in them that JSON has not.
    let (Ok(asked), Ok(plain)) = (serde_json::to_value(document), serde_json::to_value(plain)) else {
        return Vec::new();
    };
    let differs = |path: &str| at(&asked, path) != at(&plain, path);
    NO_MEANING
        .iter()
        .filter(|(path, _)| differs(path))
        .map(|(path, why)| format!("{path} has no meaning here: {why}"))
        .collect()
}

fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    document.pointer(&format!("/{}", path.replace('.', "/")))
}

fn gates(document: &KubeProxyConfiguration) -> Option<String> {
    let unknown: Vec<_> = document
        .feature_gates
        .keys()
        .filter(|name| *name != EXTERNAL_IPS)
        .map(String::as_str)
        .collect();
    (!unknown.is_empty()).then(|| {
        format!(
            "feature gates without a meaning here are ignored: {}",
            unknown.join(", ")
        )
    })
}

/// Semantics 3.16, 3.24, 3.26.
fn node_ports(config: &Config) -> Vec<String> {
    let mut notes = Vec::new();
    match &config.node_port_addresses {
        NodePortAddresses::Primary if config.document.mode != Mode::Nftables.name() => notes.push(
            "NodePorts answer on the node's primary addresses; kube-proxy outside of its mode nftables answers on all \
             of them, for which nodePortAddresses: [0.0.0.0/0, \"::/0\"] asks"
                .to_owned(),
        ),
        NodePortAddresses::Primary => {}
        NodePortAddresses::Cidrs(cidrs) => {
            let families: BTreeSet<_> = cidrs.iter().map(Cidr::family).collect();
            if let (1, Some(family)) = (families.len(), families.first()) {
                notes.push(format!(
                    "nodePortAddresses has ranges of {family} only: NodePorts of the other family answer on all addresses"
                ));
            }
            if !config.localhost_node_ports && cidrs.iter().any(|cidr| cidr.address.is_loopback()) {
                notes.push(
                    "nodePortAddresses has loopback addresses, where NodePorts do not answer while \
                     iptables.localhostNodePorts is false"
                        .to_owned(),
                );
            }
        }
    }
    notes
}
