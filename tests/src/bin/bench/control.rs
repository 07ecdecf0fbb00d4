//! Changes, start and memory: the agent beside an API server, and transactions of rules for the same services.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kproxy_tests::cluster::Cluster;
use kproxy_tests::cluster::process::binary;
use serde::Deserialize;

use crate::contender::{IPTABLES, KPROXY, NFTABLES};
use crate::plan::Plan;
use crate::progress::Progress;
use crate::results::LeftOut;
use crate::rules::nftables::Choices;
use crate::rules::{iptables, nftables};
use crate::samples::{Metric, Samples};
use crate::services::Service;
use crate::stage::NODE;
use crate::transaction::load;

const RESTORE: &str = "iptables-restore";
/// How long one transaction may take.
const WITHIN: Duration = Duration::from_mins(2);
/// Services in one of several transactions, where one of all takes too long.
const IN_A_PART: usize = 500;

/// What `bench-scale --json` says.
#[derive(Debug, Deserialize)]
struct Scale {
    /// From the last list to the last map write.
    first_micros: u64,
    /// Each from the arrival of the slice to the last map write.
    change_micros: Vec<u64>,
    resident_bytes: u64,
    map_bytes: u64,
}

/// The agent.
pub(crate) fn agent(plan: &Plan, progress: &Progress, samples: &mut Samples) -> anyhow::Result<()> {
    let (services, endpoints) = plan.scale;
    let program = binary("bench-scale", "KPROXY_BENCH_SCALE", "kproxy-tests")?;
    for start in 0..plan.starts {
        // The changes of one start are enough.
        let changes = if start == 0 { plan.changes.0 } else { 1 };
        let output = Command::new(&program)
            .arg("--json")
            .args(["--services", &services.to_string()])
            .args(["--endpoints", &endpoints.to_string()])
            .args(["--changes", &changes.to_string()])
            .output()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let words = String::from_utf8_lossy(&output.stderr);
        // What it can not clean up it says there.
        ensure!(
            output.status.success() && words.is_empty(),
            "bench-scale: {}",
            words.trim()
        );
        let Scale {
            first_micros,
            change_micros,
            resident_bytes,
            map_bytes,
        } = serde_json::from_slice(&output.stdout).context("bench-scale says something else")?;
        let mut add = |metric, value| samples.add(metric, services, KPROXY, value);
        add(Metric::Everything, seconds(first_micros));
        add(Metric::AgentMemory, mebibytes(resident_bytes));
        add(Metric::MapMemory, mebibytes(map_bytes));
        if start == 0 {
            for micros in change_micros {
                add(Metric::Change, seconds(micros) * 1e3);
            }
        }
        progress.round("starts", start + 1, plan.starts);
    }
    Ok(())
}

/// Rules of both kinds, each in a node of its own.
pub(crate) fn rules(
    plan: &Plan,
    progress: &Progress,
    samples: &mut Samples,
    left_out: &mut Vec<LeftOut>,
) -> anyhow::Result<()> {
    let (count, endpoints) = plan.rules;
    let mut services: Vec<_> = (0..count)
        .map(|number| Service::stranger(number, endpoints))
        .collect();
    let cluster = Cluster::builder("brules")
        .node(NODE, |node| node)
        .node("second", |node| node)
        .build()?;
    let [first, second] = [NODE, "second"].map(|name| cluster.node(name).host());
    let title = format!("{count} services x {endpoints} endpoints");
    progress.step(&format!("{title}: nftables from nothing"));
    let all = nftables::everything(&services, first.v4(), Choices::All);
    let took = load(first.namespace(), "nft", &["-f"], &all, WITHIN)?;
    samples.add(
        Metric::Everything,
        count,
        NFTABLES,
        took.unwrap_or(WITHIN).as_secs_f64(),
    );
    if took.is_none() {
        left_out.push(LeftOut {
            what: format!("nftables, everything from scratch, {title}"),
            reason: format!(
                "ended after {} s; the figure is the least that it takes",
                WITHIN.as_secs()
            ),
        });
        progress.step(&format!("{title}: nftables in parts, for single changes"));
        let parts = services.chunks(IN_A_PART);
        let parts = parts.map(|part| nftables::these(part, Choices::All));
        for part in std::iter::once(nftables::base(first.v4())).chain(parts) {
            let took = load(first.namespace(), "nft", &["-f"], &part, WITHIN)?;
            took.context("nft does not load rules in parts either")?;
        }
    }
    progress.step(&format!("{title}: iptables from nothing"));
    let all = iptables::everything(&services);
    let took = load(second.namespace(), RESTORE, &["--noflush"], &all, WITHIN)?;
    let has_iptables = took.is_some();
    if let Some(took) = took {
        samples.add(Metric::Everything, count, IPTABLES, took.as_secs_f64());
    } else {
        left_out.push(LeftOut {
            what: format!("iptables, {title}"),
            reason: format!("{RESTORE} was not done after {} s", WITHIN.as_secs()),
        });
    }
    progress.step(&format!("{title}: single changes of rules"));
    for change in 0..plan.changes.1 {
        // The stride of `bench-scale`, so that neighbours in time are none in memory.
        let index = (change as usize * 7919) % services.len();
        let old = services[index].clone();
        let new = &mut services[index];
        new.endpoints.remove(0);
        new.endpoints
            .push(Service::new_endpoint(count * endpoints + change));
        let mut add = |name, took: Option<Duration>| {
            let took = took.context("a single change was not done in time")?;
            samples.add(Metric::Change, count, name, took.as_secs_f64() * 1e3);
            anyhow::Ok(())
        };
        let rules = nftables::change(&old, new);
        add(NFTABLES, load(first.namespace(), "nft", &["-f"], &rules, WITHIN)?)?;
        if has_iptables {
            let rules = iptables::change(&old, new);
            let took = load(second.namespace(), RESTORE, &["--noflush"], &rules, WITHIN)?;
            add(IPTABLES, took)?;
        }
        progress.round("changes", change + 1, plan.changes.1);
    }
    Ok(())
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

fn mebibytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) / 1024.0
}
