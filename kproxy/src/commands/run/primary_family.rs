//! The node's first address tells which family comes first there; without that one, kproxy is of no use (semantics
//! 1.20).

use std::net::IpAddr;

use anyhow::{Result, bail};
use kproxy_common::{Address, Family};

use crate::config::NodeAddresses;
use crate::index::Index;

/// Looks at the primary family once, as soon as it is known.
#[derive(Debug)]
pub(super) struct PrimaryFamily {
    bind_address: Option<IpAddr>,
    families: &'static [Family],
    known: bool,
}

impl PrimaryFamily {
    /// It is not known yet, unless `bindAddress` says it. `families` are those that the machine has.
    ///
    /// # Errors
    ///
    /// When the machine does not have the family of `bindAddress`.
    pub(super) fn new(bind_address: Option<IpAddr>, families: &'static [Family]) -> Result<Self> {
        let mut family = Self {
            bind_address,
            families,
            known: false,
        };
        if bind_address.is_some() {
            family.check(&[], "KubeProxyConfiguration.bindAddress")?;
        }
        Ok(family)
    }

    /// Looks at what the Node object says, until it says anything. What it says later does not matter (10.21).
    ///
    /// # Errors
    ///
    /// When the machine does not have the family of the node's first address.
    pub(super) fn follow(&mut self, index: &Index) -> Result<()> {
        match index.node() {
            Some(node) if !self.known && !node.addresses.is_empty() => {
                self.check(&node.addresses, "the first of Node.status.addresses")
            }
            _ => Ok(()),
        }
    }

    fn check(&mut self, node: &[Address], field: &str) -> Result<()> {
        self.known = true;
        let family = NodeAddresses::of(node, self.bind_address).primary_family;
        if !self.families.contains(&family) {
            bail!(
                "{field} makes {family} the primary family of this node, and this machine has no {family}; let the node \
                 have it (for IPv6: a kernel that is not started with ipv6.disable=1, and sysctl \
                 net.ipv6.conf.all.disable_ipv6=0), or name an address of the other family; the data plane stays in \
                 force"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::{ObjectName, Parsed, samples};
    use crate::source::{Change, Event, News};

    const BOTH: &[Family] = &[Family::V4, Family::V6];
    const V4: &[Family] = &[Family::V4];

    fn node(addresses: &[&str]) -> Event {
        let addresses: Value = addresses
            .iter()
            .map(|address| json!({ "type": "InternalIP", "address": address }))
            .collect();
        let parsed = Parsed {
            name: ObjectName::new("", "here"),
            object: Some(samples::node(json!({ "status": { "addresses": addresses } }))),
            problems: vec![],
        };
        Event::now(News::Node(Change::Applied(parsed)))
    }

    /// The addresses that the Node object has, one time after another.
    type States<'a> = &'a [&'a [&'a str]];

    /// What comes of these states of the Node object.
    fn follow(bind: Option<&str>, families: &'static [Family], states: States<'_>) -> Result<()> {
        let bind = bind.map(|text| text.parse().expect("an address"));
        let mut followed = PrimaryFamily::new(bind, families)?;
        let mut index = Index::new("here");
        followed.follow(&index)?;
        for addresses in states {
            index.apply(node(addresses));
            followed.follow(&index)?;
        }
        Ok(())
    }

    #[test]
    fn a_node_without_its_primary_family_ends_the_process_1_20() {
        const V6_FIRST: &[&str] = &["fd00::1", "10.0.0.1"];
        const V4_FIRST: &[&str] = &["10.0.0.1", "fd00::1"];
        let of_node = "the first of Node.status.addresses";
        let rows: [(&str, Option<&str>, States<'_>, &str); 7] = [
            ("IPv6 first", None, &[V6_FIRST], of_node),
            ("IPv6 first, later", None, &[&[], V6_FIRST], of_node),
            ("IPv4 first", None, &[V4_FIRST], ""),
            ("unknown", None, &[&[]], ""),
            ("10.21 another one later", None, &[V4_FIRST, V6_FIRST], ""),
            ("10.18 bindAddress is first", Some("10.0.0.2"), &[V6_FIRST], ""),
            (
                "10.18 of the other family",
                Some("fd00::2"),
                &[],
                "KubeProxyConfiguration.bindAddress",
            ),
        ];
        for (what, bind, states, expected) in rows {
            let error = follow(bind, V4, states).err();
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(error.is_empty(), expected.is_empty(), "1.20 {what}: {error}");
            assert!(error.starts_with(expected), "1.20 {what}: {error}");
            assert!(follow(bind, BOTH, states).is_ok(), "{what}, with both");
        }
    }
}
