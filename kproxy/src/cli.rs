//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::commands::check::CheckArgs;
use crate::commands::explain::ExplainArgs;
use crate::commands::services::ServicesArgs;
use crate::commands::status::StatusArgs;
use crate::config::flags::{KubeProxyFlags, LoggingFlags, OwnFlags};
use crate::paths::is_pin_dir;

/// Kubernetes Services in the kernel, with eBPF.
#[derive(Debug, Parser)]
#[command(name = "kproxy", version, propagate_version = true, about, long_about = None)]
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
    /// Say what would happen to a packet, and why: on this node, or on one that manifests describe.
    Explain(Box<ExplainArgs>),
    /// Show what kproxy has on this node: programs, maps and how full they are, outcomes.
    Status(StatusArgs),
    /// Show which services are programmed on this node, and with which endpoints.
    Services(ServicesArgs),
    /// Show what kproxy needs or likes of this node's kernel, and whether it has it.
    Check(CheckArgs),
    /// Print the version.
    Version,
}

/// `kproxy run`. What the flags mean, and which are only accepted, is in `docs/configuration.md`.
#[derive(Args, Debug, Default)]
pub struct RunArgs {
    /// A file with a `KubeProxyConfiguration`, a `KproxyConfiguration`, or both as two YAML documents. When it changes,
    /// kproxy ends, to be started again with what it says then.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Write the configuration with all of its defaults to this file and do nothing else.
    #[arg(long, value_name = "FILE")]
    pub write_config_to: Option<PathBuf>,

    /// Do what needs more privileges than running does (settings of the kernel's connection tracking) and nothing else.
    #[arg(long, conflicts_with = "cleanup")]
    pub init_only: bool,

    /// Remove everything that kproxy or kube-proxy have put into this node's kernel and do nothing else.
    #[arg(long)]
    pub cleanup: bool,

    /// Name of this machine's Node object.
    #[arg(
        long,
        value_name = "NAME",
        help = "Name of this machine's Node object [default: hostnameOverride of the file, else $NODE_NAME, else the \
                host's name]"
    )]
    pub hostname_override: Option<String>,

    /// Address of the API server, before what the kubeconfig says; needed where no proxy runs yet.
    #[arg(long, value_name = "URL")]
    pub master: Option<String>,

    /// kproxy's own settings.
    #[command(flatten)]
    pub own: OwnFlags,

    /// The log.
    #[command(flatten)]
    pub logging: LoggingFlags,

    /// kube-proxy's settings.
    #[command(flatten)]
    pub kube_proxy: KubeProxyFlags,
}

/// Where kproxy keeps things in the kernel's file systems.
#[derive(Args, Clone, Debug, Default)]
pub struct PlaceArgs {
    /// Directory in a BPF file system that holds kproxy's maps and links; one for each kproxy of a machine [default:
    /// /sys/fs/bpf/kproxy].
    #[arg(long, value_name = "DIR", value_parser = absolute)]
    pub pin_dir: Option<PathBuf>,

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    if is_pin_dir(&path) {
        return Ok(path);
    }
    Err("name a directory by its whole path, such as /sys/fs/bpf/kproxy".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(arguments: &[&str]) -> Result<RunArgs, String> {
        let all = ["kproxy", "run"].iter().chain(arguments);
        let parsed = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
        let Command::Run(run) = parsed.command else {
            return Err(format!("{arguments:?} are not for `kproxy run`"));
        };
        Ok(*run)
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_has_to_be_given() {
        let run = run(&[]).expect("defaults");
        assert_eq!(run.own.places.pin_dir, None);
        assert_eq!(run.kube_proxy.given(), Vec::<String>::new());
    }

    #[test]
    fn patterns_are_separated_by_commas() {
        let run = run(&["--pod-devices", "pod*,veth*", "--uplink-devices=eth0"]).expect("patterns");
        assert_eq!(run.own.pod_devices, ["pod*", "veth*"]);
        assert_eq!(run.own.uplink_devices, ["eth0"]);
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
            // 10.12
            (&["positional"], "positional"),
            (&["--init-only", "--cleanup"], "--cleanup"),
            (&["--iptables-sync-period", "30"], "--iptables-sync-period"),
            (&["--feature-gates", "X"], "--feature-gates"),
            (&["--vmodule", "devices"], "--vmodule"),
        ];
        for (arguments, named) in rows {
            let message = run(arguments).expect_err("refused");
            assert!(message.contains(named), "{arguments:?}: {message}");
        }
    }
}
