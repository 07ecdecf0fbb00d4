//! Everything that kproxy claims to be fast at, beside what it replaces: one run, one kernel, every contender in turn.
//!
//! Client, node and pods are network namespaces that this program makes and removes. Every contender has a cluster of its own of
//! one shape, and they take turns in rounds. Needs root, `iptables`, `nft`, `ethtool` and `iperf3`.
//!
//! * [`plan`] says what is measured how often, [`services`] and [`rules`] what everybody is given, [`stage`] is a contender's
//!   cluster, [`worker`] what runs inside
//! * `connections`, ... each measure one thing and put [`samples`] down

mod connections;
mod contender;
mod control;
mod datapath;
mod packets;
mod plan;
mod progress;
mod proxy;
mod rules;
mod samples;
mod services;
mod stage;
mod streams;
mod wire;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use plan::{Asked, Part, Plan};
use progress::Progress;
use samples::Samples;
use stage::{Stage, Translator};

/// Where everything runs that takes turns: what moves between processors differs from run to run.
const CPU: usize = 0;

/// Measures kproxy beside what it replaces.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(flatten)]
    asked: Asked,
    #[command(subcommand)]
    inside: Option<Inside>,
}

#[derive(Clone, Debug, Subcommand)]
enum Inside {
    /// Plays a part inside of a cluster.
    #[command(hide = true)]
    Part {
        /// On this processor.
        #[arg(long)]
        cpu: usize,
        #[command(subcommand)]
        part: worker::Part,
    },
}

fn main() -> ExitCode {
    let Arguments { asked, inside } = Arguments::parse();
    let outcome = match inside {
        Some(Inside::Part { cpu, part }) => worker::play(&part, cpu),
        None => measure(&asked),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(asked: &Asked) -> anyhow::Result<()> {
    let plan = asked.plan();
    let progress = Progress::start();
    let mut samples = Samples::default();
    let by_size = [Part::Connections, Part::Packets, Part::Streams];
    let sizes = plan
        .sizes
        .iter()
        .filter(|_| by_size.iter().any(|part| asked.wants(*part)));
    for size in sizes.copied() {
        at_size(asked, &plan, size, &progress, &mut samples)?;
    }
    if asked.wants(Part::Datapath) {
        datapath::measure(&plan, &progress, &mut samples)?;
    }
    if asked.wants(Part::Control) {
        progress.step("kproxy beside an API server");
        control::agent(&plan, &progress, &mut samples)?;
        control::rules(&plan, &progress, &mut samples)?;
    }
    for (subject, values) in samples.all() {
        let spread = samples::Spread::of(values);
        println!("{subject:?} {spread:?}");
    }
    Ok(())
}

fn at_size(
    asked: &Asked,
    plan: &Plan,
    size: u32,
    progress: &Progress,
    samples: &mut Samples,
) -> anyhow::Result<()> {
    let mut stages = Vec::new();
    for translator in [
        Translator::Nobody,
        Translator::Kproxy,
        Translator::KproxyXdp,
        Translator::Iptables,
        Translator::Nftables,
        Translator::KubeProxy,
    ] {
        if translator == Translator::KubeProxy && asked.kube_proxy.is_none() {
            continue;
        }
        progress.step(&format!("{size} services: {translator:?}"));
        let stage = Stage::new(translator, size, CPU, asked.kube_proxy.as_deref())?;
        stages.push((translator, stage));
    }
    if asked.wants(Part::Connections) {
        progress.step(&format!("{size} services: connections and requests"));
        for round in 0..plan.rounds {
            connections::round(&stages, (size, round), plan.turn, samples)?;
            progress.round("rounds", round + 1, plan.rounds);
        }
    }
    if asked.wants(Part::Streams) && Some(&size) == plan.streams_size() {
        progress.step(&format!("{size} services: iperf3"));
        streams::measure(&stages, size, plan, progress, samples)?;
    }
    if asked.wants(Part::Packets) {
        progress.step(&format!("{size} services: small packets"));
        let lanes = stages
            .iter()
            .map(|(translator, stage)| packets::Lane::new(*translator, stage, CPU))
            .collect::<anyhow::Result<Vec<_>>>()?;
        for round in 0..plan.rounds {
            packets::round(&stages, &lanes, (size, round), (plan.turn, CPU), samples)?;
            progress.round("rounds", round + 1, plan.rounds);
        }
    }
    Ok(())
}
