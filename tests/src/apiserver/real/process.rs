//! A child process that ends with its owner: asked to by SIGTERM, made to by SIGKILL.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Then it is killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running program with its output in a file.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    program: PathBuf,
    log: PathBuf,
}

impl Process {
    pub(super) fn spawn(
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let errors = output
            .try_clone()
            .with_context(|| format!("open {} twice", log.display()))?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Self {
            child,
            program: program.to_owned(),
            log: log.to_owned(),
        })
    }

    /// Fails when the process has ended.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        let program = self.program.display();
        match self
            .child
            .try_wait()
            .with_context(|| format!("look after {program}"))?
        {
            None => Ok(()),
            Some(status) => bail!("{program} ended with {status}: {}", self.last_words()),
        }
    }

    /// The end of what the process has said.
    pub(super) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let asked =
            i32::try_from(self.child.id()).is_ok_and(|id| kill(Pid::from_raw(id), Signal::SIGTERM).is_ok());
        let deadline = Instant::now() + PATIENCE;
        while asked && Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Process;

    #[test]
    fn a_process_ends_with_its_owner() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let process = Process::spawn(Path::new("/bin/sleep"), ["600"], &folder.path().join("log"))
            .expect("sleep starts");
        let entry = format!("/proc/{}", process.child.id());
        assert!(Path::new(&entry).exists());

        drop(process);

        assert!(!Path::new(&entry).exists());
    }

    #[test]
    fn an_end_is_reported_with_the_last_words() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let arguments = ["-c", "echo no etcd here; exit 3"];
        let mut process =
            Process::spawn(Path::new("/bin/sh"), arguments, &folder.path().join("log")).expect("sh starts");
        process.child.wait().expect("sh ends");

        let error = process.check().expect_err("it has ended").to_string();

        assert!(
            error.contains("exit status: 3") && error.contains("no etcd here"),
            "{error}"
        );
    }
}
