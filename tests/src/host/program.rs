//! From manifests to map writes, through the same code as in the agent.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kproxy::index::Index;
use kproxy::model::{Cidr, Kind, Parsed, Problem};
use kproxy::plan::{Applied, Capacity, GRACE, Plan, WantedNode, WantedService};
use kproxy::source::{Change, Event, News};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_yaml_ng::{Deserializer, Value};

/// The agent's state between a folder of manifests and the maps.
#[derive(Debug)]
pub struct Programmer {
    index: Index,
    applied: Applied,
}

impl Programmer {
    /// The agent of the node of this name, with empty maps.
    #[must_use]
    pub fn new(node: &str, capacity: Capacity) -> Self {
        Self {
            index: Index::new(node),
            applied: Applied::new(capacity),
        }
    }

    /// What leads to a cluster of exactly these objects. What earlier plans gave up has rested long enough and is used
    /// again.
    ///
    /// # Errors
    /// When a manifest is not as it should be: tests state what they mean.
    pub fn plan(&mut self, manifests: &str) -> anyhow::Result<Plan> {
        feed(&mut self.index, manifests)?;
        self.index.set_primary(node(&self.index).primary);
        let mut plan = self.applied.release(Instant::now() + 2 * GRACE);
        let plans = [
            self.applied.place(node(&self.index)),
            self.applied.change(self.index.take_changes()),
        ];
        for Plan {
            steps,
            problems,
            considered: _,
            newly_served: _,
        } in plans
        {
            plan.steps.extend(steps);
            plan.problems.extend(problems);
        }
        ensure!(
            plan.problems.is_empty(),
            "not everything could be planned: {:?}",
            plan.problems
        );
        Ok(plan)
    }
}

/// What the data plane of a node shall do.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// For every service port.
    pub services: Vec<WantedService>,
    /// With addresses of no service.
    pub service_cidrs: BTreeSet<Cidr>,
}

impl Wanted {
    /// For a cluster of exactly these objects.
    ///
    /// # Errors
    /// When a manifest is not as it should be.
    pub fn new(node: &str, manifests: &str) -> anyhow::Result<Self> {
        let mut index = Index::new(node);
        feed(&mut index, manifests)?;
        index.set_primary(self::node(&index).primary);
        Ok(Self {
            services: index.take_changes().into_values().flatten().collect(),
            service_cidrs: index.service_cidrs(),
        })
    }
}

/// The node as its object describes it: `NodePorts` are served under its addresses, and it has no others.
fn node(index: &Index) -> WantedNode {
    let addresses = index
        .node()
        .map(|node| node.addresses.clone())
        .unwrap_or_default();
    WantedNode {
        node_port_addresses: addresses.iter().copied().collect(),
        bound: addresses.iter().copied().collect(),
        // Of several of one family the first counts.
        primary: addresses.iter().rev().map(|it| (it.family(), *it)).collect(),
        service_cidrs: index.service_cidrs(),
        ..WantedNode::default()
    }
}

fn feed(index: &mut Index, manifests: &str) -> anyhow::Result<()> {
    for kind in Kind::ALL {
        index.apply(Event::now(News::Listing(kind)));
    }
    for document in Deserializer::from_str(manifests) {
        let object = Value::deserialize(document).context("a manifest is not YAML")?;
        if !object.is_null() {
            index.apply(Event::now(news(object)?));
        }
    }
    for kind in Kind::ALL {
        index.apply(Event::now(News::Listed(kind)));
    }
    let problems = index.take_problems();
    ensure!(problems.is_empty(), "the manifests have problems: {problems:?}");
    Ok(())
}

fn news(object: Value) -> anyhow::Result<News> {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    Ok(match kind {
        "Service" => News::Service(change::<Service, _>(object)?),
        "EndpointSlice" => News::Slice(change::<EndpointSlice, _>(object)?),
        "Node" => News::Node(change::<Node, _>(object)?),
        "ServiceCIDR" => News::ServiceCidr(change::<ServiceCIDR, _>(object)?),
        other => bail!("a manifest of the unexpected kind {other:?}"),
    })
}

fn change<O, M>(object: Value) -> anyhow::Result<Change<M>>
where
    O: DeserializeOwned + TryInto<Parsed<M>, Error = Problem>,
{
    let object: O = serde_yaml_ng::from_value(object).context("a manifest can not be read")?;
    Ok(object.try_into().map_or_else(Change::Rejected, Change::Applied))
}
