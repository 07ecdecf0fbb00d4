//! The mode `nftables`: transactions for `nft -f`, as kube-proxy writes them.

use std::fmt::{self, Write as _};
use std::net::Ipv4Addr;

use super::{PODS, id};
use crate::services::{PORT, Service};

const TABLE: &str = "ip kube-proxy";

const BASE: &str = "\
add table ip kube-proxy
add set ip kube-proxy cluster-ips { type ipv4_addr ; }
add set ip kube-proxy nodeport-ips { type ipv4_addr ; }
add map ip kube-proxy no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict ; }
add map ip kube-proxy no-endpoint-nodeports { type inet_proto . inet_service : verdict ; }
add map ip kube-proxy firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }
add map ip kube-proxy service-ips { type ipv4_addr . inet_proto . inet_service : verdict ; }
add map ip kube-proxy service-nodeports { type inet_proto . inet_service : verdict ; }
add chain ip kube-proxy cluster-ips-check
add chain ip kube-proxy filter-prerouting { type filter hook prerouting priority -110 ; }
add chain ip kube-proxy filter-forward { type filter hook forward priority -110 ; }
add chain ip kube-proxy filter-input { type filter hook input priority -110 ; }
add chain ip kube-proxy filter-output { type filter hook output priority -110 ; }
add chain ip kube-proxy filter-output-post-dnat { type filter hook output priority -90 ; }
add chain ip kube-proxy firewall-check
add chain ip kube-proxy mark-for-masquerade
add chain ip kube-proxy masquerading
add chain ip kube-proxy nat-output { type nat hook output priority -100 ; }
add chain ip kube-proxy nat-postrouting { type nat hook postrouting priority 100 ; }
add chain ip kube-proxy nat-prerouting { type nat hook prerouting priority -100 ; }
add chain ip kube-proxy nodeport-endpoints-check
add chain ip kube-proxy reject-chain
add chain ip kube-proxy services
add chain ip kube-proxy service-endpoints-check
add rule ip kube-proxy cluster-ips-check ip daddr @cluster-ips reject
add rule ip kube-proxy filter-prerouting ct state new jump firewall-check
add rule ip kube-proxy filter-forward ct state new jump service-endpoints-check
add rule ip kube-proxy filter-forward ct state new jump cluster-ips-check
add rule ip kube-proxy filter-input ct state new jump nodeport-endpoints-check
add rule ip kube-proxy filter-input ct state new jump service-endpoints-check
add rule ip kube-proxy filter-output ct state new jump service-endpoints-check
add rule ip kube-proxy filter-output ct state new jump firewall-check
add rule ip kube-proxy filter-output-post-dnat ct state new jump cluster-ips-check
add rule ip kube-proxy firewall-check ip daddr . meta l4proto . th dport vmap @firewall-ips
add rule ip kube-proxy mark-for-masquerade mark set mark or 0x4000
add rule ip kube-proxy masquerading mark and 0x4000 == 0 return
add rule ip kube-proxy masquerading mark set mark xor 0x4000
add rule ip kube-proxy masquerading masquerade fully-random
add rule ip kube-proxy nat-output jump services
add rule ip kube-proxy nat-postrouting jump masquerading
add rule ip kube-proxy nat-prerouting jump services
add rule ip kube-proxy nodeport-endpoints-check ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
add rule ip kube-proxy reject-chain reject
add rule ip kube-proxy services ip daddr . meta l4proto . th dport vmap @service-ips
add rule ip kube-proxy services ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
add rule ip kube-proxy service-endpoints-check ip daddr . meta l4proto . th dport vmap @no-endpoint-services
";

/// Which services get the choice between endpoints that kube-proxy gives all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choices {
    /// Every one, as kube-proxy does.
    All,
    /// Those that are asked, by number. The kernel takes a time that is square in the number of choices to load them, minutes
    /// for 30,000, and no packet to a service ever meets another's.
    From([u32; 2]),
}

impl Choices {
    fn has(self, service: &Service) -> bool {
        match self {
            Self::All => true,
            Self::From(numbers) => service.endpoints.len() != 1 || numbers.contains(&service.number),
        }
    }
}

/// Everything from scratch, on a node with this address.
pub(crate) fn everything(services: &[Service], node: Ipv4Addr, choices: Choices) -> String {
    base(node) + &these(services, choices)
}

/// What is there without any service.
pub(crate) fn base(node: Ipv4Addr) -> String {
    let mut text = BASE.to_owned();
    line(
        &mut text,
        format_args!("add element {TABLE} nodeport-ips {{ {node} }}"),
    );
    text
}

/// These services more.
pub(crate) fn these(services: &[Service], choices: Choices) -> String {
    let mut text = String::new();
    for service in services {
        for protocol in service.protocols {
            chains(&mut text, service, protocol);
            for endpoint in &service.endpoints {
                add_endpoint(&mut text, service, protocol, *endpoint);
            }
            choice(&mut text, service, protocol, choices.has(service));
            frontends(&mut text, service, protocol);
        }
        line(
            &mut text,
            format_args!("add element {TABLE} cluster-ips {{ {} }}", service.address()),
        );
    }
    text
}

/// One service whose endpoints changed from those of `old`: only what changed is touched.
pub(crate) fn change(old: &Service, new: &Service) -> String {
    let mut text = String::new();
    for protocol in new.protocols {
        let came = new.endpoints.iter().filter(|it| !old.endpoints.contains(it));
        for endpoint in came {
            add_endpoint(&mut text, new, protocol, *endpoint);
        }
        line(
            &mut text,
            format_args!("flush chain {TABLE} {}", service_chain(new, protocol)),
        );
        choice(&mut text, new, protocol, true);
        let left = old.endpoints.iter().filter(|it| !new.endpoints.contains(it));
        for endpoint in left {
            let chain = endpoint_chain(new, protocol, *endpoint);
            line(&mut text, format_args!("flush chain {TABLE} {chain}"));
            line(&mut text, format_args!("delete chain {TABLE} {chain}"));
        }
    }
    text
}

fn line(text: &mut String, words: fmt::Arguments<'_>) {
    // Writing to a string can not fail.
    let _ = writeln!(text, "{words}");
}

fn service_chain(service: &Service, protocol: &str) -> String {
    format!(
        "service-{}-default/svc-{}/{protocol}/{protocol}",
        id(service.number, protocol),
        service.number
    )
}

fn external_chain(service: &Service, protocol: &str) -> String {
    format!(
        "external-{}-default/svc-{}/{protocol}/{protocol}",
        id(service.number, protocol),
        service.number
    )
}

fn endpoint_chain(service: &Service, protocol: &str, endpoint: Ipv4Addr) -> String {
    format!(
        "endpoint-{}-default/svc-{}/{protocol}/{protocol}__{endpoint}/{}",
        id(service.number, protocol),
        service.number,
        service.target
    )
}

fn chains(text: &mut String, service: &Service, protocol: &str) {
    line(
        text,
        format_args!("add chain {TABLE} {}", service_chain(service, protocol)),
    );
    if service.node_port.is_some() {
        let chain = external_chain(service, protocol);
        line(text, format_args!("add chain {TABLE} {chain}"));
        line(
            text,
            format_args!("add rule {TABLE} {chain} jump mark-for-masquerade"),
        );
        line(
            text,
            format_args!(
                "add rule {TABLE} {chain} goto {}",
                service_chain(service, protocol)
            ),
        );
    }
}

fn add_endpoint(text: &mut String, service: &Service, protocol: &str, endpoint: Ipv4Addr) {
    let (chain, target) = (endpoint_chain(service, protocol, endpoint), service.target);
    line(text, format_args!("add chain {TABLE} {chain}"));
    line(
        text,
        format_args!("add rule {TABLE} {chain} ip saddr {endpoint} jump mark-for-masquerade"),
    );
    line(
        text,
        format_args!("add rule {TABLE} {chain} meta l4proto {protocol} dnat to {endpoint}:{target}"),
    );
}

/// The rules of a service's chain.
fn choice(text: &mut String, service: &Service, protocol: &str, by_chance: bool) {
    let (chain, address) = (service_chain(service, protocol), service.address());
    line(
        text,
        format_args!(
            "add rule {TABLE} {chain} ip daddr {address} {protocol} dport {PORT} ip saddr != {PODS} jump mark-for-masquerade"
        ),
    );
    if let ([only], false) = (service.endpoints.as_slice(), by_chance) {
        let only = endpoint_chain(service, protocol, *only);
        line(text, format_args!("add rule {TABLE} {chain} goto {only}"));
        return;
    }
    let places =
        service.endpoints.iter().enumerate().map(|(index, endpoint)| {
            format!("{index} : goto {}", endpoint_chain(service, protocol, *endpoint))
        });
    line(
        text,
        format_args!(
            "add rule {TABLE} {chain} numgen random mod {} vmap {{ {} }}",
            service.endpoints.len(),
            places.collect::<Vec<_>>().join(" , ")
        ),
    );
}

fn frontends(text: &mut String, service: &Service, protocol: &str) {
    line(
        text,
        format_args!(
            "add element {TABLE} service-ips {{ {} . {protocol} . {PORT} : goto {} }}",
            service.address(),
            service_chain(service, protocol)
        ),
    );
    if let Some(port) = service.node_port {
        line(
            text,
            format_args!(
                "add element {TABLE} service-nodeports {{ {protocol} . {port} : goto {} }}",
                external_chain(service, protocol)
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_touches_one_service_only() {
        let old = Service::stranger(7, 2);
        let mut new = old.clone();
        new.endpoints[0] = Ipv4Addr::new(100, 127, 0, 1);
        let text = change(&old, &new);
        assert_eq!(text.matches("delete chain").count(), 1);
        assert_eq!(text.matches("numgen random mod 2 vmap").count(), 1);
        assert!(!text.contains("add element"));
    }
}
