//! The addresses of a Service, and who may ask them.

use k8s_openapi::api::core::v1;
use kproxy_common::{Address, Family};

use crate::model::address::parse_family;
use crate::model::{Cidr, Reason, parse_address, parse_cidr};

/// What is left out with a ClusterIP.
const FAMILY: &str = "the Service in this family";
/// What is left out with any other address.
const ADDRESS: &str = "the address";

/// Position i of `ipFamilies` pairs with `clusterIPs[i]` (semantics 1.14, 1.15).
pub(super) fn cluster_ips(spec: &v1::ServiceSpec, report: &mut impl FnMut(String, Reason)) -> Box<[Address]> {
    let families = spec.ip_families.as_deref().unwrap_or_default();
    if families.is_empty() {
        return match service_address(spec.cluster_ip.as_deref().unwrap_or_default(), FAMILY) {
            Ok(address) => [address].into(),
            Err(reason) => {
                report("spec.clusterIP".into(), reason);
                Box::default()
            }
        };
    }
    let mut addresses: Vec<Address> = Vec::with_capacity(families.len());
    let texts = spec.cluster_ips.iter().flatten();
    for (position, (family_name, text)) in families.iter().zip(texts).enumerate() {
        let Some(family) = parse_family(family_name) else {
            report(
                format!("spec.ipFamilies[{position}]"),
                Reason::UnknownFamily(family_name.clone()),
            );
            continue;
        };
        let field = || format!("spec.clusterIPs[{position}]");
        match service_address(text, FAMILY) {
            Err(reason) => report(field(), reason),
            Ok(address) if address.family() != family => {
                report(field(), Reason::Family(text.clone(), family, FAMILY));
            }
            Ok(_) if addresses.iter().any(|other| other.family() == family) => {
                report(field(), Reason::Repeated(family.to_string()));
            }
            Ok(address) => addresses.push(address),
        }
    }
    addresses.into()
}

/// Addresses of a family without a ClusterIP are passed over in silence (semantics 1.16, 1.17).
pub(super) fn external_ips(
    spec: &v1::ServiceSpec,
    cluster_ips: &[Address],
    report: &mut impl FnMut(String, Reason),
) -> Box<[Address]> {
    let texts = spec.external_ips.iter().flatten().enumerate();
    let texts = texts.map(|(position, text)| (format!("spec.externalIPs[{position}]"), text.as_str()));
    each_once(texts, cluster_ips, report)
}

/// Those of a load balancer that is a proxy itself are left alone, so that clients reach it (semantics 1.21). The type
/// of the Service does not matter (1.22).
pub(super) fn load_balancer_ips(
    status: Option<v1::ServiceStatus>,
    cluster_ips: &[Address],
    report: &mut impl FnMut(String, Reason),
) -> Box<[Address]> {
    let ingress = status.and_then(|status| status.load_balancer?.ingress);
    let mut texts = Vec::new();
    for (position, entry) in ingress.into_iter().flatten().enumerate() {
        let field = |name| format!("status.loadBalancer.ingress[{position}].{name}");
        match (entry.ip, entry.ip_mode.as_deref()) {
            (Some(ip), None | Some("VIP")) => texts.push((field("ip"), ip)),
            (_, Some("Proxy")) | (None, _) => {}
            (Some(_), Some(other)) => report(field("ipMode"), Reason::IpMode(other.to_owned())),
        }
    }
    let texts = texts.iter().map(|(field, text)| (field.clone(), text.as_str()));
    each_once(texts, cluster_ips, report)
}

/// Ranges of a family among which one holds every address restrict nobody (semantics 1.25); neither do those of the
/// other family (1.26).
pub(super) fn source_ranges(
    spec: &v1::ServiceSpec,
    cluster_ips: &[Address],
    report: &mut impl FnMut(String, Reason),
) -> Box<[Cidr]> {
    let texts = spec.load_balancer_source_ranges.iter().flatten().enumerate();
    let mut ranges = Vec::new();
    for (position, text) in texts {
        let text = text.trim();
        match parse_cidr(text) {
            Some(range) => ranges.push(range),
            None if text.is_empty() => {}
            None => report(
                format!("spec.loadBalancerSourceRanges[{position}]"),
                Reason::Cidr(text.to_owned(), "the range"),
            ),
        }
    }
    let open: Vec<Family> = ranges
        .iter()
        .filter(|range| range.length == 0)
        .map(Cidr::family)
        .collect();
    ranges.retain(|range| has_family(cluster_ips, range.family()) && !open.contains(&range.family()));
    ranges.sort_unstable();
    ranges.dedup();
    ranges.into()
}

/// Blank texts are passed over in silence (semantics 1.18).
fn each_once<'a>(
    texts: impl Iterator<Item = (String, &'a str)>,
    cluster_ips: &[Address],
    report: &mut impl FnMut(String, Reason),
) -> Box<[Address]> {
    let mut addresses = Vec::new();
    for (field, text) in texts.filter(|(_, text)| !text.trim().is_empty()) {
        match service_address(text, ADDRESS) {
            Err(reason) => report(field, reason),
            Ok(address) if has_family(cluster_ips, address.family()) && !addresses.contains(&address) => {
                addresses.push(address);
            }
            Ok(_) => {}
        }
    }
    addresses.into()
}

fn has_family(cluster_ips: &[Address], family: Family) -> bool {
    cluster_ips.iter().any(|address| address.family() == family)
}

/// The unspecified address is the key of `NodePorts` in the kernel, a loopback address would take the ports of the
/// node's own programs, and what goes to a group of hosts is for all of them.
fn service_address(text: &str, skipped: &'static str) -> Result<Address, Reason> {
    let address = parse_address(text).ok_or_else(|| Reason::Address(text.to_owned(), skipped))?;
    if address.is_unspecified() || address.is_loopback() {
        return Err(Reason::OwnAddress(address, skipped));
    }
    let ip = address.ip();
    if ip.is_multicast() || ip == std::net::Ipv4Addr::BROADCAST {
        return Err(Reason::GroupAddress(address, skipped));
    }
    Ok(address)
}
