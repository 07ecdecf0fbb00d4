//! From manifests to map writes, through the same code as in the agent.

use std::time::Instant;

use anyhow::{Context, bail, ensure};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kproxy::index::Index;
use kproxy::model::Kind;
use kproxy::plan::{Applied, Capacity, GRACE, Plan, WantedService};
use kproxy::source::{Change, Event, News};
use serde::Deserialize;
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
            index: new_index(node),
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
        let mut plan = self.applied.release(Instant::now() + 2 * GRACE);
        let Plan { steps, problems } = self.applied.change(self.index.take_changes());
        plan.steps.extend(steps);
        plan.problems.extend(problems);
        ensure!(
            plan.problems.is_empty(),
            "not everything could be planned: {:?}",
            plan.problems
        );
        Ok(plan)
    }
}

/// What the data plane of a node shall do for a cluster of exactly these objects.
///
/// # Errors
/// When a manifest is not as it should be.
pub fn wanted(node: &str, manifests: &str) -> anyhow::Result<Vec<WantedService>> {
    let mut index = new_index(node);
    feed(&mut index, manifests)?;
    Ok(index.take_changes().into_values().flatten().collect())
}

fn new_index(node: &str) -> Index {
    let mut index = Index::new(node);
    for kind in [Kind::Node, Kind::ServiceCidr] {
        index.apply(Event::now(News::Listing(kind)));
        index.apply(Event::now(News::Listed(kind)));
    }
    index
}

fn feed(index: &mut Index, manifests: &str) -> anyhow::Result<()> {
    let kinds = [Kind::Service, Kind::EndpointSlice];
    for kind in kinds {
        index.apply(Event::now(News::Listing(kind)));
    }
    for document in Deserializer::from_str(manifests) {
        let object = Value::deserialize(document).context("a manifest is not YAML")?;
        if !object.is_null() {
            index.apply(Event::now(news(object)?));
        }
    }
    for kind in kinds {
        index.apply(Event::now(News::Listed(kind)));
    }
    let problems = index.take_problems();
    ensure!(problems.is_empty(), "the manifests have problems: {problems:?}");
    Ok(())
}

fn news(object: Value) -> anyhow::Result<News> {
    let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default();
    Ok(match kind {
        "Service" => {
            let service: Service = serde_yaml_ng::from_value(object).context("a Service can not be read")?;
            News::Service(service.try_into().map_or_else(Change::Rejected, Change::Applied))
        }
        "EndpointSlice" => {
            let slice: EndpointSlice =
                serde_yaml_ng::from_value(object).context("an EndpointSlice can not be read")?;
            News::Slice(slice.try_into().map_or_else(Change::Rejected, Change::Applied))
        }
        other => bail!("a manifest of the unexpected kind {other:?}"),
    })
}
