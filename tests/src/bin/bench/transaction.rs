//! Transactions of rules.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use kproxy_tests::cluster::Namespace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Gives rules to a program in a namespace, and says how long it took. `None` if it was ended because it took longer than it may.
pub(crate) fn load(
    namespace: &Namespace,
    program: &str,
    arguments: &[&str],
    rules: &str,
    within: Duration,
) -> anyhow::Result<Option<Duration>> {
    let file = tempfile::NamedTempFile::new().context("cannot make a file for rules")?;
    fs::write(file.path(), rules).context("cannot write rules")?;
    let (output, took) = namespace.run(|| -> anyhow::Result<_> {
        let start = Instant::now();
        let child = Command::new(program)
            .args(arguments)
            .arg(file.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {program}"))?;
        let id = Pid::from_raw(i32::try_from(child.id())?);
        let (done, wait) = mpsc::channel::<()>();
        let guard = thread::spawn(move || {
            if wait.recv_timeout(within) == Err(mpsc::RecvTimeoutError::Timeout) {
                // Gone just now.
                let _ = kill(id, Signal::SIGKILL);
            }
        });
        let output = child
            .wait_with_output()
            .with_context(|| format!("cannot wait for {program}"))?;
        let took = start.elapsed();
        drop(done);
        // It only waits.
        let _ = guard.join();
        Ok((output, took))
    })??;
    if output.status.signal() == Some(Signal::SIGKILL as i32) && took >= within {
        return Ok(None);
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let shown: String = words.chars().take(500).collect();
    ensure!(output.status.success(), "{program} ({}): {shown}", output.status);
    Ok(Some(took))
}
