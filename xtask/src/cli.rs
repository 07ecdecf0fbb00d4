//! The command line.

use clap::{Parser, Subcommand, ValueEnum};

/// Everything one does with this repository, each thing by one command.
///
/// Every command first looks whether the machine has what it needs, and sets it up when it does not.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Install what building, testing and the demo need and this machine lacks (as root, on Debian and Ubuntu).
    Setup,
    /// Build the kernel object and the agent that embeds it.
    Build {
        /// Build the agent with optimisations; the kernel object always is.
        #[arg(long)]
        release: bool,
    },
    /// Check format, lints and documentation, run every test, and look for leftovers (needs root).
    Test {
        /// Run only the tests whose name contains this, without format, lints and documentation; `kernels`: on Debian's
        /// kernels 6.1 and 6.12, in virtual machines.
        filter: Option<String>,

        /// Of `kernels`, only what a run of everything has time for.
        #[arg(long, hide = true)]
        quick: bool,
    },
    /// Show kproxy at work on a two-node cluster of network namespaces (needs root).
    Demo {
        /// Given to the demo as they are; `--keep` leaves the cluster running, `--help` lists the rest.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build a container image that holds the agent as one static program, and nothing else.
    Image {
        /// What the image is called.
        #[arg(long, value_name = "NAME:TAG", default_value = "kproxy:latest")]
        tag: String,
        /// Build the program alone, and print where it is.
        #[arg(long)]
        binary_only: bool,
        /// Build without optimisations, which is quicker.
        #[arg(long)]
        dev: bool,
    },
    /// Look for packets that the data plane treats as its model forbids.
    Fuzz {
        /// For so many seconds.
        #[arg(default_value_t = 60)]
        seconds: u32,
    },
    /// Measure, with optimised builds (needs root).
    Bench {
        /// What to measure.
        what: Benchmark,
        /// Given to the benchmark as they are.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Benchmark {
    /// The cost of a packet in the kernel.
    Datapath,
    /// The time from a change in the cluster to the maps.
    Control,
    /// The whole agent against an API server with many services: start, memory, changes.
    Scale,
    /// Streams of iperf3 to a NodePort with a backend elsewhere, beside plain routing.
    Uplink,
    /// How soon the data plane follows a node's devices, addresses and routes.
    Changes,
}
