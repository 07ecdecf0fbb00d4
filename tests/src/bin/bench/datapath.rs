//! What a packet costs, program by program, as `bench-datapath` measures it.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, ensure};
use kproxy_tests::cluster::process::binary;

use crate::plan::Plan;
use crate::progress::Progress;
use crate::samples::{Metric, Samples};

/// Names of `bench-datapath` that bounds speak of.
pub(crate) const SMALL_LOOKUP: &str = "one small lookup";
pub(crate) const BYSTANDERS: [&str; 2] = ["bystander, from a pod", "bystander, to a pod"];
pub(crate) const BYSTANDER_OWN: &str = "bystander, to the node";
pub(crate) const FLOOR: &str = "XDP: LRU lookup and FIB";
pub(crate) const ESTABLISHED_EARLY: &str = "XDP: established";
/// What must not depend on the number of services.
pub(crate) const CONSTANT: [&str; 7] = [
    BYSTANDERS[0],
    BYSTANDERS[1],
    BYSTANDER_OWN,
    "new flow",
    "established",
    "reply",
    ESTABLISHED_EARLY,
];

pub(crate) fn measure(plan: &Plan, progress: &Progress, samples: &mut Samples) -> anyhow::Result<()> {
    let program = binary("bench-datapath", "KPROXY_BENCH_DATAPATH", "kproxy-tests")?;
    let (rounds, repeat) = plan.packets;
    // In halves, so that no size has the machine's better minutes for itself.
    let halves = if rounds > 1 {
        [rounds / 2, rounds - rounds / 2]
    } else {
        [0, rounds]
    };
    for rounds in halves.into_iter().filter(|rounds| *rounds > 0) {
        for services in &plan.packets_sizes {
            progress.step(&format!("{services} services: cost of a packet"));
            let output = Command::new(&program)
                .arg("--json")
                .args(["--services", &services.to_string()])
                .args(["--rounds", &rounds.to_string()])
                .args(["--repeat", &repeat.to_string()])
                .output()
                .with_context(|| format!("cannot start {}", program.display()))?;
            let words = String::from_utf8_lossy(&output.stderr);
            ensure!(
                output.status.success() && words.is_empty(),
                "bench-datapath: {}",
                words.trim()
            );
            let said: BTreeMap<String, Vec<f64>> =
                serde_json::from_slice(&output.stdout).context("bench-datapath says something else")?;
            for (name, values) in said {
                for value in values {
                    samples.add(Metric::PacketCost, *services, &name, value);
                }
            }
        }
    }
    Ok(())
}
