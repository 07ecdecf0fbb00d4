//! What is measured how often, by how much time there is.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// What somebody asks for.
#[derive(Clone, Debug, Args)]
pub(crate) struct Asked {
    /// Fewer sizes and rounds, in under three minutes.
    #[arg(long)]
    quick: bool,
    /// The least that touches everything, for tests: its figures mean nothing.
    #[arg(long, hide = true, conflicts_with = "quick")]
    smoke: bool,
    /// A kube-proxy to measure beside the rules of its shape.
    #[arg(long, value_name = "PATH")]
    pub(crate) kube_proxy: Option<PathBuf>,
    /// Where report.html and results.json are written.
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    pub(crate) output: PathBuf,
    /// Only what is named, several times if wanted.
    #[arg(long, value_enum, value_name = "PART")]
    pub(crate) only: Vec<Part>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Connections and requests through a ClusterIP.
    Connections,
    /// Small packets to a NodePort.
    Packets,
    /// iperf3 to a NodePort.
    Streams,
    /// The cost of a packet, program by program.
    Datapath,
    /// Changes, start and memory.
    Control,
}

/// How much of everything.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: &'static str,
    /// Numbers of services.
    pub(crate) sizes: Vec<u32>,
    /// Repetitions of everything that takes turns.
    pub(crate) rounds: u32,
    /// How long one contender is measured in a round.
    pub(crate) turn: Duration,
    /// Rounds of iperf3, and seconds of each stream.
    pub(crate) streams: (u32, u32),
    /// Services and endpoints of each for the control plane.
    pub(crate) scale: (u32, u32),
    /// Changes of an `EndpointSlice`, and how many of them by rules.
    pub(crate) changes: (u32, u32),
    /// Times that everything is programmed from nothing.
    pub(crate) starts: u32,
    /// Rounds and packets of test runs.
    pub(crate) packets: (u32, u32),
    /// Numbers of services for them.
    pub(crate) packets_sizes: Vec<u32>,
    /// Services and endpoints of each for transactions of rules: `nft` needs minutes for many.
    pub(crate) rules: (u32, u32),
}

impl Plan {
    /// Where streams are measured: what a stream carries does not depend on how many services there are.
    pub(crate) fn streams_size(&self) -> Option<&u32> {
        self.sizes.iter().filter(|size| **size <= 10_000).max()
    }
}

impl Asked {
    pub(crate) fn plan(&self) -> Plan {
        if self.smoke {
            Plan {
                name: "smoke",
                sizes: vec![2],
                rounds: 1,
                turn: Duration::from_millis(20),
                streams: (1, 1),
                scale: (20, 3),
                changes: (5, 2),
                starts: 1,
                packets: (1, 100),
                packets_sizes: vec![10],
                rules: (20, 3),
            }
        } else if self.quick {
            Plan {
                name: "quick",
                sizes: vec![1, 10_000],
                rounds: 6,
                turn: Duration::from_millis(200),
                streams: (4, 1),
                scale: (10_000, 10),
                changes: (500, 5),
                starts: 1,
                packets: (6, 50_000),
                packets_sizes: vec![10, 30_000],
                rules: (1000, 10),
            }
        } else {
            Plan {
                name: "full",
                sizes: vec![1, 1000, 10_000, 30_000],
                rounds: 11,
                turn: Duration::from_millis(400),
                streams: (7, 3),
                scale: (10_000, 10),
                changes: (3000, 25),
                starts: 3,
                packets: (15, 200_000),
                packets_sizes: vec![10, 30_000],
                rules: (10_000, 10),
            }
        }
    }

    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}
