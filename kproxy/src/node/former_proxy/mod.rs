//! Removal of the rules that a former kube-proxy has left in this network namespace (semantics 10.13, 10.16).
//!
//! With the node's own tools, since they know which of iptables' two back ends has the rules; where there are none,
//! nothing is removed. What belongs to kubelet or to anybody else stays: see `rules`. Sysctls and conntrack entries stay
//! as well, and so do virtual servers of mode ipvs, which only `kube-proxy --cleanup` knows.

mod rules;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::causes::one_line;

/// Where programs are that a service's search path may lack.
const SBIN: &str = "/usr/sbin:/sbin";

/// What was found and done.
#[derive(Debug, Default)]
pub struct Report {
    /// Whether any tool was there to look with.
    pub looked: bool,
    /// What was removed, in words.
    pub removed: Vec<String>,
    /// What could not be looked at or removed.
    pub failed: Vec<String>,
}

/// Removes what is there.
#[must_use]
pub fn remove() -> Report {
    let mut report = Report::default();
    for tool in ["iptables", "ip6tables"].into_iter().flat_map(variants) {
        report.take(&tool, remove_chains(&tool));
    }
    if program("nft").is_some() {
        for family in ["ip", "ip6"] {
            report.take("nft", remove_table(family));
        }
    }
    report
}

impl Report {
    fn take(&mut self, tool: &str, outcome: Result<Option<String>>) {
        self.looked = true;
        match outcome {
            Ok(removed) => self.removed.extend(removed),
            Err(error) => self.failed.push(format!("{tool}: {}", one_line(error.as_ref()))),
        }
    }
}

/// Both back ends can have rules. To ask the legacy one would load its kernel modules, unless they are there.
fn variants(tool: &'static str) -> Vec<String> {
    let there = |name: &String| program(&format!("{name}-save")).is_some();
    let tables = format!("/proc/net/{}_names", tool.replace("tables", "_tables"));
    let has_legacy = fs::read_to_string(tables).is_ok_and(|names| !names.is_empty());
    let [nft, legacy] = ["nft", "legacy"].map(|variant| format!("{tool}-{variant}"));
    if !there(&nft) && !there(&legacy) {
        return Vec::from([tool.to_owned()]).into_iter().filter(there).collect();
    }
    let asked = [(nft, true), (legacy, has_legacy)];
    let asked = asked.into_iter().filter(|(name, wanted)| *wanted && there(name));
    asked.map(|(name, _)| name).collect()
}

fn remove_chains(tool: &str) -> Result<Option<String>> {
    let saved = run(&format!("{tool}-save"), &[], "")?;
    let Some(removal) = rules::removal(&saved) else {
        return Ok(None);
    };
    run(
        &format!("{tool}-restore"),
        &["--wait=5", "--noflush"],
        &removal.input,
    )?;
    Ok(Some(format!("{} chains of kube-proxy ({tool})", removal.chains)))
}

fn remove_table(family: &str) -> Result<Option<String>> {
    let table = format!("table {family} kube-proxy");
    if !run("nft", &["list", "tables"], "")?
        .lines()
        .any(|line| line == table)
    {
        return Ok(None);
    }
    run("nft", &["delete", "table", family, "kube-proxy"], "")?;
    Ok(Some(format!("{table} (nft)")))
}

fn run(name: &str, arguments: &[&str], input: &str) -> Result<String> {
    let program = program(name).with_context(|| format!("there is no {name}"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends early says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child
        .wait_with_output()
        .with_context(|| format!("wait for {name}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} fails: {}", said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(SBIN.split(':'))
        .map(|directory| PathBuf::from(directory).join(name))
        .find(|program| program.is_file())
}
