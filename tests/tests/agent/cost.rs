//! What a change costs.

use std::time::{Duration, Instant};

use anyhow::ensure;
use kproxy::plan::GRACE;
use kproxy_tests::cluster::Cni;

use super::stage::{BOUND, Server, Stage, WEB, on_stage};

/// A change of one service is the same few map writes, whether there are three services or a hundred (11.08).
async fn changes_cost_what_they_change(stage: Stage<'_>) -> anyhow::Result<()> {
    let mut costs = Vec::new();
    let mut named = 0..;
    for more in [3, 97] {
        for number in named.by_ref().take(more) {
            let name = format!("service-{number}");
            stage.workload.create(&name, &[WEB]).await?;
            stage
                .workload
                .publish(&name, &[WEB], &stage.members(0..3))
                .await?;
        }
        costs.push(cost_of_a_change(&stage, "service-1").await?);
    }
    ensure!(costs[0] == costs[1], "writes among 3 and 100 services: {costs:?}");
    Ok(())
}

/// The map writes of one agent, one entry for each service port that it found changed.
async fn cost_of_a_change(stage: &Stage<'_>, name: &str) -> anyhow::Result<Vec<(u64, u64)>> {
    let [agent, ..] = &stage.agents[..] else {
        anyhow::bail!("no agent")
    };
    let mut costs = Vec::new();
    for pods in [0..4, 0..3] {
        // What came before has been programmed, and what it gave up is free again.
        tokio::time::sleep(3 * GRACE).await;
        let before = agent.messages("programmed").len();
        stage.workload.publish(name, &[WEB], &stage.members(pods)).await?;
        let deadline = Instant::now() + BOUND;
        // One message, or one for each family.
        let programmed = |messages: &[serde_json::Value]| -> (u64, u64) {
            let sum = |field: &str| messages.iter().filter_map(|fields| fields[field].as_u64()).sum();
            (sum("services"), sum("writes"))
        };
        let mut cost = (0, 0);
        while cost.0 < 2 {
            ensure!(
                Instant::now() < deadline,
                "the change is not programmed: {cost:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
            cost = programmed(&agent.messages("programmed")[before..]);
        }
        costs.push(cost);
    }
    Ok(costs)
}

#[test]
fn a_change_of_one_service_does_no_work_for_others() {
    on_stage(
        "cost",
        Cni::RoutedVeth,
        Server::Any,
        changes_cost_what_they_change,
    );
}
