//! The agent under measurement, and what its log says.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use kproxy::dataplane::Sizes;
use kproxy_tests::apiserver::ApiServer;
use kproxy_tests::bench::Place;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

const GONE_WITHIN_MILLISECONDS: u32 = 10_000;
/// How long any step may take.
const BOUND: Duration = Duration::from_mins(2);

/// A running `kproxy run`; dropping it kills it, and waits: as long as it is there, its pins are its own.
pub(crate) struct Agent {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
    _folder: TempDir,
}

impl Drop for Agent {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _ = self.process.start_kill();
        for _ in 0..GONE_WITHIN_MILLISECONDS {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One message "programmed".
pub(crate) struct Programmed {
    pub(crate) services: u64,
    pub(crate) writes: u64,
    pub(crate) took: Duration,
}

impl Agent {
    pub(crate) fn start(place: &Place, server: &ApiServer) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a folder")?;
        let kubeconfig = folder.path().join("kubeconfig");
        server.write_kubeconfig(&kubeconfig)?;
        let program = std::env::current_exe()
            .context("finding the running program")?
            .with_file_name("kproxy");
        let Sizes { slots, backends, .. } = place.options.sizes;
        let mut process = Command::new(&program)
            .arg("run")
            .args(["--log-format", "json", "--hostname-override", "bench"])
            .args([
                "--pod-devices",
                "no-such-device",
                "--uplink-devices",
                "no-other-device",
            ])
            .args(["--backends", &backends.to_string(), "--slots", &slots.to_string()])
            .args(["--frontends", "131072"])
            // The machine is left as it is.
            .args([
                "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0",
            ])
            .args(["--conntrack-tcp-timeout-close-wait=0", "--oom-score-adj=0"])
            .arg("--kubeconfig")
            .arg(&kubeconfig)
            .arg("--pin-dir")
            .arg(&place.options.pin_dir)
            .arg("--cgroup")
            .arg(&place.options.cgroup)
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let log = process.stderr.take().context("the agent has no standard error")?;
        Ok(Self {
            process,
            log: BufReader::new(log).lines(),
            _folder: folder,
        })
    }

    /// The next message of a change that was programmed.
    pub(crate) async fn programmed(&mut self) -> anyhow::Result<Programmed> {
        tokio::time::timeout(BOUND, self.next_programmed())
            .await
            .context("the agent did not program anything in time")?
    }

    async fn next_programmed(&mut self) -> anyhow::Result<Programmed> {
        while let Some(line) = self.log.next_line().await.context("reading the agent's log")? {
            let Ok(entry) = serde_json::from_str::<Value>(&line) else {
                bail!("the agent says: {line}");
            };
            let fields = entry.get("fields").unwrap_or(&entry);
            if entry["level"] == "ERROR" {
                bail!("the agent says: {line}");
            }
            let number = |name: &str| fields.get(name).and_then(Value::as_u64);
            if fields["message"] == "programmed"
                && let (Some(services), Some(writes), Some(micros)) =
                    (number("services"), number("writes"), number("micros"))
                && services > 0
            {
                return Ok(Programmed {
                    services,
                    writes,
                    took: Duration::from_micros(micros),
                });
            }
        }
        bail!("the agent ended: {:?}", self.process.wait().await)
    }

    /// What the kernel says of its memory.
    pub(crate) fn memory(&self) -> anyhow::Result<String> {
        let id = self.process.id().context("the agent has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).context("reading its status")?;
        let wanted = ["VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem"];
        let lines = status.lines().filter(|line| {
            line.split_once(':')
                .is_some_and(|(name, _)| wanted.contains(&name))
        });
        let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        Ok(lines.collect::<Vec<_>>().join(", "))
    }

    /// Bytes that are resident.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let memory = self.memory()?;
        let words = memory.split(", ").find_map(|line| line.strip_prefix("VmRSS: "));
        let kilobytes = words.and_then(|words| words.strip_suffix(" kB"));
        let kilobytes: u64 = kilobytes
            .context("the kernel does not say what is resident")?
            .parse()?;
        Ok(kilobytes * 1024)
    }

    /// Bytes of the maps that it holds, as the kernel counts them (`bpf_map_show_fdinfo`).
    pub(crate) fn maps(&self) -> anyhow::Result<u64> {
        let id = self.process.id().context("the agent has ended")?;
        let mut maps = BTreeMap::new();
        for entry in std::fs::read_dir(format!("/proc/{id}/fdinfo")).context("listing its descriptors")? {
            // A descriptor may be closed meanwhile.
            let text = std::fs::read_to_string(entry?.path()).unwrap_or_default();
            let field = |name: &str| {
                let mut lines = text.lines().filter_map(|line| line.split_once(':'));
                lines.find(|(it, _)| *it == name)?.1.trim().parse::<u64>().ok()
            };
            if let (Some(map), Some(bytes)) = (field("map_id"), field("memlock")) {
                maps.insert(map, bytes);
            }
        }
        Ok(maps.into_values().sum())
    }
}
