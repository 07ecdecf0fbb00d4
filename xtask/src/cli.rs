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
    /// Measure, with optimised builds (needs root): everything beside iptables and nftables, with a report in target/bench, or
    /// one thing by name.
    #[command(
        override_usage = "cargo xtask bench [--quick] [OPTIONS]\n       cargo xtask bench <datapath|control|scale|uplink|changes> [OPTIONS]",
        after_help = "`cargo xtask bench -- --help` lists the options of the whole, `cargo xtask bench uplink --help` those of one."
    )]
    Bench {
        /// `datapath`: the cost of a packet in the kernel. `control`: from a change in the cluster to the maps. `scale`: the
        /// agent against an API server with many services. `uplink`: iperf3 to a NodePort, beside plain routing. `changes`: how
        /// soon the node's devices, addresses and routes count. Anything else is given to the benchmark as it is.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Benchmark {
    /// All that there are promises about, beside kube-proxy's rules.
    #[value(skip)]
    Everything,
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

impl Benchmark {
    /// What the first word names, and what is left for it.
    pub(crate) fn named(arguments: &[String]) -> (Self, &[String]) {
        let named = arguments.split_first().and_then(|(first, rest)| {
            let what = Self::from_str(first, false).ok()?;
            Some((what, rest))
        });
        named.unwrap_or((Self::Everything, arguments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_names_a_benchmark_or_all_is_for_the_whole() {
        let named = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
            let Command::Bench { arguments } =
                Cli::parse_from(["xtask", "bench"].map(str::to_owned).into_iter().chain(words)).command
            else {
                panic!("another command");
            };
            let (what, rest) = Benchmark::named(&arguments);
            (what, rest.join(" "))
        };
        assert_eq!(named(&[]), (Benchmark::Everything, String::new()));
        assert_eq!(named(&["--quick"]), (Benchmark::Everything, "--quick".to_owned()));
        assert_eq!(
            named(&["uplink", "--rounds", "2"]),
            (Benchmark::Uplink, "--rounds 2".to_owned())
        );
    }
}
