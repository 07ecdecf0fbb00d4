//! Agents and API servers that fail while requests go on.

use std::time::Duration;

use anyhow::{Context, ensure};
use kproxy_tests::apiserver::Fault;
use kproxy_tests::cluster::{AgentOptions, Cni};
use kproxy_tests::echo::Outcome;
use kproxy_tests::workload::sockets;

use super::stage::{PODS, Server, Stage, WEB, all_answered, on_stage};

/// The agents end in every way there is, and are started again; requests and changes go on (11.02, 11.03, 11.04).
async fn agents_come_and_go(mut stage: Stage<'_>) -> anyhow::Result<()> {
    let addresses = stage.workload.create("web", &[WEB]).await?;
    stage
        .workload
        .publish("web", &[WEB], &stage.members(0..3))
        .await?;
    let to = sockets(addresses, WEB.port);
    for destination in to {
        stage.until(destination, |result, _| result == Outcome::Ok)?;
    }
    let loads = stage.loads(to)?;
    let options = AgentOptions::kubeconfig(&stage.folder.path().join("kubeconfig"));
    for round in 0..2 {
        for agent in stage.agents.drain(..) {
            if round == 0 {
                agent.stop()?;
            } else {
                agent.kill()?;
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        for node in stage.cluster.nodes() {
            stage.agents.push(node.start_agent(&options)?);
        }
        let writes: Vec<_> = stage
            .agents
            .iter()
            .flat_map(|agent| agent.messages("programmed"))
            .filter_map(|fields| fields["writes"].as_u64())
            .collect();
        ensure!(
            writes.iter().sum::<u64>() == 0,
            "a restart without a change wrote maps: {writes:?}"
        );
    }
    stage
        .workload
        .publish("web", &[WEB], &stage.members(3..6))
        .await?;
    for destination in to {
        stage.until(destination, |_, pod| {
            matches!(pod, Some("web-4" | "web-5" | "web-6"))
        })?;
    }
    all_answered(loads)?;
    Ok(())
}

/// The API server breaks off, forgets, fails, sends half an event and goes away; what it said last stays in force, and
/// what it says next arrives (11.11).
async fn faults_cost_nothing(stage: Stage<'_>) -> anyhow::Result<()> {
    let faults = stage.api.faults()?;
    let addresses = stage.workload.create("web", &[WEB]).await?;
    stage
        .workload
        .publish("web", &[WEB], &stage.members(0..3))
        .await?;
    let to = sockets(addresses, WEB.port);
    for destination in to {
        stage.until(destination, |result, _| result == Outcome::Ok)?;
    }
    let loads = stage.loads(to)?;
    let break_off: [(&str, &dyn Fn() -> anyhow::Result<()>); 5] = [
        ("watches end", &|| {
            faults.drop_watches();
            Ok(())
        }),
        ("the history is gone", &|| {
            faults.compact_history();
            faults.inject(Fault::Expired, 4);
            faults.drop_watches();
            Ok(())
        }),
        ("requests fail", &|| {
            faults.inject(Fault::InternalError, 8);
            faults.drop_watches();
            std::thread::sleep(Duration::from_millis(500));
            faults.clear();
            Ok(())
        }),
        ("half an event", &|| {
            faults.inject_on("endpointslices", Fault::BrokenEvent, 2);
            Ok(())
        }),
        ("nobody listens", &|| {
            faults.stop_listening();
            std::thread::sleep(Duration::from_millis(500));
            faults.start_listening()
        }),
    ];
    for (round, (fault, strike)) in break_off.into_iter().enumerate() {
        strike()?;
        let only = round % 3;
        stage
            .workload
            .publish("web", &[WEB], &stage.members(only..only + 1))
            .await?;
        for destination in to {
            stage
                .until(destination, |_, pod| pod == Some(PODS[only].0))
                .with_context(|| format!("after: {fault}"))?;
        }
    }
    all_answered(loads)?;
    Ok(())
}

#[test]
fn agents_come_and_go_under_load() {
    on_stage("restart", Cni::RoutedVeth, Server::Any, agents_come_and_go);
}

#[test]
fn faults_of_the_api_server_cost_nothing() {
    on_stage("faults", Cni::RoutedVeth, Server::WithFaults, faults_cost_nothing);
}
