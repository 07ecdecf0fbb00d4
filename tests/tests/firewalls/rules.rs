//! What an administrator, a CNI and its network policies put on a node.

use std::fmt::Write as _;

use kproxy_tests::acceptance::world::POD_RANGES;
use kproxy_tests::cluster::Addresses;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Firewall {
    Iptables,
    Nftables,
}

impl Firewall {
    /// The commands that make the rules: of the clients outside, only `friend` may ask the pod.
    pub(crate) fn commands(self, pod: Addresses, friend: Addresses) -> Vec<Vec<String>> {
        match self {
            Self::Iptables => ["iptables", "ip6tables"]
                .into_iter()
                .zip(["icmp-admin-prohibited", "icmp6-adm-prohibited"])
                .zip(POD_RANGES)
                .zip(pod.both().into_iter().zip(friend.both()))
                .flat_map(|(((program, prohibited), pods), (pod, friend))| {
                    let rules = iptables(pods, &pod.to_string(), &friend.to_string(), prohibited);
                    rules
                        .into_iter()
                        .map(move |rule| words(&format!("{program} {rule}")))
                })
                .collect(),
            Self::Nftables => vec![vec!["nft".to_owned(), nftables(pod, friend)]],
        }
    }

    /// The commands that show the rules with what they have counted.
    pub(crate) fn listings(self) -> Vec<Vec<String>> {
        match self {
            Self::Iptables => ["iptables-save -c", "ip6tables-save -c"].map(words).to_vec(),
            Self::Nftables => vec![words("nft list ruleset")],
        }
    }

    /// Whether a line of a listing is about packets that were dropped.
    pub(crate) fn has_dropped(self, line: &str) -> bool {
        match self {
            // `[3:180] -A FORWARD … -j DROP` and `:FORWARD DROP [3:180]`.
            Self::Iptables => line.contains("DROP") && !line.contains("[0:0]"),
            Self::Nftables => {
                line.contains("packets") && line.contains("drop") && !line.contains("packets 0 ")
            }
        }
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn iptables(pods: &str, pod: &str, friend: &str, prohibited: &str) -> Vec<String> {
    vec![
        "-t mangle -A PREROUTING -m rpfilter --invert -j DROP".to_owned(),
        "-A INPUT -m conntrack --ctstate INVALID -j DROP".to_owned(),
        "-P FORWARD DROP".to_owned(),
        "-A FORWARD -m conntrack --ctstate INVALID -j DROP".to_owned(),
        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT".to_owned(),
        format!("-A FORWARD -d {pod} ! -s {friend} -p tcp -j REJECT --reject-with tcp-reset"),
        format!("-A FORWARD -d {pod} ! -s {friend} -j REJECT --reject-with {prohibited}"),
        format!("-A FORWARD -s {pods} -j ACCEPT"),
        format!("-A FORWARD -d {pods} -j ACCEPT"),
        format!("-t nat -A POSTROUTING -s {pods} ! -d {pods} -j MASQUERADE"),
    ]
}

fn nftables(pod: Addresses, friend: Addresses) -> String {
    let (mut policies, mut ways, mut sources) = (String::new(), String::new(), String::new());
    let addresses = pod.both().into_iter().zip(friend.both());
    for ((family, pods), (pod, friend)) in ["ip", "ip6"].into_iter().zip(POD_RANGES).zip(addresses) {
        // Writing to a string can not fail.
        let _ = writeln!(
            policies,
            "{family} daddr {pod} {family} saddr != {friend} jump refuse"
        );
        let _ = writeln!(ways, "{family} saddr {pods} accept\n{family} daddr {pods} accept");
        let _ = writeln!(
            sources,
            "{family} saddr {pods} {family} daddr != {pods} masquerade"
        );
    }
    format!(
        "table inet firewall {{
            chain refuse {{
                meta l4proto tcp counter reject with tcp reset
                counter reject with icmpx admin-prohibited
            }}
            chain arrivals {{
                type filter hook prerouting priority raw
                ip6 saddr {{ ::, fe80::/10 }} accept
                fib saddr . iif oif missing counter drop
            }}
            chain entering {{
                type filter hook input priority filter
                ct state invalid counter drop
            }}
            chain passing {{
                type filter hook forward priority filter; policy drop
                ct state invalid counter drop
                ct state established,related accept
                {policies}{ways}
                counter drop
            }}
            chain leaving {{
                type nat hook postrouting priority srcnat
                {sources}
            }}
        }}"
    )
}
