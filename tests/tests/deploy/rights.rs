//! Semantics 1.05: what the account may do in the API is what the agent does there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kproxy_tests::apiserver::Permission;
use kube::Api;

use super::stage::{BOUND, NAME, NAMESPACE, Stage, on_stage};

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

/// Rights for when something has to be reported, and for when it has to be reported again.
fn is_for_reports(permission: &Permission) -> bool {
    permission.group == "events.k8s.io"
}

/// Everything that may be done is done, and nothing that is tried is refused.
async fn are_the_least(stage: Stage<'_>) -> anyhow::Result<()> {
    let granted = granted(&stage).await?;
    let addresses = stage.publish().await?;
    let agent = stage.start(&stage.container().await?)?;
    stage.is_served(addresses)?;
    // Needs the record of our own server; against another one the agent has served, and that is that.
    let account = format!("system:serviceaccount:{NAMESPACE}:{NAME}");
    if stage.api.uses(&account).is_ok() {
        let deadline = Instant::now() + BOUND;
        loop {
            let used = stage.api.uses(&account)?;
            let unused = granted.difference(&used).filter(|right| !is_for_reports(right));
            let unused: Vec<_> = unused.collect();
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
