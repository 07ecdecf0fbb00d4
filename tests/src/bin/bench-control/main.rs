//! How long a change takes from the arrival of an EndpointSlice to the last map write.
//!
//! Index, plan and data plane as the agent has them, over real maps in a pin directory and a cgroup of the benchmark's
//! own, so it needs root. Nothing is attached to a device and no traffic flows.

mod events;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use kproxy::dataplane::Dataplane;
use kproxy::index::Index;
use kproxy::plan::{Applied, GRACE, Plan};
use kproxy::source::Event;

use kproxy_tests::bench::{Cluster, Distribution, Place};

/// Measures the time from an EndpointSlice event to the last map write.
#[derive(Clone, Copy, Debug, Parser)]
#[command(name = "bench-control")]
struct Arguments {
    /// Services in the cluster.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=65_000))]
    services: u32,
    /// Ready endpoints of each service, all in one slice.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    endpoints: u32,
    /// Changes to measure. Each replaces one endpoint of one service, as a rolling update does.
    #[arg(long, default_value_t = 5_000)]
    changes: u32,
    /// Pause between changes in microseconds; without one, caches are warmer than in real life.
    #[arg(long, default_value_t = 500)]
    pause: u64,
}

/// What the agent owns, without its sources.
struct Agent {
    index: Index,
    applied: Applied,
    dataplane: Dataplane,
}

/// Where the time of one change went.
#[derive(Clone, Copy)]
struct Sample {
    parse: Duration,
    index: Duration,
    plan: Duration,
    apply: Duration,
    writes: usize,
}

impl Sample {
    fn total(&self) -> Duration {
        let Self {
            parse,
            index,
            plan,
            apply,
            writes: _,
        } = *self;
        parse + index + plan + apply
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-control: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments {
        services,
        endpoints,
        changes,
        pause,
    } = arguments;
    let place = Place::new(u64::from(services) * u64::from(endpoints))?;
    let mut cluster = Cluster::new(services, endpoints);
    let (mut agent, first) = start(&place, &cluster)?;
    println!("{services} services x {endpoints} endpoints");
    println!(
        "  first sync: {:.1?} from the last event to the last of {} map writes",
        first.total(),
        first.writes
    );

    let mut samples = Vec::new();
    let mut released = Instant::now();
    let mut pauses = Vec::new();
    for number in 0..changes {
        if place.stopped() {
            bail!("stopped");
        }
        std::thread::sleep(Duration::from_micros(pause));
        samples.push(agent.change(cluster.change(number).to_string().as_bytes())?);
        if released.elapsed() >= GRACE {
            released = Instant::now();
            let plan = agent.applied.release(released);
            agent.dataplane.apply(&plan)?;
            pauses.push(released.elapsed());
        }
    }
    report(&samples);
    println!("  between changes, once a second, what had rested was freed:");
    println!("    {}", Distribution::new(pauses));
    check(&agent, &cluster)?;
    println!("  the maps hold what is wanted, and a restart would have nothing to do");
    Ok(())
}

fn start(place: &Place, cluster: &Cluster) -> anyhow::Result<(Agent, Sample)> {
    let (dataplane, contents) = Dataplane::open(&place.options).context("opening the data plane")?;
    let applied = Applied::adopt(place.options.sizes.capacity(), contents);
    let index = events::index(cluster)?;
    let mut agent = Agent {
        index,
        applied,
        dataplane,
    };
    let started = Instant::now();
    let wanted = agent.index.take_changes();
    let indexed = Instant::now();
    let wanted = wanted
        .into_iter()
        .filter_map(|(name, service)| Some((name, service?)))
        .collect();
    let plan = agent.applied.replace(wanted);
    let planned = Instant::now();
    let writes = agent.apply(&plan)?;
    let sample = Sample {
        parse: Duration::ZERO,
        index: indexed - started,
        plan: planned - indexed,
        apply: planned.elapsed(),
        writes,
    };
    Ok((agent, sample))
}

impl Agent {
    /// One EndpointSlice as its bytes arrive.
    fn change(&mut self, bytes: &[u8]) -> anyhow::Result<Sample> {
        let arrived = Instant::now();
        let event = Event {
            arrived,
            news: events::parse_slice(bytes)?,
        };
        let parsed = Instant::now();
        self.index.apply(event);
        let changes = self.index.take_changes();
        ensure!(
            changes.len() == 1,
            "one slice changed {} service ports",
            changes.len()
        );
        let indexed = Instant::now();
        let plan = self.applied.change(changes);
        let planned = Instant::now();
        let writes = self.apply(&plan)?;
        let written = Instant::now();
        Ok(Sample {
            parse: parsed - arrived,
            index: indexed - parsed,
            plan: planned - indexed,
            apply: written - planned,
            writes,
        })
    }

    fn apply(&mut self, plan: &Plan) -> anyhow::Result<usize> {
        if let Some(problem) = plan.problems.first() {
            bail!("{problem}");
        }
        Ok(self.dataplane.apply(plan)?.writes)
    }
}

fn report(samples: &[Sample]) {
    let of = |part: fn(&Sample) -> Duration| Distribution::new(samples.iter().map(part).collect());
    println!(
        "  {} changes of one EndpointSlice, from its bytes to the last map write:",
        samples.len()
    );
    let total = of(Sample::total);
    println!("    {total}");
    println!("  of which");
    println!("    parse   {}", of(|sample| sample.parse));
    println!("    index   {}", of(|sample| sample.index));
    println!("    plan    {}", of(|sample| sample.plan));
    println!("    apply   {}", of(|sample| sample.apply));
    let writes = samples.iter().map(|sample| sample.writes);
    let (least, most) = (writes.clone().min().unwrap_or(0), writes.max().unwrap_or(0));
    println!("  map writes per change: {least} to {most}");
    print!("{}", total.histogram());
}

/// The maps against an index that never saw a change.
fn check(agent: &Agent, cluster: &Cluster) -> anyhow::Result<()> {
    let wanted = events::index(cluster)?.take_changes();
    let wanted = wanted
        .into_iter()
        .filter_map(|(name, service)| Some((name, service?)))
        .collect();
    let contents = agent.dataplane.contents()?;
    let plan = Applied::adopt(agent.applied.capacity(), contents).replace(wanted);
    ensure!(
        plan.steps.is_empty() && plan.problems.is_empty(),
        "the maps differ from what is wanted: {plan:?}"
    );
    Ok(())
}
