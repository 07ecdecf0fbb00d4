//! The whole agent at scale: a real `kproxy run` that follows an API server with many services.
//!
//! Measures the time from the arrival of the last list to the last map write, the agent's memory, and how long single
//! changes of an EndpointSlice take. The maps and the cgroup are the benchmark's own; needs root.

mod agent;
mod cluster;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Parser;
use kproxy_tests::apiserver::{ApiServer, Options};
use kproxy_tests::bench::{Cluster, Distribution, Place};

use agent::Agent;

/// Measures the agent with many services.
#[derive(Clone, Copy, Debug, Parser)]
#[command(name = "bench-scale")]
struct Arguments {
    /// Services in the cluster.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=65_000))]
    services: u32,
    /// Ready endpoints of each service, all in one slice.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    endpoints: u32,
    /// Changes to measure. Each replaces one endpoint of one service, as a rolling update does.
    #[arg(long, default_value_t = 1_000)]
    changes: u32,
    /// Pause between changes in milliseconds.
    #[arg(long, default_value_t = 2)]
    pause: u64,
    /// One object of JSON instead of words.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let outcome = tokio::runtime::Runtime::new()
        .context("starting the runtime")
        .and_then(|runtime| runtime.block_on(run(Arguments::parse())));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-scale: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments {
        services,
        endpoints,
        changes,
        pause,
        json,
    } = arguments;
    let say = |words: String| {
        if !json {
            println!("{words}");
        }
    };
    let place = Place::new(u64::from(services) * u64::from(endpoints))?;
    let server = ApiServer::start_in_process(&Options::default())?;
    let mut cluster = Cluster::new(services, endpoints);
    cluster::fill(&server, &cluster)?;
    say(format!("{services} services x {endpoints} endpoints"));

    let started = Instant::now();
    let mut agent = Agent::start(&place, &server)?;
    let first = agent.programmed().await?;
    say(format!(
        "  first sync: {:.1?} from the last list to the last of {} map writes, {:.1?} after the start of the process",
        first.took,
        first.writes,
        started.elapsed()
    ));
    say(format!("  memory after it: {}", agent.memory()?));

    let client = server.client()?;
    let mut samples = Vec::new();
    let mut writes = Vec::new();
    for number in 0..changes {
        ensure!(!place.stopped(), "stopped");
        tokio::time::sleep(Duration::from_millis(pause)).await;
        cluster::change(&client, &mut cluster, number).await?;
        let sample = agent.programmed().await?;
        ensure!(
            sample.services == 1,
            "one slice changed {} service ports",
            sample.services
        );
        samples.push(sample.took);
        writes.push(sample.writes);
    }
    if json {
        let said = serde_json::json!({
            "first_micros": micros(first.took),
            "change_micros": samples.into_iter().map(micros).collect::<Vec<_>>(),
            "resident_bytes": agent.resident()?,
            "map_bytes": agent.maps()?,
        });
        println!("{said}");
        return Ok(());
    }
    println!("  {changes} changes of one EndpointSlice, from its arrival to the last map write:");
    println!("    {}", Distribution::new(samples));
    println!(
        "    map writes per change: {} to {}",
        writes.iter().min().unwrap_or(&0),
        writes.iter().max().unwrap_or(&0)
    );
    println!("  memory after them: {}", agent.memory()?);
    Ok(())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
