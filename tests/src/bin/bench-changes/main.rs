//! How soon the data plane follows what happens to a node's devices, addresses and routes, while requests go through
//! it: from the moment at which `ip` has returned to the first request that goes as it should. Needs root.

mod probe;
mod scene;

use std::time::Duration;

use clap::Parser;
use kproxy_tests::acceptance::world::FAMILIES;
use kproxy_tests::bench::Distribution;

use scene::{Change, Scene};

/// Measures how soon changes of a node's network count.
#[derive(Clone, Copy, Debug, Parser)]
#[command(name = "bench-changes")]
struct Arguments {
    /// How often everything is changed.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
}

fn main() -> anyhow::Result<()> {
    let Arguments { rounds } = Arguments::parse();
    let scene = Scene::new()?;
    let load = scene.load()?;
    let mut times = Change::ALL.map(|_| FAMILIES.map(|_| Vec::<Duration>::new()));
    for _ in 0..rounds {
        for (change, times) in Change::ALL.into_iter().zip(&mut times) {
            for (times, time) in times.iter_mut().zip(scene.measure(change)?) {
                times.push(time);
            }
        }
    }
    let (totals, failures) = load.stop()?;
    println!(
        "{rounds} rounds, beside {} requests, of which {} failed:\n",
        totals.requests,
        failures.len()
    );
    for (change, times) in Change::ALL.into_iter().zip(times) {
        for (family, times) in FAMILIES.into_iter().zip(times) {
            println!("{:<22} {family}  {}", change.name(), Distribution::new(times));
        }
    }
    Ok(())
}
