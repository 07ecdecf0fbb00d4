//! What a packet costs at a pod's door, under `BPF_PROG_TEST_RUN` on this machine, beside an empty program and a bare
//! LRU lookup in the same run. Needs root.
//!
//! One flow, hot in every cache, without the kernel's own work around the hook: it shows what the programs cost, not
//! what a network card would see.

mod baseline;
mod early;
mod stack;
mod subjects;

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

use aya::programs::Program;
use clap::Parser;
use kproxy_tests::bench::bpf;

use subjects::{Subject, Subjects};

/// Measures what a packet costs at a pod's door.
#[derive(Clone, Copy, Debug, Parser)]
#[command(name = "bench-datapath")]
struct Arguments {
    /// Packets in one measurement.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Measurements of each case, one after another in turn.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Services besides those that are asked.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=60_000))]
    services: u32,
    /// One object of JSON instead of words: nanoseconds by name.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let Arguments {
        repeat,
        rounds,
        services,
        json,
    } = Arguments::parse();
    let mut subjects = Subjects::set_up(services)?;
    let mut samples = Subject::ALL.map(|_| Vec::new());
    for _ in 0..rounds {
        for (subject, samples) in Subject::ALL.into_iter().zip(&mut samples) {
            samples.push(subjects.measure(subject, repeat)?);
        }
    }
    if json {
        let names = Subject::ALL.map(Subject::name);
        let samples: BTreeMap<_, _> = names.into_iter().zip(samples).collect();
        println!("{}", serde_json::to_string(&samples)?);
        return Ok(());
    }
    for samples in &mut samples {
        samples.sort_by(f64::total_cmp);
    }
    print_costs(&samples, repeat, rounds);
    print_programs(&subjects)
}

fn print_costs(samples: &[Vec<f64>; Subject::ALL.len()], repeat: u32, rounds: u32) {
    let median = |samples: &[f64]| samples[samples.len() / 2];
    let [empty, lookup, ..] = samples;
    let (empty, lookup) = (median(empty), median(lookup));
    println!(
        "Cost per packet, {rounds} rounds of {repeat} packets (new flows: 5000), one flow and warm caches:\n"
    );
    println!(
        "{:<24}{:>10}{:>12}{:>16}{:>10}{:>10}",
        "", "min ns", "median ns", "packets/s", "x empty", "x LRU"
    );
    for (subject, samples) in Subject::ALL.iter().zip(samples) {
        let middle = median(samples);
        println!(
            "{:<24}{:>10.1}{:>12.1}{:>16.0}{:>10.1}{:>10.1}",
            subject.name(),
            samples[0],
            middle,
            1e9 / middle,
            middle / empty,
            middle / lookup
        );
    }
}

fn print_programs(subjects: &Subjects) -> anyhow::Result<()> {
    println!("\nWhat the verifier saw:\n");
    println!(
        "{:<24}{:>14}{:>14}{:>14}",
        "", "verified", "instructions", "stack bytes"
    );
    let programs: BTreeMap<&str, &Program> = subjects.programs().all().collect();
    for (name, program) in programs {
        let info = program.info()?;
        let instructions = bpf::translated(program.fd()?.as_fd())?;
        println!(
            "{name:<24}{:>14}{:>14}{:>14}",
            info.verified_instruction_count().unwrap_or(0),
            instructions.len(),
            stack::depth(&instructions)
        );
    }
    Ok(())
}
