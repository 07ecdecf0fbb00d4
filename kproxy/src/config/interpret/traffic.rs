//! Which traffic is local, and where NodePorts answer.

use kproxy_common::Family;

use crate::config::document::{KIND, KubeProxyConfiguration};
use crate::config::problems::Problems;
use crate::config::{LocalDetector, NodePortAddresses};
use crate::model::{Cidr, parse_cidr};

/// The word for the node's primary addresses.
const PRIMARY: &str = "primary";

pub(super) fn detector(document: &KubeProxyConfiguration, problems: &mut Problems) -> LocalDetector {
    let KubeProxyConfiguration {
        detect_local_mode,
        detect_local,
        cluster_cidr,
        ..
    } = document;
    let cluster_cidrs = cluster_cidrs(cluster_cidr, problems);
    let mut name = |field: &str, name: &String| {
        if name.is_empty() {
            let message = format!("is empty, but detectLocalMode is {detect_local_mode}; name the device");
            problems.add(KIND, format!("detectLocal.{field}"), message);
        }
        name.clone()
    };
    match detect_local_mode.as_str() {
        "" | "ClusterCIDR" => LocalDetector::of_cidrs(&cluster_cidrs),
        "NodeCIDR" => LocalDetector::NodeCidr,
        "BridgeInterface" => {
            LocalDetector::BridgeInterface(name("bridgeInterface", &detect_local.bridge_interface))
        }
        "InterfaceNamePrefix" => LocalDetector::InterfaceNamePrefix(name(
            "interfaceNamePrefix",
            &detect_local.interface_name_prefix,
        )),
        other => {
            let message = format!(
                "{other:?} is no such mode; use ClusterCIDR, NodeCIDR, BridgeInterface or InterfaceNamePrefix"
            );
            problems.add(KIND, "detectLocalMode", message);
            LocalDetector::None
        }
    }
}

fn cluster_cidrs(text: &str, problems: &mut Problems) -> Vec<Cidr> {
    let entries = text.split(',').map(str::trim).enumerate();
    let entries = entries.filter(|(_, entry)| !entry.is_empty());
    let cidrs = cidrs("clusterCIDR", entries, problems);
    for family in [Family::V4, Family::V6] {
        if cidrs.iter().filter(|cidr| cidr.family() == family).count() > 1 {
            let message = format!("{text:?} has two ranges of {family}; use at most one of each family");
            problems.add(KIND, "clusterCIDR", message);
        }
    }
    cidrs
}

pub(super) fn node_port_addresses(entries: &[String], problems: &mut Problems) -> NodePortAddresses {
    if entries.iter().all(|entry| entry == PRIMARY) {
        return NodePortAddresses::Primary;
    }
    if let Some(index) = entries.iter().position(|entry| entry == PRIMARY) {
        let field = format!("nodePortAddresses[{index}]");
        problems.add(
            KIND,
            field,
            "\"primary\" can not be mixed with ranges; use one or the other",
        );
    }
    let entries = entries.iter().map(String::as_str).enumerate();
    let entries = entries.filter(|(_, entry)| *entry != PRIMARY);
    NodePortAddresses::Cidrs(cidrs("nodePortAddresses", entries, problems))
}

fn cidrs<'a>(
    field: &str,
    entries: impl Iterator<Item = (usize, &'a str)>,
    problems: &mut Problems,
) -> Vec<Cidr> {
    let mut cidrs = Vec::new();
    for (index, entry) in entries {
        match parse_cidr(entry) {
            Some(cidr) => cidrs.push(cidr),
            None => problems.add(
                KIND,
                format!("{field}[{index}]"),
                format!("{entry:?} is no range of addresses; write it like 10.0.0.0/8 or fd00::/64"),
            ),
        }
    }
    cidrs
}
