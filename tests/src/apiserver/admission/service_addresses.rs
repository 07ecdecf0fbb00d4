//! Cluster addresses of a service: families, policy, allocation.
//!
//! After `pkg/registry/core/service/storage/alloc.go` (`initIPFamilyFields`, `allocClusterIPs`).

use std::net::IpAddr;

use k8s_openapi::api::core::v1::ServiceSpec;

use super::super::object::Key;
use super::super::status::Cause;
use super::super::store::Contents;
use super::cidr::{self, Cidr};
use super::service::{is_headless, type_of};

/// Completes `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy`.
pub(super) fn prepare(
    spec: &mut ServiceSpec,
    old: Option<&ServiceSpec>,
    key: &Key,
    contents: &Contents,
) -> Vec<Cause> {
    if type_of(spec) == "ExternalName" {
        return refuse_addresses(spec);
    }
    let ranges = cidr::service_ranges(contents);
    if let Err(cause) = mirror_first(spec, old) {
        return vec![cause];
    }
    trim_for_single_stack(spec, old);
    if let Some(cause) = find_changed_primary(spec, old) {
        return vec![cause];
    }
    if let Err(cause) = choose_families(spec, &ranges) {
        return vec![cause];
    }
    match allocate(spec, &ranges, key, contents) {
        Ok(()) => Vec::new(),
        Err(cause) => vec![cause],
    }
}

fn refuse_addresses(spec: &ServiceSpec) -> Vec<Cause> {
    let given = [
        (
            "spec.clusterIPs",
            spec.cluster_ips.is_some() || spec.cluster_ip.is_some(),
        ),
        ("spec.ipFamilies", spec.ip_families.is_some()),
        ("spec.ipFamilyPolicy", spec.ip_family_policy.is_some()),
    ];
    let detail = "may not be set for services of type 'ExternalName'";
    given
        .into_iter()
        .filter(|(_, given)| *given)
        .map(|(field, _)| Cause::forbidden(field, detail))
        .collect()
}

/// `clusterIP` is the first of `clusterIPs`; a client may give either, and an old client changes only the former.
fn mirror_first(spec: &mut ServiceSpec, old: Option<&ServiceSpec>) -> Result<(), Cause> {
    if let Some(old) = old
        && spec.cluster_ip != old.cluster_ip
        && spec.cluster_ips == old.cluster_ips
    {
        spec.cluster_ips = None;
    }
    let list = spec.cluster_ips.clone().unwrap_or_default();
    match (&spec.cluster_ip, list.first()) {
        (Some(first), None) => spec.cluster_ips = Some(vec![first.clone()]),
        (None, Some(_)) if old.is_none() => {
            return Err(Cause::required(
                "spec.clusterIP",
                "must be set when clusterIPs is set",
            ));
        }
        (None, Some(first)) => spec.cluster_ip = Some(first.clone()),
        (Some(first), Some(listed)) if first != listed => {
            return Err(Cause::invalid(
                "spec.clusterIPs",
                &list,
                "first value must match `clusterIP`",
            ));
        }
        _ => {}
    }
    Ok(())
}

/// Going back to one family drops the second address, when the client left the lists as they were.
fn trim_for_single_stack(spec: &mut ServiceSpec, old: Option<&ServiceSpec>) {
    let Some(old) = old else { return };
    let single = spec.ip_family_policy.as_deref() == Some("SingleStack");
    if single && old.ip_family_policy != spec.ip_family_policy {
        if spec.cluster_ips == old.cluster_ips {
            spec.cluster_ips
                .iter_mut()
                .for_each(|addresses| addresses.truncate(1));
        }
        if spec.ip_families == old.ip_families {
            spec.ip_families
                .iter_mut()
                .for_each(|families| families.truncate(1));
        }
    }
}

fn find_changed_primary(spec: &ServiceSpec, old: Option<&ServiceSpec>) -> Option<Cause> {
    let before = old
        .filter(|old| type_of(old) != "ExternalName")?
        .cluster_ip
        .as_ref()?;
    let after = spec.cluster_ip.as_ref()?;
    (before != after).then(|| Cause::invalid("spec.clusterIPs[0]", after, "may not change once set"))
}

fn choose_families(spec: &mut ServiceSpec, ranges: &[Cidr]) -> Result<(), Cause> {
    let mut families = spec.ip_families.clone().unwrap_or_default();
    let addresses = spec.cluster_ips.clone().unwrap_or_default();
    for (index, address) in addresses
        .iter()
        .enumerate()
        .filter(|(_, address)| *address != "None")
    {
        let Ok(parsed) = address.parse::<IpAddr>() else {
            let field = format!("spec.clusterIPs[{index}]");
            return Err(Cause::invalid(
                field,
                address,
                "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
            ));
        };
        let family = family(parsed.is_ipv6());
        match families.get(index) {
            None => families.push(family.to_owned()),
            Some(wanted) if wanted == family => {}
            Some(wanted) => {
                let detail = format!("expected an {wanted} value as indicated by `ipFamilies[{index}]`");
                return Err(Cause::invalid(
                    format!("spec.clusterIPs[{index}]"),
                    address,
                    detail,
                ));
            }
        }
    }
    if families.len() == 2 && families[0] == families[1] {
        return Err(Cause::duplicate("spec.ipFamilies[1]", &families[1]));
    }
    let available = |name: &str| ranges.iter().any(|range| family(range.is_ipv6()) == name);
    let selectorless_headless = is_headless(spec)
        && spec
            .selector
            .as_ref()
            .is_none_or(std::collections::BTreeMap::is_empty);
    if let Some(missing) = families.iter().position(|name| !available(name))
        && !selectorless_headless
    {
        let field = format!("spec.ipFamilies[{missing}]");
        return Err(Cause::invalid(
            field,
            &families[missing],
            "not configured on this cluster",
        ));
    }
    let policy = spec.ip_family_policy.get_or_insert_with(|| {
        let two = families.len() == 2 || selectorless_headless;
        if two { "RequireDualStack" } else { "SingleStack" }.to_owned()
    });
    if families.is_empty() {
        families.push(family(ranges.first().is_some_and(Cidr::is_ipv6)).to_owned());
    }
    if policy == "SingleStack" && families.len() == 2 {
        return Err(Cause::invalid(
            "spec.ipFamilyPolicy",
            policy,
            "must be RequireDualStack or PreferDualStack when multiple `ipFamilies` are specified",
        ));
    }
    let other = family(families[0] == "IPv4");
    if policy == "RequireDualStack" && !available(other) && !selectorless_headless {
        let detail = "this cluster is not configured for dual-stack services";
        return Err(Cause::invalid("spec.ipFamilyPolicy", policy, detail));
    }
    if policy != "SingleStack" && families.len() == 1 && (available(other) || selectorless_headless) {
        families.push(other.to_owned());
    }
    spec.ip_families = Some(families);
    Ok(())
}

fn allocate(spec: &mut ServiceSpec, ranges: &[Cidr], key: &Key, contents: &Contents) -> Result<(), Cause> {
    if is_headless(spec) {
        return Ok(());
    }
    let given = spec.cluster_ips.clone().unwrap_or_default();
    let families = spec.ip_families.clone().unwrap_or_default();
    let holder = |address: IpAddr| contents.allocations.address_holder(address);
    let mut addresses = Vec::new();
    for (index, name) in families.iter().enumerate() {
        let ranges = ranges.iter().filter(|range| family(range.is_ipv6()) == name);
        let Some(wanted) = given.get(index) else {
            let free = ranges.into_iter().find_map(|range| first_free(*range, contents));
            let detail = format!("failed to allocate a {name} address: range is full");
            addresses.push(
                free.ok_or_else(|| Cause::invalid("spec.clusterIPs", &given, detail))?
                    .to_string(),
            );
            continue;
        };
        addresses.push(wanted.clone());
        let Ok(address) = wanted.parse::<IpAddr>() else {
            continue;
        };
        if holder(address) == Some(key) {
            continue;
        }
        if holder(address).is_some() {
            let detail = format!("failed to allocate IP {wanted}: provided IP is already allocated");
            return Err(Cause::invalid("spec.clusterIPs", &given, detail));
        }
        if !ranges.into_iter().any(|range| range.offers(address)) {
            let detail = format!("failed to allocate IP {wanted}: the provided network does not contain it");
            return Err(Cause::invalid("spec.clusterIPs", &given, detail));
        }
    }
    spec.cluster_ip = addresses.first().cloned();
    spec.cluster_ips = Some(addresses);
    Ok(())
}

/// Goes on behind the highest address in use, so that many services do not each search through all others.
fn first_free(range: Cidr, contents: &Contents) -> Option<IpAddr> {
    let (first, last) = range.bounds()?;
    let highest = contents.allocations.highest_between(first, last).unwrap_or(first);
    let behind = range.addresses_behind(highest).next();
    let free = |address: &IpAddr| contents.allocations.address_holder(*address).is_none();
    behind.or_else(|| range.addresses().find(free))
}

fn family(is_ipv6: bool) -> &'static str {
    if is_ipv6 { "IPv6" } else { "IPv4" }
}
