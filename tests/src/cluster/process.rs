//! A process inside a cluster, with everything it prints.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{cgroup::Cgroup, namespace::Namespace, spawn};

/// A running process; dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

impl Process {
    /// Starts a program inside.
    pub(super) fn start(
        program: &Path,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        environment: &[(&str, &str)],
        namespace: &Namespace,
        cgroup: &Cgroup,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).envs(environment.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = spawn::spawn(command, namespace, cgroup)?;
        let stdout = Output::read(child.stdout.take());
        let stderr = Output::read(child.stderr.take());
        Ok(Self {
            child,
            stdout,
            stderr,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it printed to its standard output.
    #[must_use]
    pub fn stdout(&self) -> &Output {
        &self.stdout
    }

    /// What it printed to its standard error.
    #[must_use]
    pub fn stderr(&self) -> &Output {
        &self.stderr
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id()).context("process ids fit an i32")?;
        kill(Pid::from_raw(id), signal).with_context(|| format!("cannot send {signal} to process {id}"))
    }

    /// Waits for its end, and for the end of its output.
    ///
    /// # Errors
    /// When it still runs after `bound`.
    pub fn wait(&mut self, bound: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + bound;
        loop {
            if let Some(status) = self.child.try_wait().context("cannot wait for a child")? {
                self.stdout.wait_for_end(deadline);
                self.stderr.wait_for_end(deadline);
                return Ok(status);
            }
            ensure!(
                Instant::now() < deadline,
                "process {} still runs after {bound:?}",
                self.id()
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors mean that it is gone already.
        self.child.kill().unwrap_or_default();
        self.child.wait().ok();
    }
}

/// Lines of a process, as they come.
#[derive(Clone, Debug, Default)]
pub struct Output {
    shared: Arc<(Mutex<Lines>, Condvar)>,
}

/// A line and when it came.
#[derive(Clone, Debug)]
pub struct Line {
    /// When this process read it: within a scheduling delay of when it was printed.
    pub came: Instant,
    /// Without its end.
    pub text: String,
}

#[derive(Debug, Default)]
struct Lines {
    lines: Vec<Line>,
    ended: bool,
}

impl Output {
    fn read(pipe: Option<impl Read + Send + 'static>) -> Self {
        let output = Self::default();
        let Some(pipe) = pipe else { return output };
        let writer = output.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                let line = Line {
                    came: Instant::now(),
                    text: String::from_utf8_lossy(&line).into_owned(),
                };
                writer.change(|lines| lines.lines.push(line));
            }
            writer.change(|lines| lines.ended = true);
        });
        output
    }

    /// Everything so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.timed_lines().into_iter().map(|line| line.text).collect()
    }

    /// Everything so far, with times.
    #[must_use]
    pub fn timed_lines(&self) -> Vec<Line> {
        self.lock().lines.clone()
    }

    /// Everything so far in one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// The first line, old or new, that `pick` makes something of; nothing when none comes within `bound` or the
    /// output ends.
    pub fn wait_for<T>(&self, bound: Duration, mut pick: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + bound;
        let mut seen = 0;
        let mut lines = self.lock();
        loop {
            if let Some(found) = lines.lines[seen..].iter().find_map(|line| pick(&line.text)) {
                return Some(found);
            }
            seen = lines.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if lines.ended || left.is_zero() {
                return None;
            }
            lines = self
                .shared
                .1
                .wait_timeout(lines, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn wait_for_end(&self, deadline: Instant) {
        self.wait_for(deadline.saturating_duration_since(Instant::now()), |_| None::<()>);
    }

    fn change(&self, change: impl FnOnce(&mut Lines)) {
        change(&mut self.lock());
        self.shared.1.notify_all();
    }

    // Shared with the thread that reads the pipe; held for a push or a copy.
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A binary of this workspace: `$<VARIABLE>` when set, else beside the running program (tests run in `deps` below).
pub fn binary(name: &str, variable: &str, package: &str) -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let running = std::env::current_exe().context("cannot find the running program")?;
    let found = running
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join(name))
        .find(|path| path.is_file());
    found.with_context(|| {
        format!(
            "no binary `{name}` beside {}; build it: cargo build -p {package} --bin {name}",
            running.display()
        )
    })
}
