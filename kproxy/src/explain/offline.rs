//! A node that only exists on paper: from manifests to the maps that its agent would write, by the agent's own model,
//! index, compile and plan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result};
use kproxy_common::{Address, BackendFlags, Family, ServiceName, Settings};

use super::explainer::Explainer;
use super::names::Names;
use super::surroundings::Surroundings;
use crate::compile::NodeFacts;
use crate::config::Config;
use crate::index::{Index, Rules};
use crate::memory::MemoryTables;
use crate::plan::{Action, Applied, Capacity, Plan, WantedNode, WantedService};
use crate::source::{Event, Snapshot, read_manifests};

/// The answering machine of a node on paper.
pub type PaperExplainer = Explainer<MemoryTables>;

/// Room for more than any cluster has: what an agent with too small maps would do is not asked here.
const CAPACITY: Capacity = Capacity {
    addresses: 1 << 22,
    frontends: 1 << 22,
    slots: 1 << 28,
    backends: 1 << 24,
    source_ranges: 1 << 22,
};

/// What a node's agent would have worked out.
#[derive(Clone, Debug)]
pub struct Worked {
    /// The plans that lead from empty maps to its own.
    pub plans: Vec<Plan>,
    /// Constants of its programs.
    pub settings: Settings,
    /// Who is who around it.
    pub surroundings: Surroundings,
    /// What was wrong with manifests, and what could not be served as wanted.
    pub problems: Vec<String>,
}

impl Worked {
    /// Answers from the maps that the plans lead to.
    #[must_use]
    pub fn explainer(self) -> PaperExplainer {
        let mut tables = MemoryTables::default();
        tables.settings = self.settings;
        for plan in &self.plans {
            tables.apply(plan);
        }
        Explainer::new(tables, names(&self.plans), self.surroundings)
    }
}

/// A node on paper.
#[derive(Clone, Debug)]
pub struct Paper {
    /// The directory of manifests.
    pub manifests: PathBuf,
    /// Addresses of the node's devices, besides those that its Node object names.
    pub node_addresses: Vec<Address>,
    /// What its operator has asked for, the node's name among it.
    pub config: Config,
}

impl Paper {
    /// Works out what the node's agent would.
    ///
    /// # Errors
    /// The directory can not be read.
    pub fn work_out(&self) -> Result<Worked> {
        let Snapshot { news, mut problems } = read_manifests(&self.manifests)
            .with_context(|| format!("read the directory {}", self.manifests.display()))?;
        let rules = Rules {
            allow_external_ips: self.config.allow_external_ips,
            load_balancing: self.config.own.load_balancing,
            ..Rules::default()
        };
        let mut index = Index::with_rules(&self.config.node_name, rules);
        for news in news {
            index.apply(Event::now(news));
        }
        let (node, wanted_node) = self.node(&index);
        index.set_primary(wanted_node.primary.clone());
        let changes = index.take_changes();
        problems.extend(index.take_problems().iter().map(ToString::to_string));
        let surroundings = Surroundings {
            pods: pods(changes.values().flatten(), &node),
            node,
            detector: self.detector(&index),
        };
        let mut applied = Applied::new(CAPACITY);
        let plans = vec![applied.place(wanted_node), applied.change(changes)];
        problems.extend(
            plans
                .iter()
                .flat_map(|plan| &plan.problems)
                .map(ToString::to_string),
        );
        let families = [Family::V4, Family::V6].into_iter();
        let loopback = families.filter(|family| self.config.serves_loopback(*family));
        Ok(Worked {
            plans,
            settings: Settings {
                loopback_node_ports: Settings::loopback_node_ports(loopback),
                ..Settings::DEFAULT
            },
            surroundings,
            problems,
        })
    }

    /// The node's addresses, and what its data plane is told of them. Without a Node object, the addresses that were
    /// given are also those that Kubernetes knows.
    fn node(&self, index: &Index) -> (BTreeSet<Address>, WantedNode) {
        let Self {
            manifests: _,
            node_addresses,
            config,
        } = self;
        let known = index.node().map_or(&node_addresses[..], |node| &node.addresses);
        let bound: BTreeSet<_> = known.iter().chain(node_addresses).copied().collect();
        let facts = NodeFacts {
            known,
            bind_address: config.bind_address,
            bound: &bound,
            node_ports: &config.node_port_addresses,
        };
        let wanted = WantedNode {
            pod_ranges: self.detector(index).ranges(),
            ..facts.wanted(index.service_cidrs())
        };
        let mut all = bound;
        all.extend(wanted.primary.values());
        (all, wanted)
    }

    fn detector(&self, index: &Index) -> crate::config::LocalDetector {
        let ranges = index.node().map_or(&[][..], |node| &node.pod_cidrs);
        self.config.detector.with_pod_cidrs(ranges)
    }
}

/// Addresses of endpoints on this node that are not the node's own.
fn pods<'a>(
    services: impl Iterator<Item = &'a WantedService>,
    node: &BTreeSet<Address>,
) -> BTreeSet<Address> {
    let endpoints = services.flat_map(|service| &service.endpoints);
    let local = endpoints.filter(|(_, flags)| flags.contains(BackendFlags::LOCAL));
    local
        .map(|(endpoint, _)| endpoint.address)
        .filter(|address| !node.contains(address))
        .collect()
}

/// What plans call the services whose frontends they write.
fn names(plans: &[Plan]) -> Names {
    let (mut names, mut frontends) = (BTreeMap::new(), BTreeMap::new());
    for step in plans.iter().flat_map(|plan| &plan.steps) {
        if let (Action::PutFrontend { key, frontend }, Some(name)) = (&step.action, &step.service) {
            let text = ServiceName::new(&name.namespace, &name.name, &name.port);
            names.insert(frontend.service, text);
            frontends.insert(*key, *frontend);
        }
    }
    Names::new(&names, &frontends)
}
