//! The description of a cluster.

use std::collections::BTreeSet;

use anyhow::{Context, bail, ensure};

use super::{
    Cluster,
    cleanup::{Remains, sweep_once},
    environment::Environment,
    interrupt,
    layout::Layout,
    make::{Made, make},
};

/// How a node and its pods are wired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cni {
    /// A routed cable per pod, as Calico does it: `/32` and `/128` addresses, proxy ARP, a link-local gateway.
    #[default]
    RoutedVeth,
    /// The pods' cables are ports of a bridge `cni0` that has the gateway's address, as the CNI plugin `bridge` does it.
    Bridge,
    /// The same on each node, and between nodes an overlay: pods' packets travel in VXLAN, and what is on the switch knows no
    /// way to a pod. Packets are shorter by what that takes.
    Vxlan,
}

/// A cluster in words.
#[derive(Clone, Debug, Default)]
pub struct Description {
    pub(super) name: String,
    pub(super) cni: Cni,
    pub(super) nodes: Vec<NodeBuilder>,
    pub(super) clients: Vec<String>,
}

/// Describes a cluster step by step.
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    description: Description,
}

/// Describes a node.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct NodeBuilder {
    pub(super) name: String,
    pub(super) pods: Vec<String>,
}

impl NodeBuilder {
    /// Adds a pod.
    pub fn pod(mut self, name: &str) -> Self {
        self.pods.push(name.to_owned());
        self
    }
}

impl Builder {
    pub(super) fn new(name: &str) -> Self {
        Self {
            description: Description {
                name: name.to_owned(),
                ..Description::default()
            },
        }
    }

    /// How pods reach their node; routed by default.
    pub fn cni(mut self, cni: Cni) -> Self {
        self.description.cni = cni;
        self
    }

    /// Adds a node and, in `describe`, its pods.
    pub fn node(mut self, name: &str, describe: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Self {
        self.description.nodes.push(describe(NodeBuilder {
            name: name.to_owned(),
            pods: Vec::new(),
        }));
        self
    }

    /// Adds a client on the switch that is no node.
    pub fn client_outside(mut self, name: &str) -> Self {
        self.description.clients.push(name.to_owned());
        self
    }

    /// The finished description.
    ///
    /// # Errors
    /// When a name is impossible or used twice.
    pub fn describe(self) -> anyhow::Result<Description> {
        let Description {
            name,
            nodes,
            clients,
            cni: _,
        } = &self.description;
        ensure!(
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
            "a cluster's name is of lower case letters and digits, unlike `{name}`"
        );
        let pods = nodes
            .iter()
            .flat_map(|node| std::iter::once(&node.name).chain(&node.pods));
        let mut seen = BTreeSet::from(["switch"]);
        for host in pods.chain(clients) {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            ensure!(
                !host.is_empty() && host.bytes().all(allowed),
                "`{host}` is no name for a node, pod or client"
            );
            if !seen.insert(host) {
                bail!("`{host}` exists twice in cluster {name}: nodes, pods and clients share their names");
            }
        }
        Ok(self.description)
    }

    /// Makes the cluster.
    ///
    /// # Errors
    /// When the machine lacks something (root, cgroup v2, the BPF file system, `ip`), each with what to do, and when
    /// the kernel refuses a step. Whatever was made until then is removed.
    pub fn build(self) -> anyhow::Result<Cluster> {
        let description = self.describe()?;
        let environment = Environment::check()?;
        sweep_once(&environment);
        let remains = Remains::claim(&environment, &description.name)?;
        let layout = Layout::new(&description, remains.namespace_prefix());
        let made = {
            let _undisturbed = interrupt::hold_off();
            make(&layout, &remains)
        };
        let Made {
            switch,
            nodes,
            pods,
            clients,
        } = made.with_context(|| format!("cannot build the cluster {}", description.name))?;
        Ok(Cluster {
            switch,
            switch_addresses: layout.switch.addresses,
            nodes,
            pods,
            clients,
            remains,
        })
    }
}
