//! What a node passes on: streams of iperf3 from a client outside to a pod on another node, by the `NodePort` of a node
//! between them, beside the same node's plain routing. Needs root and `iperf3`.
//!
//! Client, nodes and pod share one processor of this machine: compare the figures with each other. On several, packets of
//! one stream overtake each other whenever the scheduler moves one of its ends. A segment that is sent again was lost, or else
//! its acknowledgement was late, because somebody else had the processor; then the receiver tells that it came twice.

mod scene;

use anyhow::ensure;
use clap::Parser;
use kproxy_tests::acceptance::world::FAMILIES;
use kproxy_tests::offloads::{self, Offloads};

use scene::{Scene, Sent, Stream, Way};

/// Measures streams through a node.
#[derive(Clone, Copy, Debug, Parser)]
#[command(name = "bench-uplink")]
struct Arguments {
    /// Runs of each way, one after another in turn.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each run takes.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// The processor that all of it runs on.
    #[arg(long, default_value_t = 0)]
    cpu: u32,
    /// From the pod to the client.
    #[arg(long)]
    reverse: bool,
    /// Devices compute no checksums and cut no segments: as many packets as on a cable.
    #[arg(long)]
    without_offloads: bool,
}

fn main() -> anyhow::Result<()> {
    let Arguments {
        rounds,
        seconds,
        cpu,
        reverse,
        without_offloads,
    } = Arguments::parse();
    let scene = Scene::new()?;
    let offloads = if without_offloads {
        Offloads::Off
    } else {
        Offloads::On
    };
    offloads::set(scene.cluster(), offloads)?;
    println!(
        "{rounds} runs of {seconds} s each, in turn, {} the pod, offloads {offloads:?}:\n",
        if reverse { "from" } else { "to" }
    );
    let stream = Stream {
        seconds,
        cpu,
        reverse,
    };
    println!(
        "{:<16}{:>12}{:>12}{:>12}{:>12}{:>12}",
        "", "median", "least", "most", "sent again", "needlessly"
    );
    for family in FAMILIES {
        let mut runs = Way::ALL.map(|_| Vec::new());
        for _ in 0..rounds {
            for (way, runs) in Way::ALL.into_iter().zip(&mut runs) {
                runs.push(scene.run(way, family, &stream)?);
            }
        }
        let medians = [0, 1].map(|way| print(&format!("{family} {}", Way::ALL[way].name()), &mut runs[way]));
        println!("{:<16}{:>11.1}%", "", 100.0 * medians[1] / medians[0]);
    }
    let dropped = scene.dropped()?;
    ensure!(dropped.is_empty(), "kproxy dropped packets: {dropped:?}");
    Ok(())
}

/// One line; its median in Gbit/s.
fn print(name: &str, runs: &mut [Sent]) -> f64 {
    let gigabits = |sent: &Sent| sent.run.bits_per_second / 1e9;
    runs.sort_by(|a, b| gigabits(a).total_cmp(&gigabits(b)));
    let [least, most] = [runs.first(), runs.last()].map(|sent| sent.map_or(0.0, gigabits));
    let middle = runs.len() / 2;
    let median = f64::midpoint(gigabits(&runs[(runs.len() - 1) / 2]), gigabits(&runs[middle]));
    let again: u64 = runs.iter().map(|sent| sent.run.retransmits).sum();
    let needlessly: u64 = runs.iter().map(|sent| sent.needlessly).sum();
    println!("{name:<16}{median:>12.2}{least:>12.2}{most:>12.2}{again:>12}{needlessly:>12}");
    median
}
