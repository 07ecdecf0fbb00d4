//! Says what would happen to a packet, and why.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, stdin, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use kproxy_common::Address;
use kproxy_ebpf::Tables;

use super::look::{Output, PinDirArgs};
use crate::cli::RunArgs;
use crate::config::{self, Config, LocalDetector};
use crate::dataplane::Pinned;
use crate::explain::{Explainer, Paper, Question, Sender, Target, Via, answer_cases, live};
use crate::model::parse_address;

/// `kproxy explain`. Asks the maps of this node, unless `--manifests` describes another one.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// Who sends the packet: an address, or address and port, as `10.0.0.1`, `10.0.0.1:4711` or `[fd00::1]:4711`. With a port, a
    /// connection that is open already counts.
    #[arg(long, value_name = "ADDR[:PORT]", required_unless_present = "cases")]
    pub from: Option<Sender>,

    /// Where it goes, as `10.96.0.1:80/TCP` or `[fd00::1]:53/UDP`.
    #[arg(long, value_name = "ADDR:PORT/PROTO", required_unless_present = "cases")]
    pub to: Option<Target>,

    /// By which door [default: socket for an address of this node, pod for one of its pods, else uplink].
    #[arg(long, value_enum)]
    pub via: Option<Via>,

    /// The device that it comes in by, where a bridge or the names of devices tell which traffic is local.
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,

    /// Answer many questions: a file with one JSON object a line with the fields `from`, `to`, `via` and `device`, or - for
    /// standard input. One JSON object a line is answered.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "via", "device"])]
    pub cases: Option<PathBuf>,

    /// How the answer looks.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Ask what a node would do with the YAML and JSON files of this directory: Services, EndpointSlices, ServiceCIDRs and
    /// Nodes. Needs no privileges.
    #[arg(long, value_name = "DIR", requires = "node", conflicts_with = "pin_dir")]
    pub manifests: Option<PathBuf>,

    /// Name of that node.
    #[arg(long, value_name = "NAME", requires = "manifests")]
    pub node: Option<String>,

    /// Addresses of that node's devices, besides those of its Node object. Without a Node object the first one of each family
    /// is what Kubernetes takes for the node's address.
    #[arg(long = "node-address", value_name = "ADDR", num_args = 1.., value_delimiter = ',', requires = "manifests",
        value_parser = address)]
    pub node_addresses: Vec<Address>,

    /// A configuration file as for `kproxy run`: on which addresses NodePorts answer, and who is local. A node that runs
    /// already has the rest in its maps.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Which kproxy of this node.
    #[command(flatten)]
    pub pins: PinDirArgs,
}

/// Answers on standard output. What is wrong with manifests goes to standard error.
///
/// # Errors
///
/// When the maps or manifests can not be read, or a case can not be answered.
pub fn explain(arguments: &ExplainArgs) -> Result<()> {
    if let Some(manifests) = &arguments.manifests {
        let name = arguments.node.clone().unwrap_or_default();
        let paper = Paper {
            manifests: manifests.clone(),
            node_addresses: arguments.node_addresses.clone(),
            config: load(arguments.config.as_deref(), Some(name))?,
        };
        let worked = paper.work_out()?;
        for problem in &worked.problems {
            eprintln!("kproxy: {problem}");
        }
        return answer(arguments, &worked.explainer());
    }
    let detector = match &arguments.config {
        Some(file) => load(Some(file), None)?.detector,
        None => LocalDetector::None,
    };
    let pinned = Pinned::open(&arguments.pins.pin_dir)?;
    answer(arguments, &live(&pinned, detector)?)
}

fn answer<T: Tables>(arguments: &ExplainArgs, explainer: &Explainer<T>) -> Result<()> {
    let output = BufWriter::new(stdout().lock());
    let explain = |question: &Question| explainer.explain(question);
    match (&arguments.cases, arguments.from, arguments.to) {
        (Some(file), ..) if file == Path::new("-") => answer_cases(stdin().lock(), output, explain),
        (Some(file), ..) => {
            let cases = File::open(file).with_context(|| format!("open the cases {}", file.display()))?;
            answer_cases(BufReader::new(cases), output, explain)
        }
        (None, Some(from), Some(to)) => {
            let question = Question::new(from, to, arguments.via)?.by_device(arguments.device.clone())?;
            let answer = explain(&question)?;
            match arguments.output {
                Output::Text => println!("{answer}"),
                Output::Json => {
                    let text = serde_json::to_string(&answer).map_err(io::Error::from);
                    println!("{}", text.context("write the answer")?);
                }
            }
            Ok(())
        }
        (None, ..) => bail!("name a packet by --from and --to, or many by --cases"),
    }
}

fn load(file: Option<&Path>, node: Option<String>) -> Result<Config> {
    let arguments = RunArgs {
        config: file.map(Path::to_owned),
        hostname_override: node,
        ..RunArgs::default()
    };
    Ok(config::load(&arguments)?.config)
}

fn address(text: &str) -> Result<Address, String> {
    parse_address(text).ok_or_else(|| "expected an IPv4 or IPv6 address without a port or prefix".into())
}
