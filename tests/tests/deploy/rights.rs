//! Semantics 1.05: what the account may do in the API is what the agent does there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kproxy_tests::apiserver::Permission;
use kproxy_tests::cluster::Agent;
use kproxy_tests::workload::Workload;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use super::stage::{BOUND, NAME, NAMESPACE, Stage, WEB, on_stage};

/// What the cluster role of the manifests says, rule by rule.
async fn granted(stage: &Stage<'_>) -> anyhow::Result<BTreeSet<Permission>> {
    let roles: Api<ClusterRole> = Api::all(stage.client.clone());
    let role = roles.get(NAME).await?;
    let mut granted = BTreeSet::new();
    for rule in role.rules.context("a role without rules")? {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                granted.extend(rule.verbs.iter().map(|verb| Permission {
                    group: group.clone(),
                    resource: resource.clone(),
                    verb: verb.clone(),
                }));
            }
        }
    }
    Ok(granted)
}

/// Whether the agent has told of its start, and of something more than once.
async fn has_reported(stage: &Stage<'_>) -> anyhow::Result<bool> {
    let events: Api<Event> = Api::all(stage.client.clone());
    let events = events.list(&ListParams::default()).await?.items;
    let about = |reason| {
        events
            .iter()
            .find(move |event| event.reason.as_deref() == Some(reason))
    };
    let conflict = about("ConflictingFrontend").and_then(|event| event.series.as_ref());
    Ok(about("Starting").is_some() && conflict.is_some_and(|series| series.count > 1))
}

/// Two services want one address, again and again, until the agent has done what reports take (3.07, 9.22).
async fn provoke_reports(stage: &Stage<'_>, agent: &Agent) -> anyhow::Result<()> {
    let (shared, another) = ("192.0.2.7", "192.0.2.8");
    let workload = Workload::new(&stage.client);
    workload.create("other", &[WEB]).await?;
    let services: Api<Service> = Api::namespaced(stage.client.clone(), "default");
    let set = async |name, address: &str| {
        let patch = Patch::Merge(json!({"spec": {"externalIPs": [address]}}));
        services.patch(name, &PatchParams::default(), &patch).await
    };
    set("web", shared).await?;
    let deadline = Instant::now() + BOUND;
    while !has_reported(stage).await? {
        ensure!(Instant::now() < deadline, "nothing is reported: {}", agent.log());
        for address in [shared, another] {
            set("other", address).await?;
            // Not so fast that the agent sees both as one.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(())
}

/// Everything that may be done is done, and nothing that is tried is refused.
async fn are_the_least(stage: Stage<'_>) -> anyhow::Result<()> {
    let granted = granted(&stage).await?;
    let addresses = stage.publish().await?;
    let agent = stage.start(&stage.container().await?)?;
    stage.is_served(addresses)?;
    provoke_reports(&stage, &agent).await?;
    // Needs the record of our own server; against another one the agent has served, and that is that.
    let account = format!("system:serviceaccount:{NAMESPACE}:{NAME}");
    if stage.api.uses(&account).is_ok() {
        let deadline = Instant::now() + BOUND;
        loop {
            let used = stage.api.uses(&account)?;
            let unused: Vec<_> = granted.difference(&used).collect();
            if unused.is_empty() {
                break;
            }
            ensure!(Instant::now() < deadline, "never used: {unused:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    ensure!(!agent.log().contains("forbidden"), "{}", agent.log());
    agent.stop()
}

#[test]
fn rights_are_enough_and_not_too_many() {
    on_stage("rights", are_the_least);
}
