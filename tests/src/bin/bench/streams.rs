//! Streams of iperf3 from a client outside, by the node's `NodePort`, to a pod elsewhere.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use kproxy_tests::bench::IperfRun;
use kproxy_tests::cluster::{Process, Via};

use crate::contender::OUTSIDE as CONTENDERS;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::samples::{Metric, Samples};
use crate::services::TARGET;
use crate::stage::{BOUND, FAR, OUTSIDE, Stage};
use crate::translator::Translator;

/// What the kernel counts processor time in (`USER_HZ`, proc(5)).
const TICKS: f64 = 100.0;

pub(crate) fn measure(
    stages: &[(Translator, Stage)],
    size: u32,
    plan: &Plan,
    progress: &Progress,
    samples: &mut Samples,
) -> anyhow::Result<()> {
    let (rounds, seconds) = plan.streams;
    let servers = stages.iter().map(|(_, stage)| serve(stage));
    let _servers = servers.collect::<anyhow::Result<Vec<_>>>()?;
    for round in 0..rounds {
        let first = round as usize % CONTENDERS.len();
        for contender in CONTENDERS.iter().cycle().skip(first).take(CONTENDERS.len()) {
            let Some((_, stage)) = stages.iter().find(|(it, _)| *it == contender.translator) else {
                continue;
            };
            let before = busy(stage.cpu())?;
            let run = stream(stage, seconds).with_context(|| format!("iperf3 by {}", contender.name))?;
            let spent = busy(stage.cpu())? - before;
            let gigabits = run.bits_per_second / 1e9;
            let mut add = |metric, value| samples.add(metric, size, contender.name, value);
            add(Metric::Throughput, gigabits);
            let again = u32::try_from(run.retransmits).unwrap_or(u32::MAX);
            add(Metric::SentAgain, f64::from(again));
            add(
                Metric::CpuPerGigabit,
                1e3 * spent / (gigabits * f64::from(seconds)),
            );
        }
        progress.round("rounds", round + 1, rounds);
    }
    Ok(())
}

fn serve(stage: &Stage) -> anyhow::Result<Process> {
    let port = TARGET.to_string();
    let arguments = ["--server", "--forceflush", "--port", &port];
    let server = stage
        .cluster
        .pod(FAR)
        .run_program(Via::Packet, "iperf3".as_ref(), &arguments)?;
    let listens = |line: &str| line.contains("listening").then_some(());
    let listening = server.stdout().wait_for(BOUND, listens);
    listening.with_context(|| format!("iperf3 does not listen: {}", server.stderr().text()))?;
    Ok(server)
}

fn stream(stage: &Stage, seconds: u32) -> anyhow::Result<IperfRun> {
    let to: SocketAddr = stage.far();
    let (address, port, time) = (to.ip().to_string(), to.port().to_string(), seconds.to_string());
    let cpus = format!("{0},{0}", stage.cpu());
    let arguments = [
        "--json",
        "--client",
        &address,
        "--port",
        &port,
        "--time",
        &time,
        "--affinity",
        &cpus,
    ];
    let client = stage.cluster.client(OUTSIDE);
    let mut process = client.run_program(Via::Packet, "iperf3".as_ref(), &arguments)?;
    process.wait(BOUND + Duration::from_secs(seconds.into()))?;
    IperfRun::read(&process.stdout().text())
}

/// Seconds that a processor was not idle so far, by whatever (proc(5), `/proc/stat`).
fn busy(cpu: usize) -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let name = format!("cpu{cpu} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    let line = line.with_context(|| format!("no processor {cpu}"))?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()
        .context("another /proc/stat than expected")?;
    // user, nice, system, idle, iowait, irq, softirq
    let [user, nice, system, _, _, irq, softirq, ..] = ticks.as_slice() else {
        anyhow::bail!("another /proc/stat than expected");
    };
    Ok((user + nice + system + irq + softirq) / TICKS)
}
