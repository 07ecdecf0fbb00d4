//! What compiling has to know of the node and of its configuration.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use kproxy_common::{Address, Family};

use crate::model::{LoadBalancing, Name};

/// Where this kproxy runs: what "local", "this node" and "this zone" mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The node's name. Empty: no endpoint is local.
    pub node: Name,
    /// The node's zone, if it is known.
    pub zone: Option<Name>,
    /// The node's own address of each family, as far as they are known.
    pub primary: BTreeMap<Family, Address>,
    /// How clients outside are balanced at what is no ClusterIP, where a Service does not say.
    pub load_balancing: LoadBalancing,
}

impl Place {
    /// The node's own address of a family. One that is unknown counts as loopback.
    pub(super) fn primary(&self, family: Family) -> Address {
        let known = self.primary.get(&family).copied();
        known.unwrap_or_else(|| match family {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        })
    }
}
