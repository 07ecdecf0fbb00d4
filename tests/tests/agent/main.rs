//! The agent against an API server, with real pods: nothing that a service's owner does may cost a request.

mod observe;
mod quiet;
mod stage;

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kproxy::plan::GRACE;
use kproxy_tests::apiserver::Fault;
use kproxy_tests::cluster::{AgentOptions, Cni, Via};
use kproxy_tests::echo::{Mode, Options, Outcome};
use kproxy_tests::workload::{Port, sockets};

use stage::{BOUND, PODS, Server, Stage, all_answered, client, on_stage};

const WEB: Port = Port {
    name: "http",
    protocol: "TCP",
    port: 80,
    target: 8080,
};

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

/// A UDP client that keeps its port moves to the new pods, also after the service had none for a while (11.16).
async fn udp_follows(stage: Stage<'_>) -> anyhow::Result<()> {
    const DNS: Port = Port {
        name: "dns",
        protocol: "UDP",
        port: 53,
        target: 8080,
    };
    let addresses = stage.workload.create("dns", &[DNS]).await?;
    let to = sockets(addresses, DNS.port);
    let pods = |pods: Range<usize>| stage.members(pods);
    stage.workload.publish("dns", &[DNS], &pods(0..1)).await?;
    let mut loads = Vec::new();
    for (port, destination) in (5000..).zip(to) {
        for (offset, via) in [(0, Via::Socket), (100, Via::Packet)] {
            let mut options = Options::to(destination)
                .udp(Mode::Sendto)
                .keep()
                .source_port(port + offset);
            options.interval = Duration::from_millis(5);
            options.timeout = Duration::from_millis(200);
            loads.push(stage.cluster.pod(client(via)).load(via, &options, 1)?);
        }
    }
    for wanted in [0..1, 1..2, 0..0, 2..3] {
        stage
            .workload
            .publish("dns", &[DNS], &pods(wanted.clone()))
            .await?;
        let Some((name, _)) = PODS[wanted].first() else {
            continue;
        };
        for load in &loads {
            let deadline = Instant::now() + BOUND;
            while !load.progress().pods.contains_key(*name) {
                ensure!(
                    Instant::now() < deadline,
                    "a client never reached {name}: {:?}",
                    load.progress()
                );
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    Ok(())
}

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

#[test]
fn agents_come_and_go_under_load() {
    on_stage("restart", Cni::RoutedVeth, Server::Any, agents_come_and_go);
}

#[test]
fn udp_clients_follow_their_service() {
    on_stage("udp", Cni::Bridge, Server::Any, udp_follows);
}

#[test]
fn faults_of_the_api_server_cost_nothing() {
    on_stage("faults", Cni::RoutedVeth, Server::WithFaults, faults_cost_nothing);
}
