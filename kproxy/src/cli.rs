//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::paths::DEFAULT_PIN_DIR;
use crate::sizes::SizeArgs;

/// Kubernetes Services in the kernel, with eBPF.
#[derive(Debug, Parser)]
#[command(name = "kproxy", version, about, long_about = None)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve Services on this node until told to stop; what is in the kernel stays and keeps working.
    Run(Box<RunArgs>),
    /// Remove everything kproxy has put into this node's kernel, and nothing else.
    Cleanup(CleanupArgs),
    /// Print the version.
    Version,
}

/// `kproxy run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Name of this machine's Node object.
    #[arg(
        long,
        value_name = "NAME",
        help = "Name of this machine's Node object [default: $NODE_NAME, else the host's name]"
    )]
    pub hostname_override: Option<String>,

    /// Where Services come from.
    #[command(flatten)]
    pub source: SourceArgs,

    /// Where things are kept.
    #[command(flatten)]
    pub places: PlaceArgs,

    /// Names or patterns (*, ?, [a-z]) of the devices that are host ends of pods' interfaces; no other device is
    /// one then [default: found by looking at the devices].
    #[arg(long, value_name = "PATTERN,...", value_delimiter = ',')]
    pub pod_devices: Vec<String>,

    /// Names or patterns of the devices that lead to other nodes and to clients outside; no other device is one then
    /// [default: every device with an address that is no pod's].
    #[arg(long, value_name = "PATTERN,...", value_delimiter = ',')]
    pub uplink_devices: Vec<String>,

    /// How log lines look.
    #[arg(
        long,
        value_enum,
        default_value_t = LogFormat::Text,
        help = "How log lines look; $RUST_LOG chooses what is logged, info without it"
    )]
    pub log_format: LogFormat,

    /// How large the tables are.
    #[command(flatten)]
    pub sizes: SizeArgs,
}

/// Where Services and their endpoints come from: a Kubernetes API server, unless a directory is named.
#[derive(Args, Clone, Debug, Default)]
pub struct SourceArgs {
    /// Read Services and their endpoint slices from the YAML and JSON files of this directory, and follow their changes.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kubeconfig", "master"])]
    pub manifests: Option<PathBuf>,

    /// How to reach the API server [default: the service account of the pod].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Address of the API server, before what the kubeconfig says; needed where no proxy runs yet.
    #[arg(long, value_name = "URL")]
    pub master: Option<String>,
}

/// Where kproxy keeps things in the kernel's file systems.
#[derive(Args, Clone, Debug)]
pub struct PlaceArgs {
    /// Directory in a BPF file system that holds kproxy's maps and links; one for each kproxy of a machine.
    #[arg(long, value_name = "DIR", default_value = DEFAULT_PIN_DIR, value_parser = absolute)]
    pub pin_dir: PathBuf,

    /// The cgroup (v2) whose processes reach Services by their sockets [default: the root of cgroup v2].
    #[arg(long, value_name = "DIR")]
    pub cgroup: Option<PathBuf>,
}

/// `kproxy cleanup`.
#[derive(Args, Debug)]
pub struct CleanupArgs {
    /// The same as of `kproxy run`.
    #[command(flatten)]
    pub places: PlaceArgs,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if path.is_absolute() && path.parent().is_some() {
        return Ok(path);
    }
    Err("name a directory by its whole path, such as /sys/fs/bpf/kproxy".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(arguments: &[&str]) -> Result<RunArgs, String> {
        let arguments = ["kproxy", "run"].iter().chain(arguments);
        match Cli::try_parse_from(arguments)
            .map_err(|error| error.to_string())?
            .command
        {
            Command::Run(run) => Ok(*run),
            other @ (Command::Cleanup(_) | Command::Version) => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_has_to_be_given() {
        let run = run(&[]).expect("defaults");
        assert_eq!(run.places.pin_dir, PathBuf::from("/sys/fs/bpf/kproxy"));
        assert!(run.pod_devices.is_empty());
    }

    #[test]
    fn patterns_are_separated_by_commas() {
        let run = run(&["--pod-devices", "pod*,veth*", "--uplink-devices=eth0"]).expect("patterns");
        assert_eq!(run.pod_devices, ["pod*", "veth*"]);
        assert_eq!(run.uplink_devices, ["eth0"]);
    }

    #[test]
    fn wrong_arguments_are_named() {
        let rows: &[(&[&str], &str)] = &[
            (&["--manifests", "/m", "--kubeconfig", "/k"], "--kubeconfig"),
            (&["--manifests", "/m", "--master", "http://x"], "--master"),
            (&["--flows", "5"], "--flows"),
            (&["--slots", "many"], "--slots"),
            (&["--pin-dir", "kproxy"], "--pin-dir"),
            (&["--pin-dir", "/"], "--pin-dir"),
            (&["--log-format", "xml"], "--log-format"),
        ];
        for (arguments, named) in rows {
            let message = run(arguments).expect_err("refused");
            assert!(message.contains(named), "{arguments:?}: {message}");
        }
    }
}
