//! The mode `iptables`: input for `iptables-restore --noflush`, as kube-proxy writes it.

use std::fmt::Write as _;

use super::{PODS, id};
use crate::services::{PORT, Service};

const FILTER: &str = "\
*filter
:KUBE-NODEPORTS - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
-A INPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A INPUT -j KUBE-NODEPORTS
-A INPUT -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A FORWARD -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES
-A FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
-A OUTPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
";

const NAT_CHAINS: &str = "\
*nat
:KUBE-NODEPORTS - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-POSTROUTING - [0:0]
";

const NAT_RULES: &str = "\
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
";

/// Everything from scratch.
pub(crate) fn everything(services: &[Service]) -> String {
    let mut text = FILTER.to_owned();
    text.push_str(NAT_CHAINS);
    for service in services {
        chains(&mut text, service);
    }
    text.push_str(NAT_RULES);
    for service in services {
        frontends(&mut text, service);
    }
    // Last, as kube-proxy puts it.
    text.push_str("-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\n");
    for service in services {
        backends(&mut text, service);
    }
    text.push_str("COMMIT\n");
    text
}

/// One service whose endpoints changed from those of `old`: its own chains anew and those of endpoints that left away, as
/// kube-proxy's partial syncs write them (`KUBE-SERVICES` and the rest stay).
pub(crate) fn change(old: &Service, new: &Service) -> String {
    let mut text = "*nat\n".to_owned();
    chains(&mut text, new);
    let left = |endpoint: &usize| !new.endpoints.contains(&old.endpoints[*endpoint]);
    let left: Vec<_> = (0..old.endpoints.len()).filter(left).collect();
    for protocol in old.protocols {
        for endpoint in &left {
            line(
                &mut text,
                format_args!(":{} - [0:0]", sep(old, protocol, *endpoint)),
            );
        }
    }
    backends(&mut text, new);
    for protocol in old.protocols {
        for endpoint in &left {
            line(&mut text, format_args!("-X {}", sep(old, protocol, *endpoint)));
        }
    }
    text.push_str("COMMIT\n");
    text
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a string can not fail.
    let _ = writeln!(text, "{words}");
}

/// A chain whose name is given is made, or emptied.
fn chains(text: &mut String, service: &Service) {
    for protocol in service.protocols {
        let id = id(service.number, protocol);
        line(text, format_args!(":KUBE-SVC-{id} - [0:0]"));
        if service.node_port.is_some() {
            line(text, format_args!(":KUBE-EXT-{id} - [0:0]"));
        }
        for endpoint in 0..service.endpoints.len() {
            line(
                text,
                format_args!(":{} - [0:0]", sep(service, protocol, endpoint)),
            );
        }
    }
}

fn frontends(text: &mut String, service: &Service) {
    let address = service.address();
    for protocol in service.protocols {
        let id = id(service.number, protocol);
        line(
            text,
            format_args!(
                "-A KUBE-SERVICES -m comment --comment \"default/svc-{}:{protocol} cluster IP\" -m {protocol} -p {protocol} -d {address} --dport {PORT} -j KUBE-SVC-{id}",
                service.number
            ),
        );
        if let Some(port) = service.node_port {
            line(
                text,
                format_args!("-A KUBE-NODEPORTS -m {protocol} -p {protocol} --dport {port} -j KUBE-EXT-{id}"),
            );
            line(text, format_args!("-A KUBE-EXT-{id} -j KUBE-MARK-MASQ"));
            line(text, format_args!("-A KUBE-EXT-{id} -j KUBE-SVC-{id}"));
        }
    }
}

fn backends(text: &mut String, service: &Service) {
    let (address, target) = (service.address(), service.target);
    for protocol in service.protocols {
        let id = id(service.number, protocol);
        line(
            text,
            format_args!(
                "-A KUBE-SVC-{id} -m {protocol} -p {protocol} -d {address} --dport {PORT} ! -s {PODS} -j KUBE-MARK-MASQ"
            ),
        );
        let count = service.endpoints.len();
        for (index, endpoint) in service.endpoints.iter().enumerate() {
            let sep = sep(service, protocol, index);
            let left = u32::try_from(count - index).unwrap_or(u32::MAX);
            let chance = if left > 1 {
                format!(
                    " -m statistic --mode random --probability {:.10}",
                    1.0 / f64::from(left)
                )
            } else {
                String::new()
            };
            line(
                text,
                format_args!(
                    "-A KUBE-SVC-{id} -m comment --comment \"default/svc-{} -> {endpoint}:{target}\"{chance} -j {sep}",
                    service.number
                ),
            );
            line(text, format_args!("-A {sep} -s {endpoint} -j KUBE-MARK-MASQ"));
            line(
                text,
                format_args!(
                    "-A {sep} -m {protocol} -p {protocol} -j DNAT --to-destination {endpoint}:{target}"
                ),
            );
        }
    }
}

/// At most 28 characters, as the kernel allows a chain, and told apart by endpoint.
fn sep(service: &Service, protocol: &str, endpoint: usize) -> String {
    let address = service.endpoints[endpoint].to_bits();
    let letter = protocol.to_uppercase().remove(0);
    format!("KUBE-SEP-{:06X}{letter}{address:08X}", service.number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_share_evenly() {
        let text = everything(&[Service::stranger(0, 3)]);
        let chances: Vec<_> = text
            .lines()
            .filter_map(|line| line.split_once("--probability "))
            .map(|(_, rest)| rest.split(' ').next().unwrap_or_default())
            .collect();
        assert_eq!(chances, ["0.3333333333", "0.5000000000"]);
    }

    #[test]
    fn an_endpoint_that_left_loses_its_chain() {
        let old = Service::stranger(7, 2);
        let mut new = old.clone();
        new.endpoints[0] = std::net::Ipv4Addr::new(100, 127, 0, 1);
        let text = change(&old, &new);
        assert_eq!(text.matches("-X KUBE-SEP-000007T").count(), 1);
        assert!(text.contains("--to-destination 100.127.0.1:8080"));
        assert!(!text.contains("-A KUBE-SERVICES"));
    }
}
