//! A machine boots, runs its steps and goes, or is ended when it takes too long.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::test::{Totals, parse_totals};

/// Starts the lines that init writes for us.
const MARK: &str = "kproxy-guest ";

/// Ends the machine with its owner.
struct Machine(Child);

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A machine at work. What its console says is kept until somebody asks.
pub(super) struct Running {
    _machine: Machine,
    printed: Receiver<String>,
    bound: Duration,
    deadline: Instant,
}

impl Running {
    /// Boots a kernel with these files.
    pub(super) fn start(kernel: &Path, files: &Path, bound: Duration) -> Result<Self> {
        let mut machine = Machine(start(kernel, files)?);
        let console = machine.0.stdout.take().context("a machine without a console")?;
        let (sender, printed) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            _machine: machine,
            printed,
            bound,
            deadline: Instant::now() + bound,
        })
    }

    /// Passes on what its console says until it ends, and counts.
    pub(super) fn finish(self, steps: usize) -> Totals {
        let mut count = Count::default();
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            match self.printed.recv_timeout(left) {
                Ok(line) => {
                    let line = without_firmware(&line);
                    println!("{line}");
                    count.take_in(line);
                }
                Err(RecvTimeoutError::Disconnected) => return count.totals(steps),
                Err(RecvTimeoutError::Timeout) => {
                    println!(
                        "    the machine has not ended after {} s and is ended now",
                        self.bound.as_secs()
                    );
                    return count.totals(steps);
                }
            }
        }
    }
}

fn start(kernel: &Path, files: &Path) -> Result<Child> {
    let mut qemu = Command::new("qemu-system-x86_64");
    // Emulation works everywhere, also in a virtual machine; KVM may be there and fail in the middle.
    qemu.args(["-accel", "tcg,thread=multi"])
        // The emulation of cmpxchg16b (QEMU 7.2) spoils flags now and then, and the kernel does without it.
        .args(["-cpu", "max,cx16=off", "-smp", "2", "-m", "3072"])
        .args([
            "-nodefaults",
            "-display",
            "none",
            "-serial",
            "stdio",
            "-no-reboot",
        ])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(files)
        // A panic ends the machine.
        .args(["-append", "console=ttyS0 quiet panic=-1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());

    qemu.spawn().context("starting qemu-system-x86_64")
}

/// The firmware clears the screen before it says something, and before the kernel does.
fn without_firmware(line: &str) -> &str {
    match line.find(MARK) {
        Some(start) => &line[start..],
        None if line.contains('\u{1b}') => "",
        None => line,
    }
}

/// What the console has told so far.
#[derive(Debug, Default)]
struct Count {
    tests: Totals,
    /// Steps that ended well.
    passed: usize,
    /// Steps and modules that did not.
    failed: u32,
}

impl Count {
    fn take_in(&mut self, line: &str) {
        if let Some(totals) = parse_totals(line) {
            self.tests.passed += totals.passed;
            self.tests.failed += totals.failed;
        }
        let told = line.strip_prefix(MARK);
        match told.and_then(|told| told.split(' ').next()) {
            Some("passed") => self.passed += 1,
            Some("failed") => self.failed += 1,
            Some(_) | None => {}
        }
    }

    /// Every step has to end well, and a step that fails counts although none of its tests did.
    fn totals(self, steps: usize) -> Totals {
        let Self {
            tests,
            passed,
            failed,
        } = self;
        let missing = u32::from(passed < steps);
        Totals {
            passed: tests.passed,
            failed: tests.failed.max(failed).max(missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, Totals, without_firmware};

    fn counted(lines: &[&str], steps: usize) -> Totals {
        let mut count = Count::default();
        for line in lines {
            count.take_in(without_firmware(line));
        }
        count.totals(steps)
    }

    #[test]
    fn tests_count_when_every_step_ended_well() {
        let lines = [
            "\u{1b}[2Jkproxy-guest booted 6.1.0-56-cloud-amd64",
            "kproxy-guest starts /a",
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.20s",
            "kproxy-guest passed /a",
        ];
        assert_eq!(counted(&lines, 1), Totals { passed: 5, failed: 0 });
        assert_eq!(
            counted(&lines, 2),
            Totals { passed: 5, failed: 1 },
            "the machine went too early"
        );
    }

    #[test]
    fn what_fails_counts() {
        let result = "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s";
        let rows: [(&[&str], Totals); 4] = [
            (
                &[result, "kproxy-guest failed /a"],
                Totals { passed: 3, failed: 2 },
            ),
            (&["kproxy-guest failed /a"], Totals { passed: 0, failed: 1 }),
            (
                &["kproxy-guest failed modprobe veth", "kproxy-guest passed /a"],
                Totals { passed: 0, failed: 1 },
            ),
            (&[], Totals { passed: 0, failed: 1 }),
        ];
        for (lines, expected) in rows {
            assert_eq!(counted(lines, 1), expected, "{lines:?}");
        }
    }
}
