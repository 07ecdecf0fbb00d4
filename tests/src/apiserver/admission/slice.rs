//! `EndpointSlice`: port defaults and the checks of `pkg/apis/discovery/validation`.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::super::status::Cause;
use super::super::store::Contents;
use super::{Strategy, metadata};

const MOST_ENDPOINTS: usize = 1000;
const MOST_ADDRESSES: usize = 100;
const MOST_PORTS: usize = 20_000;

impl Strategy for EndpointSlice {
    fn prepare(&mut self, old: Option<&Self>, _contents: &Contents) -> Vec<Cause> {
        for port in self.ports.iter_mut().flatten() {
            port.name.get_or_insert_default();
            port.protocol.get_or_insert_with(|| "TCP".to_owned());
        }
        let mut causes = Vec::new();
        check_address_type(self, old, &mut causes);
        if self.endpoints.len() > MOST_ENDPOINTS {
            causes.push(Cause::too_many("endpoints", self.endpoints.len(), MOST_ENDPOINTS));
        }
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            check_endpoint(
                endpoint,
                &self.address_type,
                &format!("endpoints[{index}]"),
                &mut causes,
            );
        }
        check_ports(self, &mut causes);
        causes
    }
}

fn check_address_type(slice: &EndpointSlice, old: Option<&EndpointSlice>, causes: &mut Vec<Cause>) {
    let address_type = slice.address_type.as_str();
    if address_type.is_empty() {
        causes.push(Cause::required("addressType", ""));
    } else if !["FQDN", "IPv4", "IPv6"].contains(&address_type) {
        causes.push(Cause::unsupported(
            "addressType",
            address_type,
            &["FQDN", "IPv4", "IPv6"],
        ));
    }
    if old.is_some_and(|old| old.address_type != address_type) {
        causes.push(Cause::invalid("addressType", &address_type, "field is immutable"));
    }
}

fn check_endpoint(endpoint: &Endpoint, address_type: &str, path: &str, causes: &mut Vec<Cause>) {
    if endpoint.addresses.is_empty() {
        causes.push(Cause::required(
            format!("{path}.addresses"),
            "must contain at least 1 address",
        ));
    }
    if endpoint.addresses.len() > MOST_ADDRESSES {
        causes.push(Cause::too_many(
            format!("{path}.addresses"),
            endpoint.addresses.len(),
            MOST_ADDRESSES,
        ));
    }
    for (index, address) in endpoint.addresses.iter().enumerate() {
        if let Some(problem) = address_problem(address, address_type) {
            causes.push(Cause::invalid(
                format!("{path}.addresses[{index}]"),
                address,
                problem,
            ));
        }
    }
    if let Some(node) = endpoint.node_name.as_deref()
        && !metadata::is_subdomain(node)
    {
        causes.push(Cause::invalid(
            format!("{path}.nodeName"),
            &node,
            "must be a valid node name",
        ));
    }
    if let Some(hostname) = endpoint.hostname.as_deref()
        && !metadata::is_dns_label(hostname)
    {
        causes.push(Cause::invalid(
            format!("{path}.hostname"),
            &hostname,
            "must be a valid DNS label",
        ));
    }
}

fn address_problem(address: &str, address_type: &str) -> Option<&'static str> {
    match address_type {
        "IPv4" => match address.parse::<Ipv4Addr>() {
            Ok(address) => special_problem(address.into()),
            Err(_) => Some("must be a valid IPv4 address"),
        },
        "IPv6" => match address.parse::<Ipv6Addr>() {
            Ok(address) => special_problem(address.into()),
            Err(_) => Some("must be a valid IPv6 address"),
        },
        "FQDN" => (!metadata::is_subdomain(address)).then_some("must be a fully qualified domain name"),
        _ => None,
    }
}

/// Addresses that nothing outside the node, or nothing at all, can be reached by (`ValidateEndpointIP`).
pub(super) fn special_problem(address: IpAddr) -> Option<&'static str> {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    if address.is_unspecified() {
        Some("may not be unspecified (0.0.0.0 or ::)")
    } else if address.is_loopback() {
        Some("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    } else if link_local {
        Some("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    } else if address.is_multicast() {
        Some("may not be in the multicast range (224.0.0.0/4, ff00::/8)")
    } else {
        None
    }
}

fn check_ports(slice: &EndpointSlice, causes: &mut Vec<Cause>) {
    let ports = slice.ports.as_deref().unwrap_or_default();
    if ports.len() > MOST_PORTS {
        causes.push(Cause::too_many("ports", ports.len(), MOST_PORTS));
    }
    let mut names = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let name = port.name.as_deref().unwrap_or_default();
        if !name.is_empty() && !metadata::is_dns_label(name) {
            causes.push(Cause::invalid(
                format!("ports[{index}].name"),
                &name,
                "must be a valid DNS label",
            ));
        }
        if !names.insert(name) {
            causes.push(Cause::duplicate(format!("ports[{index}].name"), &name));
        }
        let protocol = port.protocol.as_deref().unwrap_or_default();
        if !["SCTP", "TCP", "UDP"].contains(&protocol) {
            causes.push(Cause::unsupported(
                format!("ports[{index}].protocol"),
                protocol,
                &["SCTP", "TCP", "UDP"],
            ));
        }
        if let Some(number) = port.port
            && !(1..=65535).contains(&number)
        {
            causes.push(Cause::invalid(
                format!("ports[{index}].port"),
                &number,
                "must be between 1 and 65535, inclusive",
            ));
        }
    }
}
