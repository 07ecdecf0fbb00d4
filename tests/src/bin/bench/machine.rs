//! What everything ran on.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use kproxy_tests::cluster::process::binary;
use serde::Serialize;

/// Programs that contenders and measurements need, with the packages that have them.
const TOOLS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("iptables-restore", "iptables"),
    ("nft", "nftables"),
    ("ethtool", "ethtool"),
    ("chrt", "util-linux"),
    ("iperf3", "iperf3"),
];

/// A machine and what is installed on it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    kernel: String,
    processor: String,
    cores: usize,
    memory: String,
    /// At the start, so that nobody takes a busy machine's figures for a quiet one's.
    load: String,
    versions: BTreeMap<&'static str, String>,
}

impl Machine {
    /// This one.
    pub(crate) fn look() -> anyhow::Result<Self> {
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
        let field = |text: &str, name: &str| -> String {
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            let mut values = lines
                .filter(|(it, _)| it.trim() == name)
                .map(|(_, value)| value.trim().to_owned());
            values.next().unwrap_or_else(|| "unknown".to_owned())
        };
        let kproxy = binary("kproxy", "KPROXY_BINARY", "kproxy")?;
        let kproxy = kproxy.to_str().context("a path is not UTF-8")?;
        Ok(Self {
            kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            processor: field(&read("/proc/cpuinfo")?, "model name"),
            cores: std::thread::available_parallelism()?.get(),
            memory: field(&read("/proc/meminfo")?, "MemTotal"),
            load: read("/proc/loadavg")?.trim().to_owned(),
            versions: BTreeMap::from([
                ("kproxy", version(kproxy)),
                ("iptables", version("iptables")),
                ("nft", version("nft")),
                ("iperf3", version("iperf3")),
                ("ip", version_by("ip", "-V")),
            ]),
        })
    }

    /// As few words as a person wants.
    pub(crate) fn words(&self) -> String {
        let Self {
            kernel,
            processor,
            cores,
            memory,
            load,
            versions: _,
        } = self;
        format!("Linux {kernel}, {cores} x {processor}, {memory}, load at the start {load}")
    }

    pub(crate) fn versions(&self) -> String {
        self.versions.values().cloned().collect::<Vec<_>>().join(", ")
    }
}

/// Says at once what would be missing later.
pub(crate) fn check() -> anyhow::Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "this makes network namespaces and loads BPF programs: run it as root"
    );
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let missing: Vec<_> = TOOLS.iter().filter(|(program, _)| !is_there(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    bail!(
        "this machine has no {}; install: apt-get install {}",
        programs.join(", "),
        packages.join(" ")
    )
}

fn version(program: &str) -> String {
    version_by(program, "--version")
}

fn version_by(program: &str, flag: &str) -> String {
    let output = Command::new(program).arg(flag).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}
