//! Changes of a service while requests go on: its pods, its ports, the service itself.

use std::time::{Duration, Instant};

use anyhow::ensure;
use kproxy_tests::cluster::Cni;
use kproxy_tests::echo::Outcome;
use kproxy_tests::workload::{Port, sockets};

use super::stage::{BOUND, Server, Stage, WEB, all_answered, on_stage};

/// Scaling out and in, moving to other pods, one after another, while requests go on (11.15).
async fn scale_under_load(stage: Stage<'_>) -> anyhow::Result<()> {
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
    for pods in [0..6, 3..6, 0..6, 1..2, 0..3] {
        stage
            .workload
            .publish("web", &[WEB], &stage.members(pods))
            .await?;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    all_answered(loads)?;
    Ok(())
}

/// After a pod was taken from the slices, no request reaches it.
async fn removed_pods_get_nothing(stage: Stage<'_>) -> anyhow::Result<()> {
    let addresses = stage.workload.create("web", &[WEB]).await?;
    stage
        .workload
        .publish("web", &[WEB], &stage.members(0..6))
        .await?;
    let to = sockets(addresses, WEB.port);
    for destination in to {
        stage.until(destination, |result, _| result == Outcome::Ok)?;
    }
    let before: Vec<usize> = stage
        .agents
        .iter()
        .map(|agent| agent.messages("programmed").len())
        .collect();
    stage
        .workload
        .publish("web", &[WEB], &stage.members(0..1))
        .await?;
    for (agent, before) in stage.agents.iter().zip(before) {
        // One message for each family's slice, unless both arrive as one change.
        let deadline = Instant::now() + BOUND;
        while agent.messages("programmed").len() < before + 2 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    for destination in to {
        stage.until(destination, |_, pod| pod == Some("web-1"))?;
    }
    let loads = stage.loads(to)?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let pods = all_answered(loads)?;
    ensure!(
        pods.len() == 1 && pods.contains("web-1"),
        "pods that are not listed answered: {pods:?}"
    );
    Ok(())
}

/// A port is added, the target port changes, the first port goes; the other port's requests never notice
/// (1.28, 11.15).
async fn change_ports(stage: Stage<'_>) -> anyhow::Result<()> {
    const MORE: Port = Port {
        name: "more",
        protocol: "TCP",
        port: 81,
        target: 8080,
    };
    let addresses = stage.workload.create("web", &[WEB, MORE]).await?;
    stage
        .workload
        .publish("web", &[WEB, MORE], &stage.members(0..3))
        .await?;
    let (to, more) = (sockets(addresses, WEB.port), sockets(addresses, MORE.port));
    for destination in to.into_iter().chain(more) {
        stage.until(destination, |result, _| result == Outcome::Ok)?;
    }
    let loads = stage.loads(more)?;
    let moved = Port { target: 9090, ..WEB };
    stage.workload.set_ports("web", &[moved, MORE]).await?;
    stage
        .workload
        .publish("web", &[moved, MORE], &stage.members(0..3))
        .await?;
    for destination in to {
        stage.until(destination, |result, _| result == Outcome::Ok)?;
    }
    stage.workload.set_ports("web", &[MORE]).await?;
    for destination in to {
        stage.until(destination, |result, _| result != Outcome::Ok)?;
    }
    all_answered(loads)?;
    Ok(())
}

/// Deleting a service ends it (4.07), without endpoints it refuses at once, and recreated it serves again (4.06).
async fn delete_and_recreate(stage: Stage<'_>) -> anyhow::Result<()> {
    for _ in 0..3 {
        let addresses = stage.workload.create("web", &[WEB]).await?;
        let to = sockets(addresses, WEB.port);
        for destination in to {
            stage.until(destination, |result, _| result == Outcome::Refused)?;
        }
        stage
            .workload
            .publish("web", &[WEB], &stage.members(0..3))
            .await?;
        for destination in to {
            stage.until(destination, |result, _| result == Outcome::Ok)?;
        }
        let loads = stage.loads(to)?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        all_answered(loads)?;
        stage.workload.delete("web").await?;
        for destination in to {
            stage.until(destination, |result, _| result != Outcome::Ok)?;
        }
    }
    Ok(())
}

#[test]
fn scale_under_load_routed() {
    on_stage("scale", Cni::RoutedVeth, Server::Any, scale_under_load);
}

#[test]
fn scale_under_load_bridged() {
    on_stage("scaleb", Cni::Bridge, Server::Any, scale_under_load);
}

#[test]
fn removed_pods_get_no_request() {
    on_stage("removed", Cni::RoutedVeth, Server::Any, removed_pods_get_nothing);
}

#[test]
fn ports_change_alone() {
    on_stage("ports", Cni::RoutedVeth, Server::Any, change_ports);
}

#[test]
fn services_are_deleted_and_recreated() {
    on_stage("recreate", Cni::Bridge, Server::Any, delete_and_recreate);
}
