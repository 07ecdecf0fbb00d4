//! Clients of UDP that keep their port.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::ensure;
use kproxy_tests::cluster::{Cni, Via};
use kproxy_tests::echo::{Mode, Options};
use kproxy_tests::workload::{Port, sockets};

use super::stage::{BOUND, PODS, Server, Stage, client, on_stage};

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

#[test]
fn udp_clients_follow_their_service() {
    on_stage("udp", Cni::Bridge, Server::Any, udp_follows);
}
